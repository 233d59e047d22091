-- +++
-- title = "Deleted objects brought back, or backups restored"
-- description = """
-- Counts the different objects and vaults that one caller recovers or restores in a day, ending at each such call, and compares
-- the count with the caller's own days over five weeks and with those who do it seldom. Who brings back what was deleted
-- within the last two days repairs, and that is information, as is a lone recovery. A restore into another vault than the one
-- from which an object of that name was backed up these days weighs, and so do reads of what was brought back by the same caller.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1555.006", "T1578"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1d"
-- lookback = "3d"
-- baseline = "38d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["A rehearsal of a disaster.", "A vault that is moved to another region."]
-- response = [
--   "Ask the caller what was brought back and why.",
--   "If nobody explains it: disable the objects, look who read them since, and rotate what they open elsewhere.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/key-vault-recovery"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.0005; repairs and lone recoveries are information."
--
-- [parameters]
-- min_objects = { default = 5, min = 2, about = "Fewest different objects in a day." }
-- min_moved = { default = 2, min = 1, about = "Fewest objects restored into another vault than they were backed up from." }
-- ratio = { default = 2.0, min = 1.0, about = "How many times the own busiest day." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "35d", about = "How far back days count; at most the baseline less two days." }
-- repair = { default = "2d", about = "What was deleted so shortly before is brought back to repair." }
-- seldom_days = { default = 3, min = 1, about = "Days with recoveries in the history up to which a caller does it seldom." }
-- prior_days = { default = 7.0, min = 0.1, about = "Weight of those who do it seldom against the caller's own days." }
-- +++
WITH acts AS (
    -- A restore may tell no name: each such call is an object then.
    SELECT principal_id, date_bin($every, time) AS bin, min(time) AS time, operation_class, coalesce(vault_name, '') AS vault_name,
           CASE WHEN object_type IN ('secret', 'key', 'certificate') THEN object_type ELSE 'vault' END AS object_type,
           CASE WHEN object_type IN ('secret', 'key', 'certificate') THEN lower(coalesce(object_name, concat('unnamed at ', CAST(time AS VARCHAR)))) ELSE '' END AS object_name,
           count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_class IN ('delete', 'backup', 'restore') AND outcome = 'success'
      AND principal_id IS NOT NULL
    GROUP BY principal_id, date_bin($every, time), operation_class, coalesce(vault_name, ''),
           CASE WHEN object_type IN ('secret', 'key', 'certificate') THEN object_type ELSE 'vault' END,
           CASE WHEN object_type IN ('secret', 'key', 'certificate') THEN lower(coalesce(object_name, concat('unnamed at ', CAST(time AS VARCHAR)))) ELSE '' END
),
ends AS (
    SELECT principal_id, window_end, date_trunc('day', window_end - $window) AS base_day
    FROM (SELECT DISTINCT principal_id, bin + $every AS window_end FROM acts WHERE operation_class = 'restore') AS bins
    WHERE window_end > $from AND window_end <= $to
),
days AS (SELECT DISTINCT base_day FROM ends),
inside AS (
    SELECT e.principal_id, e.window_end, e.base_day, a.vault_name, a.object_type, a.object_name, min(a.time) AS time, sum(a.calls) AS calls
    FROM ends e
    JOIN acts a ON a.principal_id = e.principal_id AND a.bin >= e.window_end - $window AND a.bin < e.window_end
    WHERE a.operation_class = 'restore'
    GROUP BY 1, 2, 3, 4, 5, 6
),
repaired AS (
    SELECT DISTINCT i.principal_id, i.window_end, i.vault_name, i.object_type, i.object_name
    FROM inside i JOIN acts d ON d.vault_name = i.vault_name AND d.object_type = i.object_type AND d.object_name = i.object_name
    WHERE d.operation_class = 'delete' AND d.time <= i.time AND d.time >= i.window_end - $window - $repair
),
moved AS (
    -- Backed up from another vault, and not from this one.
    SELECT i.principal_id, i.window_end, i.vault_name, i.object_type, i.object_name
    FROM inside i JOIN acts b ON b.object_type = i.object_type AND b.object_name = i.object_name
    WHERE b.operation_class = 'backup' AND i.object_type <> 'vault' AND i.object_name <> ''
      AND b.time <= i.time AND b.time >= i.window_end - $window - $repair
    GROUP BY 1, 2, 3, 4, 5
    HAVING NOT bool_or(b.vault_name = i.vault_name)
),
opened AS (
    SELECT DISTINCT i.principal_id, i.window_end, i.vault_name, i.object_type, i.object_name
    FROM inside i
    JOIN events r ON r.principal_id = i.principal_id AND r.vault_name = i.vault_name AND lower(r.object_name) = i.object_name
    WHERE r.time >= $from - $lookback AND r.time < $to AND r.operation_class IN ('read', 'crypto') AND r.outcome = 'success'
      AND r.time > i.time AND r.time < i.window_end AND i.object_name <> ''
),
windows AS (
    SELECT i.principal_id, i.window_end, i.base_day, count(*) AS targets, sum(i.calls) AS calls,
           count(r.object_type) AS repaired, count(m.object_type) AS moved, count(o.object_type) AS opened
    FROM inside i
    LEFT JOIN repaired r ON r.principal_id = i.principal_id AND r.window_end = i.window_end AND r.vault_name = i.vault_name
     AND r.object_type = i.object_type AND r.object_name = i.object_name
    LEFT JOIN moved m ON m.principal_id = i.principal_id AND m.window_end = i.window_end AND m.vault_name = i.vault_name
     AND m.object_type = i.object_type AND m.object_name = i.object_name
    LEFT JOIN opened o ON o.principal_id = i.principal_id AND o.window_end = i.window_end AND o.vault_name = i.vault_name
     AND o.object_type = i.object_type AND o.object_name = i.object_name
    GROUP BY 1, 2, 3
),
daily AS (
    SELECT principal_id, date_trunc('day', hour) AS day, CAST(sum(calls) AS DOUBLE) AS calls
    FROM activity
    WHERE operation_class = 'restore' AND outcome = 'success' AND principal_id IS NOT NULL
      AND hour >= $from - $lookback - $baseline AND hour < $to
    GROUP BY 1, 2
),
own AS (
    SELECT d.base_day, h.principal_id, count(*) AS days, sum(h.calls) AS total, sum(h.calls * h.calls) AS squares, max(h.calls) AS peak
    FROM days d JOIN daily h ON h.day < d.base_day AND h.day >= d.base_day - $history
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
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
moments AS (
    SELECT w.*, coalesce(o.days, 0) AS days, coalesce(o.peak, 0) AS peak, coalesce(c.hours, 0) AS hours, coalesce(k.callers, 0) + 1 AS tests,
           (coalesce(o.total, 0) + $prior_days * (coalesce(s.total, 0) + 0.5) / (coalesce(k.caller_days, 0) + 1))
               / (coalesce(c.hours, 0) / 24.0 + $prior_days) AS mean,
           (coalesce(o.squares, 0) + $prior_days * (coalesce(s.squares, 0) + 0.5) / (coalesce(k.caller_days, 0) + 1))
               / (coalesce(c.hours, 0) / 24.0 + $prior_days) AS square
    FROM windows w
    LEFT JOIN own o ON o.principal_id = w.principal_id AND o.base_day = w.base_day
    LEFT JOIN seldom s ON s.base_day = w.base_day
    LEFT JOIN callers k ON k.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
),
judged AS (
    SELECT *, targets - repaired >= $min_objects AND p_value <= $alpha AND 3600 * hours >= extract(epoch FROM $min_coverage) AS burst
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(
                   CAST(targets - repaired AS DOUBLE), mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
        WHERE targets >= $ratio * peak
    ) AS scored
),
detail AS (
    SELECT f.principal_id, f.window_end, max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) FILTER (WHERE e.vault_name IS NOT NULL) AS vault_name,
           array_agg(DISTINCT e.object_name ORDER BY e.object_name) FILTER (WHERE e.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) FILTER (WHERE e.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) FILTER (WHERE e.client_product IS NOT NULL) AS client_product,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM judged f
    JOIN events e ON e.principal_id = f.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.operation_class = 'restore' AND e.outcome = 'success'
      AND e.time >= f.window_end - $window AND e.time < f.window_end
    GROUP BY 1, 2
)
SELECT
    f.window_end - $window AS window_start,
    f.window_end,
    f.principal_id,
    CAST(f.targets AS DOUBLE) AS observed,
    f.mean AS expected,
    f.p_value,
    CASE
        WHEN f.burst AND (f.moved > 0 OR f.opened >= $min_objects) THEN 'high'
        WHEN f.burst OR f.moved >= $min_moved THEN 'medium'
        ELSE 'informational'
    END AS severity,
    concat(
        coalesce(d.principal_name, f.principal_id), ' brought back ', f.targets, CASE WHEN f.targets = 1 THEN ' object' ELSE ' objects' END, ' of ',
        CASE WHEN cardinality(d.vault_name) = 1 THEN concat('vault ', d.vault_name[1]) ELSE concat(coalesce(cardinality(d.vault_name), 0), ' vaults') END,
        ' in the day to ', to_char(f.window_end, '%Y-%m-%d %H:%M'), ' UTC (', array_to_string(d.operation_name, ', '), '); ',
        CASE WHEN f.days = 0 THEN 'it did not do so before' ELSE concat('its busiest day before had ', CAST(f.peak AS BIGINT)) END,
        CASE WHEN f.repaired > 0 THEN concat('. ', f.repaired, ' had been deleted within two days, which looks like a repair') ELSE '' END,
        CASE WHEN f.moved > 0 THEN concat('. ', f.moved, ' had been backed up from another vault') ELSE '' END,
        CASE WHEN f.opened > 0 THEN concat('. It then read ', f.opened, ' of them') ELSE '' END
    ) AS summary,
    f.calls AS event_count,
    d.principal_name,
    d.principal_type,
    d.app_id,
    d.vault_name,
    d.object_name,
    d.operation_name,
    d.caller_ip,
    d.client_product,
    f.repaired AS deleted_shortly_before,
    f.moved AS from_another_vault,
    f.opened AS read_afterwards,
    CAST(f.peak AS BIGINT) AS busiest_day_before,
    f.days AS days_with_recoveries_before,
    f.hours AS covered_hours,
    f.tests AS callers_tested,
    d.first_time,
    d.last_time,
    'operation_class = ''restore'' AND outcome = ''success''' AS drilldown_filter
FROM judged f
JOIN detail d ON d.principal_id = f.principal_id AND d.window_end = f.window_end
WHERE f.burst OR f.moved > 0 OR f.days = 0
