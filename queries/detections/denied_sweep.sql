-- +++
-- title = "A caller is refused at many vaults or objects"
-- description = """
-- Counts over a trailing day, however slowly they come, the vaults and the objects that refuse one caller and that it was
-- never seen at in four weeks. Breadth tells a search from a fault: a broken application, a lost role or a role on its way
-- is loud and narrow, somebody who tries a stolen credential is broad and may be slow. The counts are compared with those of
-- the caller's own days, shrunk towards the days of callers of its kind.
-- """
-- severity = "medium"
-- status = "experimental"
-- techniques = ["T1555.006", "T1526", "T1078.004"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1d"
-- lookback = "1d"
-- baseline = "31d"
-- quiet_for = "2d"
-- min_coverage = "3d"
-- false_positives = [
--   "A new inventory or scanner whose role was forgotten: name it as a known scanner.",
--   "A person who looks through many vaults of the portal for the right one.",
-- ]
-- response = [
--   "Ask the caller's owner what it sought at these vaults; an application has a fixed set of them.",
--   "Look for what the same caller or address was allowed in the same day: the refusals show only where it failed.",
--   "If nobody explains it, revoke the credential.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/", "https://learn.microsoft.com/azure/key-vault/general/rbac-guide"]
-- false_alarm_rate = "alpha in each step over all callers and both counts; days that overlap are one test, so about one in 2000 days if the model holds; none at low or above in 100 simulated days of 60 to 150 callers."
--
-- [parameters]
-- min_vaults = { default = 4, min = 2, about = "Fewest vaults, new to the caller, that refuse it within a day." }
-- min_objects = { default = 15, min = 3, about = "Fewest objects, new to the caller, that refuse it within a day." }
-- uncovered_vaults = { default = 12, min = 2, about = "The vaults needed for more than information while the logs cover less than min_coverage." }
-- many_vaults = { default = 8, min = 2, about = "Vaults from which a caller with a history is judged high." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "28d", about = "How far back the own days count; at most the baseline less two days." }
-- prior_days = { default = 7.0, min = 0.1, about = "Weight of callers of its kind against the caller's own days." }
-- +++
WITH denied AS (
    SELECT principal_id, max(principal_type) AS principal_type, vault_name,
           vault_name || '/' || object_type || '/' || object_name AS target, date_bin($every, time) AS bin, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'denied'
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL
      -- An object that was switched off refuses whoever comes.
      AND (denial_reason IS DISTINCT FROM 'disabled')
    GROUP BY principal_id, vault_name, vault_name || '/' || object_type || '/' || object_name, date_bin($every, time)
),
wide AS (
    -- Most refused callers are narrow and drop out here.
    SELECT principal_id
    FROM (SELECT DISTINCT principal_id, vault_name, target FROM denied)
    GROUP BY principal_id
    HAVING count(DISTINCT vault_name) >= $min_vaults OR count(target) >= $min_objects
),
marks AS (
    SELECT d.*, lag(d.bin) OVER (PARTITION BY d.principal_id, d.vault_name, d.target ORDER BY d.bin) AS bin_before
    FROM denied d JOIN wide w ON w.principal_id = d.principal_id
),
ends AS (
    -- A trailing count grows only where something comes that the day did not hold yet.
    SELECT DISTINCT principal_id, bin + $every AS window_end, date_trunc('day', bin + $every - $window) AS base_day
    FROM marks
    WHERE (bin_before IS NULL OR bin_before < bin + $every - $window) AND bin + $every > $from AND bin + $every <= $to
),
seen AS (
    SELECT DISTINCT e.principal_id, e.base_day, s.kind, s.value
    FROM (SELECT DISTINCT principal_id, base_day FROM ends) e
    JOIN sightings s ON s.principal_id = e.principal_id AND s.day < e.base_day AND s.day >= e.base_day - $history
    WHERE s.kind IN ('vault', 'object') AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
targets AS (
    SELECT e.principal_id, e.window_end, e.base_day, m.vault_name, m.target, sum(m.calls) AS calls, max(m.principal_type) AS principal_type
    FROM ends e
    JOIN marks m ON m.principal_id = e.principal_id AND m.bin < e.window_end AND m.bin >= e.window_end - $window
    GROUP BY e.principal_id, e.window_end, e.base_day, m.vault_name, m.target
),
vaults AS (
    -- A vault that the caller was never seen at, and what it was refused anywhere that it never asked for before.
    SELECT t.principal_id, t.window_end, t.base_day, t.vault_name, max(t.principal_type) AS principal_type, sum(t.calls) AS calls,
           count(t.target) FILTER (WHERE o.value IS NULL) AS objects, max(CASE WHEN v.value IS NULL THEN 1 ELSE 0 END) AS strange
    FROM targets t
    LEFT JOIN seen v ON v.kind = 'vault' AND v.principal_id = t.principal_id AND v.base_day = t.base_day AND v.value = t.vault_name
    LEFT JOIN seen o ON o.kind = 'object' AND o.principal_id = t.principal_id AND o.base_day = t.base_day AND o.value = t.target
    GROUP BY t.principal_id, t.window_end, t.base_day, t.vault_name
),
windows AS (
    SELECT principal_id, window_end, base_day, max(principal_type) AS principal_type, sum(calls) AS calls, count(*) AS refused_vaults,
           sum(strange) AS vaults, sum(objects) AS objects
    FROM vaults
    GROUP BY principal_id, window_end, base_day
    HAVING sum(strange) >= $min_vaults OR sum(objects) >= $min_objects
),
days AS (SELECT DISTINCT base_day FROM windows),
daily AS (
    -- A row a caller and day: vaults that refused it and allowed nothing.
    SELECT principal_id, day, max(principal_type) AS principal_type, CAST(sum(refused) AS DOUBLE) AS vaults
    FROM (
        SELECT principal_id, date_trunc('day', hour) AS day, vault_name, max(principal_type) AS principal_type,
               CASE WHEN bool_or(outcome = 'denied') AND NOT bool_or(outcome = 'success') THEN 1 ELSE 0 END AS refused
        FROM activity
        WHERE hour >= $from - $lookback - $baseline AND hour < $to AND principal_id IS NOT NULL
        GROUP BY principal_id, date_trunc('day', hour), vault_name
    )
    GROUP BY principal_id, day
),
fruitless AS (
    SELECT principal_id, day, CAST(count(*) AS DOUBLE) AS objects
    FROM sightings
    WHERE kind = 'object' AND successes = 0 AND principal_id IS NOT NULL AND day >= $from - $lookback - $baseline AND day < $to
    GROUP BY principal_id, day
),
past AS (
    SELECT b.base_day, d.principal_id, max(d.principal_type) AS principal_type, count(*) AS days,
           sum(d.vaults) AS vaults, sum(d.vaults * d.vaults) AS vault_squares,
           sum(coalesce(f.objects, 0)) AS objects, sum(power(coalesce(f.objects, 0), 2)) AS object_squares,
           sum(least(d.vaults, $min_vaults)) AS cut_vaults, sum(power(least(d.vaults, $min_vaults), 2)) AS cut_vault_squares,
           sum(least(coalesce(f.objects, 0), $min_objects)) AS cut_objects, sum(power(least(coalesce(f.objects, 0), $min_objects), 2)) AS cut_object_squares
    FROM days b
    JOIN daily d ON d.day < b.base_day AND d.day >= b.base_day - $history
    LEFT JOIN fruitless f ON f.principal_id = d.principal_id AND f.day = d.day
    GROUP BY b.base_day, d.principal_id
),
kinds AS (
    -- Callers of a kind; a hundred days with few refusals stand in where there are few callers. What is looked for excuses
    -- no other caller: days count up to the least that is told.
    SELECT base_day, principal_type,
           (sum(cut_vaults) + 100 * 0.02) / (sum(days) + 100) AS vault_mean, (sum(cut_vault_squares) + 100 * 0.03) / (sum(days) + 100) AS vault_square,
           (sum(cut_objects) + 100 * 0.1) / (sum(days) + 100) AS object_mean, (sum(cut_object_squares) + 100 * 0.4) / (sum(days) + 100) AS object_square
    FROM past GROUP BY base_day, principal_type
),
tested AS (SELECT base_day, count(*) AS callers FROM past GROUP BY base_day),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
moments AS (
    SELECT w.*, coalesce(p.days, 0) AS days, coalesce(t.callers, 0) + 1 AS tests, coalesce(c.hours, 0) AS covered_hours,
           (coalesce(p.vaults, 0) + $prior_days * coalesce(k.vault_mean, 0.02)) / (coalesce(p.days, 0) + $prior_days) AS vault_mean,
           (coalesce(p.vault_squares, 0) + $prior_days * coalesce(k.vault_square, 0.03)) / (coalesce(p.days, 0) + $prior_days) AS vault_square,
           (coalesce(p.objects, 0) + $prior_days * coalesce(k.object_mean, 0.1)) / (coalesce(p.days, 0) + $prior_days) AS object_mean,
           (coalesce(p.object_squares, 0) + $prior_days * coalesce(k.object_square, 0.4)) / (coalesce(p.days, 0) + $prior_days) AS object_square
    FROM windows w
    LEFT JOIN past p ON p.principal_id = w.principal_id AND p.base_day = w.base_day
    LEFT JOIN kinds k ON k.base_day = w.base_day AND k.principal_type = w.principal_type
    LEFT JOIN tested t ON t.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
),
scored AS (
    SELECT *,
           CASE WHEN vaults >= $min_vaults THEN least(1.0, 2 * tests * negative_binomial_sf(
               CAST(vaults AS DOUBLE), vault_mean, greatest(0.05, (vault_square - vault_mean * vault_mean - vault_mean) / (vault_mean * vault_mean))))
               ELSE 1.0 END AS vault_p,
           CASE WHEN objects >= $min_objects THEN least(1.0, 2 * tests * negative_binomial_sf(
               CAST(objects AS DOUBLE), object_mean, greatest(0.05, (object_square - object_mean * object_mean - object_mean) / (object_mean * object_mean))))
               ELSE 1.0 END AS object_p
    FROM moments
),
fired AS (SELECT * FROM scored WHERE least(vault_p, object_p) <= $alpha),
detail AS (
    SELECT f.principal_id, f.window_end, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) AS vault_name,
           array_slice(array_agg(DISTINCT e.object_name ORDER BY e.object_name) FILTER (WHERE e.object_name IS NOT NULL), 1, 100) AS object_name,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product,
           array_agg(DISTINCT coalesce(e.denial_reason, 'unknown') ORDER BY coalesce(e.denial_reason, 'unknown')) AS reasons,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM fired f
    JOIN events e ON e.principal_id = f.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome = 'denied' AND (e.denial_reason IS DISTINCT FROM 'disabled')
      AND e.time >= f.window_end - $window AND e.time < f.window_end
    GROUP BY f.principal_id, f.window_end
),
judged AS (
    SELECT f.*, d.principal_name, d.app_id, d.vault_name, d.object_name, d.operation_name, d.caller_ip, d.client_product, d.reasons,
           d.first_time, d.last_time, f.vault_p <= $alpha AS by_vaults,
           coalesce(p.is_known_scanner, false) OR coalesce(a.is_known_scanner, false) AS is_known_scanner,
           coalesce(p.is_first_party, false) OR coalesce(a.is_first_party, false) AS is_first_party
    FROM fired f
    JOIN detail d ON d.principal_id = f.principal_id AND d.window_end = f.window_end
    LEFT JOIN principals p ON p.principal_id = f.principal_id
    LEFT JOIN principals a ON a.principal_id = d.app_id
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(CASE WHEN by_vaults THEN vaults ELSE objects END AS DOUBLE) AS observed,
    CASE WHEN by_vaults THEN vault_mean ELSE object_mean END AS expected,
    least(vault_p, object_p) AS p_value,
    CASE
        WHEN is_known_scanner OR is_first_party THEN 'informational'
        WHEN 3600 * covered_hours < extract(epoch FROM $min_coverage) AND vaults < $uncovered_vaults THEN 'informational'
        WHEN by_vaults AND days >= 3 AND vaults >= $many_vaults THEN 'high'
        WHEN by_vaults THEN 'medium'
        -- Many objects of one vault: a caller that is new there may wait for its role.
        WHEN days >= 7 AND vaults <> 1 THEN 'medium'
        WHEN days >= 7 THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' was refused ', calls, ' times in the day to ', to_char(window_end, '%Y-%m-%d %H:%M'),
        ' UTC (', array_to_string(reasons, ', '), '), at ', refused_vaults, CASE WHEN refused_vaults = 1 THEN ' vault' ELSE ' vaults' END, ', ', vaults,
        ' of which it was never seen at before, and on ', objects, ' objects that it never asked for before; ',
        CASE WHEN days = 0 THEN 'it has no history'
             ELSE concat('its ', days, ' days before and those of its kind let expect ', round(vault_mean, 2), ' closed vaults a day') END,
        '. Breadth like this is a search for what a credential opens.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    vault_name,
    object_name,
    operation_name,
    caller_ip,
    client_product,
    vaults AS new_vaults,
    objects AS new_objects,
    refused_vaults AS distinct_vaults,
    reasons,
    days AS days_before,
    tests AS callers_tested,
    covered_hours,
    first_time,
    last_time,
    'outcome = ''denied''' AS drilldown_filter
FROM judged
