-- +++
-- title = "A caller is refused at a vault where it never came before"
-- description = """
-- A caller with a history is refused at a vault that it was not seen at in four weeks, and is not let in within the day. Alone
-- this is news and no more. It counts for more with a second kind of evidence: the vault belongs to another environment than
-- everything the caller uses, the caller comes from a public network or with a client that is new to it, or it goes on to ask
-- for objects after the list was refused, as people do and programs do not.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1555.006", "T1078.004"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1d"
-- lookback = "2d"
-- baseline = "31d"
-- quiet_for = "2d"
-- min_coverage = "3d"
-- false_positives = [
--   "A service that is extended to another vault before its role is there: it asks for the same few objects until it is let in.",
--   "A person who opens the wrong vault.",
-- ]
-- response = [
--   "Ask the caller's owner what it sought at this vault.",
--   "Look at the same caller's other calls of the day, and at other callers from the same address.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Refusals at a new vault come in a company of fifty callers about once in ten days and stay informational; low asks for a second kind of evidence where they are rarer than max_usual a day, medium for two; none at low or above in 100 simulated days of 60 to 150 callers."
--
-- [parameters]
-- max_usual = { default = 0.5, min = 0.0, about = "First refusals a day, over all callers, up to which one more kind of evidence makes it low." }
-- min_days = { default = 3, min = 1, about = "Days on which a caller was active before, to be judged at all." }
-- many_networks = { default = 3, min = 1, about = "A caller with more networks than this and one for each two days has no usual ones." }
-- history = { default = "28d", about = "How far back a caller's vaults count; at most the baseline less three days." }
-- +++
WITH denied AS (
    SELECT principal_id, max(principal_type) AS principal_type, vault_name, coalesce(object_type || '/' || object_name, operation_name) AS target,
           date_bin($every, time) AS bin, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'denied' AND principal_id IS NOT NULL AND vault_name IS NOT NULL
      AND (denial_reason IS DISTINCT FROM 'disabled')
    GROUP BY principal_id, vault_name, coalesce(object_type || '/' || object_name, operation_name), date_bin($every, time)
),
bins AS (
    SELECT principal_id, vault_name, bin, bin + $every AS window_end, date_trunc('day', bin + $every - $window) AS base_day
    FROM (SELECT DISTINCT principal_id, vault_name, bin FROM denied)
),
known AS (
    SELECT DISTINCT b.principal_id, b.base_day, b.vault_name
    FROM (SELECT DISTINCT principal_id, vault_name, base_day FROM bins) b
    JOIN sightings s ON s.principal_id = b.principal_id AND s.value = b.vault_name AND s.day < b.base_day AND s.day >= b.base_day - $history
    WHERE s.kind = 'vault' AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
foreign_bins AS (
    SELECT b.*
    FROM bins b
    LEFT JOIN known k ON k.principal_id = b.principal_id AND k.base_day = b.base_day AND k.vault_name = b.vault_name
    WHERE k.vault_name IS NULL AND b.window_end > $from AND b.window_end <= $to
),
other AS (
    -- What the caller did there, refusals aside: who is let in, or was there the day before, is not refused as a stranger.
    SELECT p.principal_id, p.vault_name, date_bin($every, e.time) AS bin
    FROM (SELECT DISTINCT principal_id, vault_name FROM foreign_bins) p
    JOIN events e ON e.principal_id = p.principal_id AND e.vault_name = p.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome <> 'denied'
    GROUP BY p.principal_id, p.vault_name, date_bin($every, e.time)
    UNION ALL
    -- A refusal before the window is one that was told of then.
    SELECT principal_id, vault_name, bin + $window AS bin FROM denied GROUP BY principal_id, vault_name, bin + $window
),
not_new AS (
    SELECT DISTINCT f.principal_id, f.vault_name, f.window_end
    FROM foreign_bins f
    JOIN other o ON o.principal_id = f.principal_id AND o.vault_name = f.vault_name AND o.bin < f.window_end AND o.bin >= f.base_day
),
windows AS (
    SELECT f.principal_id, f.vault_name, f.window_end, f.base_day, max(d.principal_type) AS principal_type,
           sum(d.calls) AS calls, count(DISTINCT d.target) AS targets
    FROM foreign_bins f
    JOIN denied d ON d.principal_id = f.principal_id AND d.vault_name = f.vault_name AND d.bin < f.window_end AND d.bin >= f.window_end - $window
    LEFT JOIN not_new n ON n.principal_id = f.principal_id AND n.vault_name = f.vault_name AND n.window_end = f.window_end
    WHERE n.vault_name IS NULL
    GROUP BY f.principal_id, f.vault_name, f.window_end, f.base_day
),
days AS (SELECT DISTINCT base_day FROM windows),
pairs AS (
    SELECT d.base_day, s.principal_id, s.value AS vault_name, sum(s.successes) AS successes, count(DISTINCT s.day) AS days
    FROM days d
    JOIN sightings s ON s.day < d.base_day AND s.day >= d.base_day - $history
    WHERE s.kind = 'vault' AND s.principal_id IS NOT NULL AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY d.base_day, s.principal_id, s.value
),
usual AS (
    -- How often, a day and over all callers, a vault is knocked at that never opens.
    SELECT p.base_day, (count(*) FILTER (WHERE p.successes = 0) + 0.5) / (max(c.days) + 1) AS a_day
    FROM pairs p
    JOIN (
        SELECT d.base_day, count(DISTINCT c.hour) / 24.0 AS days
        FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
        WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
        GROUP BY d.base_day
        HAVING 3600 * count(DISTINCT c.hour) >= extract(epoch FROM $min_coverage)
    ) c ON c.base_day = p.base_day
    GROUP BY p.base_day
),
homes AS (
    -- The environments of the vaults that a caller used with success.
    SELECT p.principal_id, p.base_day, max(p.days) AS days, count(DISTINCT coalesce(v.environment, environment_of(p.vault_name))) AS environments,
           max(coalesce(v.environment, environment_of(p.vault_name))) AS environment
    FROM pairs p
    JOIN (SELECT DISTINCT principal_id, base_day FROM windows) w ON w.principal_id = p.principal_id AND w.base_day = p.base_day
    LEFT JOIN vaults v ON v.vault_name = p.vault_name
    WHERE p.successes > 0
    GROUP BY p.principal_id, p.base_day
),
habits AS (
    SELECT w.principal_id, w.base_day, s.kind, CASE WHEN s.kind = 'address' THEN ip_network(s.value) ELSE s.value END AS value
    FROM (SELECT DISTINCT principal_id, base_day FROM windows) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind IN ('address', 'client') AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY w.principal_id, w.base_day, s.kind, CASE WHEN s.kind = 'address' THEN ip_network(s.value) ELSE s.value END
),
records AS (
    SELECT w.principal_id, w.vault_name, w.window_end, w.base_day, e.time, e.principal_name, e.app_id, e.operation_name, e.operation_class,
           e.object_name, e.caller_ip, e.client_product, e.resource_group, e.subscription_id, coalesce(e.denial_reason, 'unknown') AS reason
    FROM windows w
    JOIN events e ON e.principal_id = w.principal_id AND e.vault_name = w.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome = 'denied' AND (e.denial_reason IS DISTINCT FROM 'disabled')
      AND e.time >= w.window_end - $window AND e.time < w.window_end
),
detail AS (
    SELECT r.principal_id, r.vault_name, r.window_end, max(r.principal_name) AS principal_name, max(r.app_id) AS app_id,
           max(r.resource_group) AS resource_group, max(r.subscription_id) AS subscription_id,
           array_agg(DISTINCT r.operation_name ORDER BY r.operation_name) AS operation_name,
           array_agg(DISTINCT r.object_name ORDER BY r.object_name) FILTER (WHERE r.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT r.caller_ip ORDER BY r.caller_ip) AS caller_ip,
           array_agg(DISTINCT r.client_product ORDER BY r.client_product) AS client_product,
           array_agg(DISTINCT r.reason ORDER BY r.reason) AS reasons,
           min(CASE WHEN r.operation_class = 'list' THEN r.time END) AS first_list,
           max(CASE WHEN r.object_name IS NOT NULL THEN r.time END) AS last_object,
           count(DISTINCT r.object_name) AS objects,
           bool_or(NOT coalesce(ip_is_private(r.caller_ip), true) AND n.value IS NULL) AS new_network,
           bool_or(r.client_product IS NOT NULL AND c.value IS NULL) AS new_client,
           min(r.time) AS first_time, max(r.time) AS last_time
    FROM records r
    LEFT JOIN habits n ON n.kind = 'address' AND n.principal_id = r.principal_id AND n.base_day = r.base_day AND n.value = ip_network(r.caller_ip)
    LEFT JOIN habits c ON c.kind = 'client' AND c.principal_id = r.principal_id AND c.base_day = r.base_day AND c.value = r.client_product
    GROUP BY r.principal_id, r.vault_name, r.window_end
),
numbers AS (
    SELECT principal_id, base_day, count(*) FILTER (WHERE kind = 'address') AS networks, count(*) FILTER (WHERE kind = 'client') AS clients
    FROM habits GROUP BY principal_id, base_day
),
judged AS (
    SELECT w.*, h.days, u.a_day, d.principal_name, d.app_id, d.operation_name, d.object_name, d.caller_ip, d.client_product, d.reasons,
           d.first_time, d.last_time, coalesce(p.environment, a.environment, CASE WHEN h.environments = 1 THEN h.environment END) AS home, 
           coalesce(v.environment, environment_of(w.vault_name, d.resource_group, s.environment, s.name)) AS there,
           d.new_network AND n.networks <= $many_networks + h.days / 2 AS new_network,
           d.new_client AND n.clients <= 2 AS new_client,
           d.objects >= 2 AND d.first_list < d.last_object AS goes_on,
           coalesce(p.is_known_scanner OR p.is_first_party, false) OR coalesce(a.is_known_scanner OR a.is_first_party, false) AS is_expected
    FROM windows w
    JOIN homes h ON h.principal_id = w.principal_id AND h.base_day = w.base_day AND h.days >= $min_days
    JOIN usual u ON u.base_day = w.base_day
    JOIN detail d ON d.principal_id = w.principal_id AND d.vault_name = w.vault_name AND d.window_end = w.window_end
    LEFT JOIN numbers n ON n.principal_id = w.principal_id AND n.base_day = w.base_day
    LEFT JOIN vaults v ON v.vault_name = w.vault_name
    LEFT JOIN subscriptions s ON s.subscription_id = d.subscription_id
    LEFT JOIN principals p ON p.principal_id = w.principal_id
    LEFT JOIN principals a ON a.principal_id = d.app_id
),
weighed AS (
    SELECT *, coalesce(home <> there AND home <> 'unknown' AND there <> 'unknown', false) AS other_environment,
           CASE WHEN coalesce(home <> there AND home <> 'unknown' AND there <> 'unknown', false) THEN 1 ELSE 0 END
           + CASE WHEN coalesce(new_network, false) THEN 1 ELSE 0 END
           + CASE WHEN coalesce(new_client, false) THEN 1 ELSE 0 END
           + CASE WHEN coalesce(goes_on, false) THEN 1 ELSE 0 END AS evidence
    FROM judged
),
strongest AS (
    -- A caller that knocks at many vaults is one matter.
    SELECT *
    FROM (
        SELECT *, row_number() OVER (PARTITION BY principal_id, window_end ORDER BY evidence DESC, calls DESC, vault_name) AS place
        FROM weighed
    )
    WHERE place = 1
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN is_expected THEN 'informational'
        -- A person has no environment of its own, and goes on after a refusal.
        WHEN principal_type = 'user' THEN CASE WHEN new_network AND new_client AND a_day <= $max_usual THEN 'low' ELSE 'informational' END
        WHEN evidence >= 2 AND days >= 7 THEN 'medium'
        WHEN evidence >= 1 AND a_day <= $max_usual THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' was refused ', calls, CASE WHEN calls = 1 THEN ' time at vault ' ELSE ' times at vault ' END, vault_name,
        ' in the day to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC (', array_to_string(reasons, ', '), '), where it never came in ', days, ' active days before',
        CASE WHEN other_environment THEN concat('; the vault is of ', there, ' and the caller of ', home) ELSE '' END,
        CASE WHEN coalesce(new_network, false) THEN concat('; from a network new to it (', caller_ip[1], ')') ELSE '' END,
        CASE WHEN coalesce(new_client, false) THEN concat('; with a client new to it (', client_product[1], ')') ELSE '' END,
        CASE WHEN coalesce(goes_on, false) THEN '; refused the list, it went on to ask for objects by name' ELSE '' END,
        '. Over all callers this happens ', round(a_day, 2), ' times a day.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    operation_name,
    object_name,
    caller_ip,
    client_product,
    reasons,
    targets,
    evidence AS kinds_of_evidence,
    home AS caller_environment,
    there AS vault_environment,
    days AS active_days_before,
    a_day AS usual_a_day,
    first_time,
    last_time,
    'outcome = ''denied''' AS drilldown_filter
FROM strongest
