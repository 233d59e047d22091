-- +++
-- title = "Objects backed up by a caller that does not"
-- description = """
-- A backup of a secret, key or certificate is a blob that whoever holds it restores into a vault of his own (of the same
-- subscription and geography) and reads there. Counts the different objects that one caller backs up in a day, ending at each
-- of its backups, and compares the count with its own days over six weeks (so that a monthly job knows itself) and with those
-- who back up seldom. A machine's identity that never did anything else is a backup job on its first run while the logs
-- cover less than a month. A job at a new address outside its own networks is told of as well.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1555.006", "T1530"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1d"
-- lookback = "1d"
-- baseline = "43d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["A migration to another vault.", "A backup job that gets a new identity: name it in directory.csv as known backup."]
-- response = [
--   "Ask the owner of the caller whether the backups were meant, with the list of objects.",
--   "If not: revoke the caller's access, rotate every secret and key in the list, and look for restores in other vaults of the subscription.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/backup", "https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.0005; known backups and first runs of jobs are information."
--
-- [parameters]
-- min_objects = { default = 5, min = 2, about = "Fewest different objects backed up in a day that are an export." }
-- uncovered_objects = { default = 10, min = 2, about = "The same while the logs cover less than min_coverage." }
-- ratio = { default = 2.0, min = 1.0, about = "How many times the own busiest day." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "40d", about = "How far back days count; at most the baseline less two days." }
-- month = { default = "32d", about = "So much covered history must have shown a monthly job." }
-- settled_days = { default = 3, min = 1, about = "Days with other use of objects from which a caller is known for something else." }
-- seldom_days = { default = 2, min = 1, about = "Days with backups in the history up to which a caller counts as one who backs up seldom." }
-- few_networks = { default = 2, min = 1, about = "A caller with at most so many networks in the history has networks of its own." }
-- prior_days = { default = 7.0, min = 0.1, about = "Weight of those who back up seldom against the caller's own days." }
-- +++
WITH acts AS (
    SELECT principal_id, date_bin($every, time) AS bin, concat(coalesce(vault_name, ''), '/', coalesce(object_type, ''), '/', coalesce(object_name, '')) AS target,
           max(principal_type) AS principal_type, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_class = 'backup' AND outcome = 'success' AND principal_id IS NOT NULL
    GROUP BY 1, 2, 3
),
ends AS (
    SELECT principal_id, window_end, date_trunc('day', window_end - $window) AS base_day
    FROM (SELECT DISTINCT principal_id, bin + $every AS window_end FROM acts) AS bins
    WHERE window_end > $from AND window_end <= $to
),
days AS (SELECT DISTINCT base_day FROM ends),
windows AS (
    SELECT principal_id, window_end, base_day, max(principal_type) AS principal_type, count(*) AS targets, sum(calls) AS calls
    FROM (
        SELECT e.principal_id, e.window_end, e.base_day, a.target, max(a.principal_type) AS principal_type, sum(a.calls) AS calls
        FROM ends e
        JOIN acts a ON a.principal_id = e.principal_id AND a.bin >= e.window_end - $window AND a.bin < e.window_end
        GROUP BY 1, 2, 3, 4
    ) AS inside
    GROUP BY 1, 2, 3
),
daily AS (
    SELECT principal_id, date_trunc('day', hour) AS day, operation_class = 'backup' AS backs_up, CAST(sum(calls) AS DOUBLE) AS calls
    FROM activity
    WHERE outcome = 'success' AND principal_id IS NOT NULL AND hour >= $from - $lookback - $baseline AND hour < $to
      AND (operation_class = 'backup' OR (operation_class IN ('read', 'crypto', 'write') AND distinct_objects > 0))
    GROUP BY 1, 2, 3
),
own AS (
    SELECT d.base_day, h.principal_id, count(*) AS days, sum(h.calls) AS total, sum(h.calls * h.calls) AS squares, max(h.calls) AS peak
    FROM days d JOIN daily h ON h.day < d.base_day AND h.day >= d.base_day - $history
    WHERE h.backs_up
    GROUP BY 1, 2
),
other_use AS (
    SELECT w.base_day, w.principal_id, count(*) AS days
    FROM (SELECT DISTINCT base_day, principal_id FROM windows) w
    JOIN daily h ON h.principal_id = w.principal_id AND h.day < w.base_day AND h.day >= w.base_day - $history
    WHERE NOT h.backs_up
    GROUP BY 1, 2
),
seldom AS (
    SELECT base_day, sum(total) AS total, sum(squares) AS squares FROM own WHERE days <= $seldom_days AND peak < $min_objects GROUP BY base_day
),
callers AS (
    SELECT base_day, count(*) AS callers, sum(days) AS caller_days
    FROM (
        SELECT d.base_day, s.principal_id, count(DISTINCT s.day) AS days
        FROM days d JOIN sightings s ON s.day < d.base_day AND s.day >= d.base_day - $history
        WHERE s.kind = 'vault' AND s.day >= $from - $lookback - $baseline AND s.day < $to AND s.principal_id IS NOT NULL
        GROUP BY 1, 2
    ) AS known
    GROUP BY base_day
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours, min(c.hour) AS since
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
addresses AS (
    SELECT w.base_day, w.principal_id, ip_network(s.value) AS network
    FROM (SELECT DISTINCT base_day, principal_id FROM windows) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind = 'address' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY 1, 2, 3
),
networks AS (SELECT base_day, principal_id, count(*) AS networks FROM addresses GROUP BY 1, 2),
detail AS (
    SELECT f.principal_id, f.window_end, f.base_day, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) FILTER (WHERE e.vault_name IS NOT NULL) AS vault_name,
           array_agg(DISTINCT e.object_name ORDER BY e.object_name) FILTER (WHERE e.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) FILTER (WHERE e.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) FILTER (WHERE e.client_product IS NOT NULL) AS client_product,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM windows f
    JOIN events e ON e.principal_id = f.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.operation_class = 'backup' AND e.outcome = 'success'
      AND e.time >= f.window_end - $window AND e.time < f.window_end
    GROUP BY 1, 2, 3
),
strange AS (
    -- Some backup of the window came from outside the private ranges and from a network that the caller never had.
    SELECT d.principal_id, d.window_end, min(d.address) AS address
    FROM (SELECT principal_id, window_end, base_day, unnest(caller_ip) AS address FROM detail) AS d
    LEFT JOIN addresses a ON a.principal_id = d.principal_id AND a.base_day = d.base_day AND a.network = ip_network(d.address)
    WHERE a.network IS NULL AND NOT coalesce(ip_is_private(d.address), true)
    GROUP BY 1, 2
),
moments AS (
    SELECT w.*, coalesce(o.days, 0) AS days, coalesce(o.peak, 0) AS peak, coalesce(c.hours, 0) AS hours, coalesce(k.callers, 0) + 1 AS tests,
           coalesce(u.days, 0) AS other_days, coalesce(n.networks, 0) AS networks, s.address AS strange_address,
           coalesce(c.since <= w.base_day - $month, false) AS month_covered,
           coalesce(p.is_known_backup OR a.is_known_backup, false) AS known_backup,
           (coalesce(o.total, 0) + $prior_days * (coalesce(m.total, 0) + 0.5) / (coalesce(k.caller_days, 0) + 1))
               / (coalesce(c.hours, 0) / 24.0 + $prior_days) AS mean,
           (coalesce(o.squares, 0) + $prior_days * (coalesce(m.squares, 0) + 0.5) / (coalesce(k.caller_days, 0) + 1))
               / (coalesce(c.hours, 0) / 24.0 + $prior_days) AS square,
           d.principal_name, d.app_id, d.vault_name, d.object_name, d.operation_name, d.caller_ip, d.client_product, d.first_time, d.last_time
    FROM windows w
    JOIN detail d ON d.principal_id = w.principal_id AND d.window_end = w.window_end
    LEFT JOIN own o ON o.principal_id = w.principal_id AND o.base_day = w.base_day
    LEFT JOIN other_use u ON u.principal_id = w.principal_id AND u.base_day = w.base_day
    LEFT JOIN networks n ON n.principal_id = w.principal_id AND n.base_day = w.base_day
    LEFT JOIN strange s ON s.principal_id = w.principal_id AND s.window_end = w.window_end
    LEFT JOIN seldom m ON m.base_day = w.base_day
    LEFT JOIN callers k ON k.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
    LEFT JOIN principals p ON p.principal_id = w.principal_id
    LEFT JOIN principals a ON a.principal_id = d.app_id
),
judged AS (
    SELECT *,
           p_value <= $alpha AND targets >= $ratio * peak
               AND targets >= CASE WHEN 3600 * hours < extract(epoch FROM $min_coverage) THEN $uncovered_objects ELSE $min_objects END AS export,
           -- A job whose networks are few now works from another: somebody else has its credential.
           days >= 1 AND targets >= $min_objects AND strange_address IS NOT NULL AND networks <= $few_networks AS moved_job,
           principal_type <> 'user' AND other_days < $settled_days AND NOT month_covered AS first_run
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(
                   CAST(targets AS DOUBLE), mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
    ) AS scored
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(targets AS DOUBLE) AS observed,
    mean AS expected,
    p_value,
    CASE
        WHEN known_backup THEN 'informational'
        WHEN moved_job AND NOT export THEN 'medium'
        WHEN NOT export OR (first_run AND days = 0) THEN 'informational'
        WHEN strange_address IS NOT NULL AND (other_days >= $settled_days OR networks > 0) THEN 'high'
        ELSE 'medium'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' backed up ', targets, CASE WHEN targets = 1 THEN ' object' ELSE ' objects' END, ' of ',
        CASE WHEN cardinality(vault_name) = 1 THEN concat('vault ', vault_name[1]) ELSE concat(coalesce(cardinality(vault_name), 0), ' vaults') END,
        ' in the day to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC; ',
        CASE WHEN days = 0 THEN 'it took no backup before' ELSE concat('its busiest day before had ', CAST(peak AS BIGINT), ' backups') END,
        CASE WHEN strange_address IS NOT NULL THEN concat('; from a network new to it (', strange_address, ')') ELSE '' END,
        '. Who holds a backup can restore and read it elsewhere.'
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
    strange_address,
    CAST(peak AS BIGINT) AS busiest_day_before,
    days AS days_with_backups_before,
    other_days AS days_with_other_use_before,
    known_backup,
    hours AS covered_hours,
    tests AS callers_tested,
    first_time,
    last_time,
    'operation_class = ''backup'' AND outcome = ''success''' AS drilldown_filter
FROM judged
WHERE export OR moved_job OR days = 0
