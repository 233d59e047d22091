-- +++
-- title = "A caller reads from unusually many vaults"
-- description = """
-- Counts the vaults from which a caller reads objects within a trailing day, and those among them that it did not read from
-- in four weeks. The count must pass the caller's own days; the new ones are compared with how many it usually takes up in
-- a day, shrunk towards callers of its kind. Listing, backups and settings do not count: scanners and backup jobs go
-- everywhere by trade and see no values.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1555.006", "T1526"]
-- key = ["principal_id"]
-- every = "15m"
-- window = "1d"
-- lookback = "2d"
-- baseline = "31d"
-- quiet_for = "1d"
-- min_coverage = "5d"
-- false_positives = [
--   "The first run of a rotation or an inventory that reads values in every vault; name it in the directory as known scanner.",
--   "A person who is put in charge of many teams' vaults.",
-- ]
-- response = [
--   "Ask the owner of the caller what it did in the vaults that are new to it.",
--   "If nobody knows: revoke its access everywhere, not only where it was seen, and rotate what it read.",
-- ]
-- references = ["https://learn.microsoft.com/azure/defender-for-cloud/defender-for-key-vault-introduction", "https://attack.mitre.org/techniques/T1526/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.0005; neighbouring steps share nearly all of their window, so a day is a few tests."
--
-- [parameters]
-- min_vaults = { default = 5, min = 2, about = "Fewest vaults in a day." }
-- min_new = { default = 3, min = 1, about = "Fewest of them that the caller never read from." }
-- newcomer_vaults = { default = 8, min = 2, about = "Fewest vaults for a caller with less than settled_days active days." }
-- settled_days = { default = 4, min = 1, about = "Active days from which a caller is judged by its own history." }
-- ratio = { default = 1.5, min = 1.0, about = "How many times the caller's own most vaults of a day." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "28d", about = "How far back days count; at most the baseline less two days." }
-- prior_days = { default = 3.0, min = 0.1, about = "Weight of callers of the same kind against the own active days." }
-- +++
WITH visits AS (
    -- Vaults from which a caller read, by day.
    SELECT principal_id, max(principal_type) AS principal_type, vault_name, date_trunc('day', hour) AS day
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to
      AND operation_class = 'read' AND outcome = 'success' AND distinct_objects > 0 AND principal_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY principal_id, vault_name, date_trunc('day', hour)
),
daily AS (
    SELECT principal_id, max(principal_type) AS principal_type, day, CAST(count(*) AS DOUBLE) AS vaults
    FROM visits
    GROUP BY principal_id, day
),
broad AS (
    -- Two adjacent days bound any window of a day; only these callers' events are looked at.
    SELECT DISTINCT d.principal_id
    FROM (
        SELECT principal_id, vaults, day, lag(vaults) OVER w AS vaults_before, lag(day) OVER w AS day_before
        FROM daily
        WINDOW w AS (PARTITION BY principal_id ORDER BY day)
    ) d
    LEFT JOIN principals p ON p.principal_id = d.principal_id
    WHERE d.day >= date_trunc('day', $from - $lookback)
      AND d.vaults + CASE WHEN d.day_before = d.day - INTERVAL '1 day' THEN d.vaults_before ELSE 0 END >= $min_vaults
      AND NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
),
bins AS (
    SELECT e.principal_id, e.vault_name, date_bin($every, e.time) AS bin, max(e.principal_type) AS principal_type
    FROM events e JOIN broad b ON b.principal_id = e.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL AND e.vault_name IS NOT NULL
    GROUP BY e.principal_id, e.vault_name, date_bin($every, e.time)
),
changes AS (
    -- A read keeps its vault in the window for a day, or until the next read of the same vault takes over.
    SELECT principal_id, bin AS at, 1 AS change
    FROM (SELECT principal_id, bin, lag(bin) OVER (PARTITION BY principal_id, vault_name ORDER BY bin) AS before FROM bins) AS starts
    WHERE before IS NULL OR before <= bin - $window
    UNION ALL
    SELECT principal_id, bin + $window AS at, -1 AS change
    FROM (SELECT principal_id, bin, lead(bin) OVER (PARTITION BY principal_id, vault_name ORDER BY bin) AS next FROM bins) AS ends
    WHERE next IS NULL OR next >= bin + $window
),
counts AS (
    SELECT principal_id, at, sum(change) OVER (PARTITION BY principal_id ORDER BY at) AS vaults
    FROM (SELECT principal_id, at, sum(change) AS change FROM changes GROUP BY principal_id, at) AS steps
),
windows AS (
    -- Steps in which a vault is added are enough: the count only falls between them.
    SELECT c.principal_id, c.at + $every AS window_end, date_trunc('day', c.at + $every - $window) AS base_day, CAST(c.vaults AS DOUBLE) AS vaults,
           max(b.principal_type) AS principal_type
    FROM counts c
    JOIN bins b ON b.principal_id = c.principal_id AND b.bin = c.at
    WHERE c.at + $every > $from AND c.at + $every <= $to AND c.vaults >= $min_vaults
    GROUP BY c.principal_id, c.at, c.vaults
),
firsts AS (
    -- Per caller and base day: its days, the most vaults of a day, and the vaults that it took up after its first day.
    SELECT v.principal_id, v.base_day, max(d.principal_type) AS principal_type, max(d.days) AS days, max(d.peak) AS peak,
           CAST(count(*) FILTER (WHERE v.since > d.first_day) AS DOUBLE) AS taken_up
    FROM (
        SELECT b.base_day, v.principal_id, v.vault_name, min(v.day) AS since
        FROM (SELECT DISTINCT base_day FROM windows) b
        JOIN visits v ON v.day < b.base_day AND v.day >= b.base_day - $history
        GROUP BY b.base_day, v.principal_id, v.vault_name
    ) v
    JOIN (
        SELECT b.base_day, d.principal_id, max(d.principal_type) AS principal_type, count(*) AS days, max(d.vaults) AS peak, min(d.day) AS first_day
        FROM (SELECT DISTINCT base_day FROM windows) b
        JOIN daily d ON d.day < b.base_day AND d.day >= b.base_day - $history
        GROUP BY b.base_day, d.principal_id
    ) d ON d.base_day = v.base_day AND d.principal_id = v.principal_id
    GROUP BY v.principal_id, v.base_day
),
peers AS (
    SELECT base_day, principal_type, avg(least(taken_up / days, 2)) AS mean FROM firsts GROUP BY base_day, principal_type
),
tested AS (SELECT base_day, count(*) AS callers FROM firsts GROUP BY base_day),
covered AS (
    SELECT b.base_day, count(DISTINCT c.day) AS days
    FROM (SELECT DISTINCT base_day FROM windows) b
    JOIN (
        SELECT DISTINCT date_trunc('day', hour) AS day
        FROM coverage WHERE hour >= $from - $lookback - $baseline AND hour < $to
    ) c ON c.day < b.base_day AND c.day >= b.base_day - $history
    GROUP BY b.base_day
),
detail AS (
    SELECT w.principal_id, w.window_end, array_agg(DISTINCT b.vault_name ORDER BY b.vault_name) AS vault_name,
           count(DISTINCT CASE WHEN v.vault_name IS NULL THEN b.vault_name END) AS new_vaults, min(b.bin) AS first_time
    FROM windows w
    JOIN bins b ON b.principal_id = w.principal_id AND b.bin >= w.window_end - $window AND b.bin < w.window_end
    LEFT JOIN (
        SELECT DISTINCT k.principal_id, k.base_day, v.vault_name
        FROM (SELECT DISTINCT principal_id, base_day FROM windows) k
        JOIN visits v ON v.principal_id = k.principal_id AND v.day < k.base_day AND v.day >= k.base_day - $history
    ) v ON v.principal_id = w.principal_id AND v.base_day = w.base_day AND v.vault_name = b.vault_name
    GROUP BY w.principal_id, w.window_end
    HAVING count(DISTINCT CASE WHEN v.vault_name IS NULL THEN b.vault_name END) >= $min_new
),
moments AS (
    -- The rate is never taken smaller than half a vault over the days seen.
    SELECT w.*, d.vault_name, d.new_vaults, d.first_time, coalesce(o.days, 0) AS days, coalesce(o.peak, 0) AS peak, t.callers + 1 AS tests,
           greatest((coalesce(o.taken_up, 0) + $prior_days * coalesce(p.mean, 0.2)) / (coalesce(o.days, 0) + $prior_days), 0.5 / (coalesce(o.days, 0) + 1)) AS mean
    FROM windows w
    JOIN detail d ON d.principal_id = w.principal_id AND d.window_end = w.window_end
    JOIN covered c ON c.base_day = w.base_day
    JOIN tested t ON t.base_day = w.base_day
    LEFT JOIN firsts o ON o.principal_id = w.principal_id AND o.base_day = w.base_day
    LEFT JOIN peers p ON p.base_day = w.base_day AND p.principal_type = w.principal_type
    WHERE 86400 * c.days >= extract(epoch FROM $min_coverage)
),
scored AS (
    -- New vaults come in groups: a geometric count, whose spread is that of its mean.
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(CAST(new_vaults AS DOUBLE), mean, 1.0)) AS p_value
        FROM moments
        WHERE vaults >= greatest(CASE WHEN days < $settled_days THEN $newcomer_vaults ELSE $min_vaults END, $ratio * peak)
    ) AS tails
    WHERE p_value <= $alpha
),
alike AS (
    -- Others of its kind that read from as many vaults: for a caller without history the best word on what is usual.
    SELECT s.principal_id, s.window_end, count(*) AS peers
    FROM scored s JOIN firsts o ON o.base_day = s.base_day AND o.principal_type = s.principal_type
    WHERE s.days < $settled_days AND o.principal_id <> s.principal_id AND o.peak >= 0.7 * s.vaults
    GROUP BY s.principal_id, s.window_end
),
names AS (
    SELECT d.principal_id, d.window_end, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id, count(*) AS calls,
           count(DISTINCT e.vault_name || '/' || e.object_type || '/' || e.object_name) AS objects,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip, array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product
    FROM scored d
    JOIN events e ON e.principal_id = d.principal_id AND e.time >= d.window_end - $window AND e.time < d.window_end
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
    GROUP BY d.principal_id, d.window_end
)
SELECT
    s.window_end - $window AS window_start,
    s.window_end,
    s.principal_id,
    CAST(s.new_vaults AS DOUBLE) AS observed,
    s.mean AS expected,
    s.p_value,
    CASE
        WHEN s.days < $settled_days THEN 'low'
        WHEN s.vaults >= 3 * greatest(s.peak, 3) AND s.new_vaults >= 2 * $min_new THEN 'high'
        ELSE 'medium'
    END AS severity,
    concat(
        coalesce(n.principal_name, s.principal_id), ' read ', n.objects, ' objects of ', CAST(s.vaults AS BIGINT), ' vaults in the day to ',
        to_char(s.window_end, '%Y-%m-%d %H:%M'), ' UTC; ', s.new_vaults, ' of the vaults are new to it, and ',
        CASE WHEN s.days = 0 THEN 'it has no history' ELSE concat('on ', s.days, ' active days before it used at most ', CAST(s.peak AS BIGINT), ' in a day') END,
        '. Going from vault to vault is how somebody looks for what a stolen identity can reach.'
    ) AS summary,
    n.calls AS event_count,
    n.principal_name,
    s.principal_type,
    n.app_id,
    s.vault_name,
    n.caller_ip,
    n.client_product,
    s.new_vaults,
    CAST(s.vaults AS BIGINT) AS distinct_vaults,
    n.objects AS distinct_objects,
    CAST(s.peak AS BIGINT) AS most_in_a_day_before,
    s.days AS active_days_before,
    s.tests AS callers_tested,
    s.first_time,
    s.window_end AS last_time,
    'operation_class = ''read'' AND outcome = ''success'' AND object_name IS NOT NULL' AS drilldown_filter
FROM scored s
JOIN names n ON n.principal_id = s.principal_id AND n.window_end = s.window_end
LEFT JOIN alike a ON a.principal_id = s.principal_id AND a.window_end = s.window_end
WHERE s.days >= $settled_days OR coalesce(a.peers, 0) = 0
