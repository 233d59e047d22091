-- +++
-- title = "A caller's volume on a vault is out of line for the day and hour"
-- description = """
-- Counts the calls of a caller on a vault in a clock hour and compares them with the same hour of the day on the same kind of day
-- (weekday or weekend) in five weeks, hours without calls counted as none where the logs cover them. What is expected is drawn
-- towards the caller's hours of any kind, and the spread comes from the same hours. Volume alone is informational, and low where
-- it is far beyond the caller's busiest hour of five weeks, so that twice the pods, a nightly job and a monthly one stay silent.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1499.003", "T1555.006"]
-- key = ["principal_id", "vault_name"]
-- every = "1h"
-- window = "1h"
-- lookback = "1h"
-- baseline = "36d"
-- quiet_for = "1d"
-- min_coverage = "7d"
-- false_positives = ["A load test.", "A service whose cache is switched off or that restarts in a loop."]
-- response = ["Ask the owner of the caller what ran in this hour.", "Look at what was read, and whether addresses and clients are the usual ones."]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/service-limits"]
-- false_alarm_rate = "alpha = 0.00002 in each hour over all pairs, one false finding in five years if the model holds; low asks for eight times the busiest hour as well."
--
-- [parameters]
-- min_calls = { default = 300, min = 10, about = "Fewest calls in an hour." }
-- ratio = { default = 3.0, min = 1.0, about = "How many times the busiest hour of the history, of whatever day, from which it is told." }
-- low_ratio = { default = 8.0, min = 1.0, about = "The same from which it is low." }
-- low_calls = { default = 2000, min = 10, about = "Fewest calls in an hour from which it is low." }
-- alpha = { default = 0.00002, min = 0.0, max = 1.0, about = "Chance of a false finding in one hour, over all pairs tested." }
-- history = { default = "35d", about = "How far back hours count." }
-- min_days = { default = 5, min = 3, about = "Fewest days on which the caller used the vault." }
-- prior_hours = { default = 8.0, min = 0.1, about = "Weight of the caller's hours of any kind against those of this hour of the day." }
-- +++
WITH windows AS (
    SELECT principal_id, vault_name, date_trunc('hour', time) AS hour, date_trunc('day', time) AS base_day, extract(hour FROM min(time)) AS slot,
           extract(dow FROM min(time)) IN (0, 6) AS weekend, count(*) AS calls, min(time) AS first_time, max(time) AS last_time,
           max(principal_name) AS principal_name, max(principal_type) AS principal_type,
           count(*) FILTER (WHERE outcome = 'success') AS successes, count(*) FILTER (WHERE outcome = 'throttled') AS throttled
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND principal_id IS NOT NULL AND vault_name IS NOT NULL
      AND operation_class NOT IN ('notify', 'authenticate', 'policy')
    GROUP BY principal_id, vault_name, date_trunc('hour', time), date_trunc('day', time)
    HAVING count(*) >= $min_calls AND date_trunc('hour', time) + $window > $from AND date_trunc('hour', time) + $window <= $to
),
hourly AS (
    SELECT a.principal_id, a.vault_name, a.hour, CAST(sum(a.calls) AS DOUBLE) AS calls
    FROM activity a
    JOIN (SELECT DISTINCT principal_id, vault_name FROM windows) w ON w.principal_id = a.principal_id AND w.vault_name = a.vault_name
    WHERE a.hour >= $from - $lookback - $baseline AND a.hour < $to AND a.operation_class NOT IN ('notify', 'authenticate', 'policy')
    GROUP BY a.principal_id, a.vault_name, a.hour
),
overall AS (
    -- The caller's hours of any kind on the vault, from their daily sums.
    SELECT w.principal_id, w.vault_name, w.base_day, count(*) AS days, sum(d.hours) AS hours, sum(d.total) AS total, sum(d.squares) AS squares,
           max(d.peak) AS peak, min(d.day) AS first_day
    FROM (SELECT DISTINCT principal_id, vault_name, base_day FROM windows) w
    JOIN (
        SELECT principal_id, vault_name, date_trunc('day', hour) AS day, count(*) AS hours, sum(calls) AS total, sum(calls * calls) AS squares, max(calls) AS peak
        FROM hourly
        GROUP BY principal_id, vault_name, date_trunc('day', hour)
    ) AS d ON d.principal_id = w.principal_id AND d.vault_name = w.vault_name AND d.day < w.base_day AND d.day >= w.base_day - $history
    GROUP BY w.principal_id, w.vault_name, w.base_day
),
far AS (
    -- Most hours drop out here.
    SELECT w.*, o.days, o.hours, o.total, o.squares, o.peak, o.first_day
    FROM windows w
    JOIN overall o ON o.principal_id = w.principal_id AND o.vault_name = w.vault_name AND o.base_day = w.base_day
    WHERE o.days >= $min_days AND w.calls >= $ratio * o.peak
),
seasonal AS (
    SELECT f.principal_id, f.vault_name, f.hour, sum(h.calls) AS total, sum(h.calls * h.calls) AS squares
    FROM far f
    JOIN (SELECT *, extract(hour FROM hour) AS slot, extract(dow FROM hour) IN (0, 6) AS weekend FROM hourly) AS h
      ON h.principal_id = f.principal_id AND h.vault_name = f.vault_name AND h.slot = f.slot AND h.weekend = f.weekend
     AND h.hour < f.base_day AND h.hour >= f.base_day - $history
    GROUP BY f.principal_id, f.vault_name, f.hour
),
covered AS (
    -- Hours like this one that the vault's logs cover since the caller is known there.
    SELECT f.principal_id, f.vault_name, f.hour, count(DISTINCT c.hour) FILTER (WHERE extract(hour FROM c.hour) = f.slot AND (extract(dow FROM c.hour) IN (0, 6)) = f.weekend) AS alike,
           count(DISTINCT c.hour) AS hours
    FROM far f
    JOIN coverage c ON c.vault_name = f.vault_name AND c.hour < f.base_day AND c.hour >= f.base_day - $history AND c.hour >= f.first_day
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY f.principal_id, f.vault_name, f.hour
),
tests AS (
    SELECT d.base_day, count(*) AS pairs
    FROM (SELECT DISTINCT base_day FROM far) d
    JOIN (
        SELECT DISTINCT principal_id, vault_name, date_trunc('day', first_time) AS day
        FROM sightings
        WHERE kind = 'vault' AND day >= $from - $lookback - $baseline AND day < $to
    ) AS s ON s.day = d.base_day - INTERVAL '1 day'
    GROUP BY d.base_day
),
moments AS (
    SELECT f.*, c.alike, c.hours AS covered_hours, coalesce(t.pairs, 0) + 1 AS tests,
           (coalesce(s.total, 0) + $prior_hours * f.total / f.hours) / (c.alike + $prior_hours) AS mean,
           (coalesce(s.squares, 0) + $prior_hours * f.squares / f.hours) / (c.alike + $prior_hours) AS square
    FROM far f
    JOIN covered c ON c.principal_id = f.principal_id AND c.vault_name = f.vault_name AND c.hour = f.hour
    LEFT JOIN seasonal s ON s.principal_id = f.principal_id AND s.vault_name = f.vault_name AND s.hour = f.hour
    LEFT JOIN tests t ON t.base_day = f.base_day
    WHERE 3600 * c.hours >= extract(epoch FROM $min_coverage)
),
fired AS (
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(CAST(calls AS DOUBLE), mean, greatest(0.1, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
    ) AS scored
    WHERE p_value <= $alpha
),
detail AS (
    SELECT f.principal_id, f.vault_name, f.hour,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) FILTER (WHERE e.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) FILTER (WHERE e.client_product IS NOT NULL) AS client_product,
           count(DISTINCT e.object_type || '/' || e.object_name) AS objects
    FROM fired f
    JOIN events e ON e.principal_id = f.principal_id AND e.vault_name = f.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.time >= f.hour AND e.time < f.hour + $window
      AND e.operation_class NOT IN ('notify', 'authenticate', 'policy')
    GROUP BY f.principal_id, f.vault_name, f.hour
),
leading AS (
    -- The operation that most of the hour's calls are.
    SELECT f.principal_id, f.vault_name, f.hour, first_value(a.operation_name ORDER BY a.calls DESC, a.operation_name) AS operation, max(a.calls) AS calls
    FROM fired f
    JOIN (
        SELECT principal_id, vault_name, hour, operation_name, CAST(sum(calls) AS BIGINT) AS calls
        FROM activity
        WHERE hour >= $from - $lookback AND hour < $to AND operation_class NOT IN ('notify', 'authenticate', 'policy')
        GROUP BY principal_id, vault_name, hour, operation_name
    ) a ON a.principal_id = f.principal_id AND a.vault_name = f.vault_name AND a.hour = f.hour
    GROUP BY f.principal_id, f.vault_name, f.hour
)
SELECT
    f.hour AS window_start,
    f.hour + $window AS window_end,
    f.principal_id,
    f.vault_name,
    CAST(f.calls AS DOUBLE) AS observed,
    f.mean AS expected,
    f.p_value,
    CASE WHEN f.calls >= $low_ratio * f.peak AND f.calls >= $low_calls THEN 'low' ELSE 'informational' END AS severity,
    concat(
        coalesce(f.principal_name, f.principal_id), ' made ', f.calls, ' calls on vault ', f.vault_name, ' from ', to_char(f.hour, '%H:%M'), ' to ',
        to_char(f.hour + $window, '%H:%M'), ' UTC on ', to_char(f.hour, '%A, %Y-%m-%d'), ', where about ', round(f.mean, 1),
        ' are usual at this hour of a ', CASE WHEN f.weekend THEN 'weekend' ELSE 'working' END, ' day; its busiest hour in ', f.days,
        ' days had ', CAST(f.peak AS BIGINT), '. ',
        CASE WHEN l.calls = f.calls THEN concat('All of its calls are ', l.operation)
             ELSE concat(l.operation, ' makes ', l.calls, ' of its ', f.calls, ' calls') END,
        CASE WHEN f.throttled > 0 THEN concat('. ', f.throttled, ' of the calls were throttled') ELSE '' END, '.'
    ) AS summary,
    f.calls AS event_count,
    f.principal_name,
    f.principal_type,
    d.operation_name,
    l.operation AS leading_operation,
    l.calls AS leading_calls,
    d.caller_ip,
    d.client_product,
    d.objects AS distinct_objects,
    f.successes,
    f.throttled,
    CAST(f.peak AS BIGINT) AS busiest_hour_before,
    f.alike AS hours_like_this_one,
    f.covered_hours,
    f.days AS active_days_before,
    f.tests AS pairs_tested,
    f.first_time,
    f.last_time,
    'operation_class NOT IN (''notify'', ''authenticate'', ''policy'')' AS drilldown_filter
FROM fired f
JOIN detail d ON d.principal_id = f.principal_id AND d.vault_name = f.vault_name AND d.hour = f.hour
JOIN leading l ON l.principal_id = f.principal_id AND l.vault_name = f.vault_name AND l.hour = f.hour
