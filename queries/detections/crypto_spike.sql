-- +++
-- title = "Cryptographic operations far above the caller's history"
-- description = """
-- Counts the decrypt, unwrap, sign and other key operations of a caller on a vault within an hour and compares them with the
-- caller's own active hours on that vault in four weeks, shrunk towards callers in general. Volume alone cannot tell a month-end
-- batch from abuse, so it is low at most, and says so; keys that the caller never used, or a public network new to it, raise it.
-- """
-- severity = "low"
-- status = "experimental"
-- techniques = ["T1552.004", "T1486"]
-- key = ["principal_id", "vault_name"]
-- every = "10m"
-- window = "1h"
-- lookback = "2h"
-- baseline = "36d"
-- quiet_for = "12h"
-- min_coverage = "3d"
-- false_positives = ["A batch that runs at the end of a month or a quarter.", "A migration that wraps all data keys anew."]
-- response = [
--   "Ask the owner of the caller which job ran.",
--   "If none did: revoke the caller's credential, and find out what was decrypted or signed, for the log names the key and not the data.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1552/004/"]
-- false_alarm_rate = "alpha = 0.00001 in each step over all pairs tested, and five times the own busiest hour of five weeks, so that twice the pods and a monthly batch stay silent."
--
-- [parameters]
-- min_operations = { default = 200, min = 10, about = "Fewest operations in an hour." }
-- newcomer_operations = { default = 5000, min = 10, about = "Fewest for a caller without history on the vault." }
-- ratio = { default = 5.0, min = 1.0, about = "How many times the own busiest hour before, from which it is low." }
-- alpha = { default = 0.00001, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all pairs tested." }
-- history = { default = "35d", about = "How far back the own hours count: more than a month." }
-- prior_hours = { default = 6.0, min = 0.1, about = "Weight of callers in general against the own active hours." }
-- +++
WITH bins AS (
    SELECT principal_id, vault_name, date_bin($every, time) AS bin, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_class = 'crypto' AND outcome = 'success'
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY principal_id, vault_name, date_bin($every, time)
),
windows AS (
    SELECT principal_id, vault_name, window_end, date_trunc('day', window_end - $window) AS base_day, sum(calls) AS calls
    FROM (
        SELECT b.*, b.bin + hop.ahead AS window_end
        FROM bins b
        CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                           (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
    ) AS spread
    WHERE window_end > $from AND window_end <= $to
    GROUP BY principal_id, vault_name, window_end
    HAVING sum(calls) >= $min_operations
),
daily AS (
    SELECT principal_id, vault_name, date_trunc('day', hour) AS day, count(*) AS hours, sum(calls) AS total, sum(calls * calls) AS squares, max(calls) AS peak
    FROM (
        SELECT principal_id, vault_name, hour, CAST(sum(calls) AS DOUBLE) AS calls
        FROM activity
        WHERE hour >= $from - $lookback - $baseline AND hour < $to AND operation_class = 'crypto' AND outcome = 'success'
          AND principal_id IS NOT NULL AND vault_name IS NOT NULL
        GROUP BY principal_id, vault_name, hour
    ) AS hourly
    GROUP BY principal_id, vault_name, date_trunc('day', hour)
),
pairs AS (
    SELECT w.base_day, d.principal_id, d.vault_name, sum(d.hours) AS hours, sum(d.total) AS total, sum(d.squares) AS squares, max(d.peak) AS peak, count(*) AS days
    FROM (SELECT DISTINCT base_day FROM windows) w
    JOIN daily d ON d.day < w.base_day AND d.day >= w.base_day - $history
    GROUP BY w.base_day, d.principal_id, d.vault_name
),
peers AS (
    -- Callers in general, by their medians: one busy caller must not excuse the next.
    SELECT base_day, count(*) AS pairs, median(total / hours) AS middle FROM pairs GROUP BY base_day
),
covered AS (
    SELECT w.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM windows) w
    JOIN coverage c ON c.hour < w.base_day AND c.hour >= w.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY w.base_day
),
moments AS (
    SELECT w.*, coalesce(o.hours, 0) AS hours, coalesce(o.days, 0) AS days, coalesce(o.peak, 0) AS peak, coalesce(p.pairs, 0) + 1 AS tests,
           (coalesce(o.total, 0) + $prior_hours * coalesce(p.middle, 30)) / (coalesce(o.hours, 0) + $prior_hours) AS mean,
           (coalesce(o.squares, 0) + $prior_hours * 3 * power(coalesce(p.middle, 30), 2)) / (coalesce(o.hours, 0) + $prior_hours) AS square
    FROM windows w
    JOIN covered c ON c.base_day = w.base_day AND 3600 * c.hours >= extract(epoch FROM $min_coverage)
    LEFT JOIN pairs o ON o.base_day = w.base_day AND o.principal_id = w.principal_id AND o.vault_name = w.vault_name
    LEFT JOIN peers p ON p.base_day = w.base_day
),
fired AS (
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(CAST(calls AS DOUBLE), mean, greatest(0.1, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
        -- Half the ratio is told as informational.
        WHERE CASE WHEN days > 0 THEN calls >= $ratio / 2 * peak ELSE calls >= $newcomer_operations END
    ) AS scored
    WHERE p_value <= $alpha
),
habits AS (
    SELECT DISTINCT w.principal_id, w.base_day, s.kind, CASE WHEN s.kind = 'address' THEN ip_network(s.value) ELSE s.value END AS value
    FROM (SELECT DISTINCT principal_id, base_day FROM fired) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind IN ('address', 'object') AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
networks AS (SELECT principal_id, base_day, count(*) AS networks FROM habits WHERE kind = 'address' GROUP BY principal_id, base_day),
uses AS (
    SELECT f.principal_id, f.vault_name, f.window_end, f.base_day, e.caller_ip, e.object_name, e.operation_name, e.client_product, count(*) AS calls,
           max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type, min(e.time) AS first_time, max(e.time) AS last_time
    FROM fired f
    JOIN events e ON e.principal_id = f.principal_id AND e.vault_name = f.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.time >= f.window_end - $window AND e.time < f.window_end
      AND e.operation_class = 'crypto' AND e.outcome = 'success'
    GROUP BY f.principal_id, f.vault_name, f.window_end, f.base_day, e.caller_ip, e.object_name, e.operation_name, e.client_product
),
detail AS (
    SELECT u.principal_id, u.vault_name, u.window_end, max(u.principal_name) AS principal_name, max(u.principal_type) AS principal_type,
           min(u.first_time) AS first_time, max(u.last_time) AS last_time,
           array_agg(DISTINCT u.object_name ORDER BY u.object_name) FILTER (WHERE u.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT u.operation_name ORDER BY u.operation_name) AS operation_name,
           array_agg(DISTINCT u.caller_ip ORDER BY u.caller_ip) FILTER (WHERE u.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT u.client_product ORDER BY u.client_product) FILTER (WHERE u.client_product IS NOT NULL) AS client_product,
           count(DISTINCT u.object_name) FILTER (WHERE o.value IS NULL) AS new_keys,
           bool_or(a.value IS NULL AND NOT coalesce(ip_is_private(u.caller_ip), true)) AS new_network
    FROM uses u
    LEFT JOIN habits o ON o.kind = 'object' AND o.principal_id = u.principal_id AND o.base_day = u.base_day AND o.value = u.vault_name || '/key/' || u.object_name
    LEFT JOIN habits a ON a.kind = 'address' AND a.principal_id = u.principal_id AND a.base_day = u.base_day AND a.value = ip_network(u.caller_ip)
    GROUP BY u.principal_id, u.vault_name, u.window_end
),
judged AS (
    SELECT f.*, d.principal_name, d.principal_type, d.first_time, d.last_time, d.object_name, d.operation_name, d.caller_ip, d.client_product,
           f.days > 0 AND d.new_keys > 0 AS foreign_keys, d.new_keys,
           -- A caller that comes from ever-changing networks says nothing by one more.
           f.days > 0 AND d.new_network AND coalesce(n.networks, 0) <= 3 + f.days / 4 AS new_network
    FROM fired f
    JOIN detail d ON d.principal_id = f.principal_id AND d.vault_name = f.vault_name AND d.window_end = f.window_end
    LEFT JOIN networks n ON n.principal_id = f.principal_id AND n.base_day = f.base_day
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    mean AS expected,
    p_value,
    CASE
        WHEN foreign_keys AND new_network THEN 'high'
        WHEN foreign_keys OR new_network THEN 'medium'
        WHEN days >= 3 AND calls >= $ratio * peak THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' made ', calls, ' key operations (', array_to_string(operation_name, ', '), ') on vault ', vault_name,
        ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC; ',
        CASE WHEN days = 0 THEN 'it has no history of them on this vault'
             ELSE concat('about ', CAST(round(mean) AS BIGINT), ' are usual in an active hour, and its busiest before had ', CAST(peak AS BIGINT)) END,
        CASE WHEN foreign_keys THEN concat('. It never used ', new_keys, ' of the keys before') ELSE '' END,
        CASE WHEN new_network THEN concat('. It came from a public network new to it (', array_to_string(caller_ip, ', '), ')') ELSE '' END,
        CASE WHEN foreign_keys OR new_network THEN '.' ELSE '. The volume alone cannot tell a large batch from abuse.' END
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    'key' AS object_type,
    object_name,
    operation_name,
    caller_ip,
    client_product,
    new_keys,
    new_network,
    CAST(peak AS BIGINT) AS busiest_hour_before,
    hours AS active_hours_before,
    days AS active_days_before,
    tests AS pairs_tested,
    first_time,
    last_time,
    'operation_class = ''crypto'' AND outcome = ''success''' AS drilldown_filter
FROM judged
