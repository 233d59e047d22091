-- +++
-- title = "A caller rereads the same secret without need"
-- description = """
-- Counts how often one caller reads the same version of the same object of a vault within an hour. A value that was read does
-- not change until it is rotated, so a cache would have answered. Fires when the rate is new: several times the caller's own
-- busiest hour on that vault in four weeks, or, for a caller without history, far above what polling of any kind needs.
-- A chronic caller is a matter for the cost review and stays silent here.
-- """
-- severity = "low"
-- status = "stable"
-- techniques = ["T1499.003"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "1h"
-- lookback = "1h"
-- baseline = "31d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["A load test.", "A service that grows manyfold within a day."]
-- response = [
--   "Tell the owner of the caller which object it reads and how often; a cache of some minutes is enough.",
--   "Look at the bill: every ten thousand reads cost, and so do their log records.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/service-limits"]
-- false_alarm_rate = "A chance of 0.0001 in each step over all pairs tested, and a factor of 2.5 over the own busiest hour, so that twice the pods stay silent."
--
-- [parameters]
-- min_rereads = { default = 240, min = 10, about = "Fewest rereads of one object version in an hour; four a minute." }
-- newcomer_rereads = { default = 1200, min = 10, about = "Fewest for a caller without history on the vault; one in three seconds." }
-- uncovered_rereads = { default = 7200, min = 10, about = "The same while the logs cover less than min_coverage; two a second." }
-- ratio = { default = 2.5, min = 1.0, about = "How many times the own busiest hour on the vault." }
-- alpha = { default = 0.0001, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all pairs tested." }
-- history = { default = "28d", about = "How far back the own hours count; at most the baseline less two days." }
-- guard = { default = "12h", about = "The last hours before a window do not count as history." }
-- prior_hours = { default = 3.0, min = 0.1, about = "Weight of callers in general against the own active hours." }
-- +++
WITH bins AS (
    SELECT principal_id, vault_name, object_type, object_name, coalesce(object_version, '') AS object_version,
           date_bin($every, time) AS bin, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to
      AND operation_class = 'read' AND outcome = 'success'
      AND object_name IS NOT NULL AND principal_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY principal_id, vault_name, object_type, object_name, coalesce(object_version, ''), date_bin($every, time)
),
busy AS (
    -- Two adjacent hours bound any window of one hour; most objects are read a few times and drop out here.
    SELECT principal_id, vault_name, object_type, object_name, object_version
    FROM (
        SELECT principal_id, vault_name, object_type, object_name, object_version, hour, calls,
               lag(calls) OVER w AS calls_before, lag(hour) OVER w AS hour_before
        FROM (
            SELECT principal_id, vault_name, object_type, object_name, object_version, date_trunc('hour', bin) AS hour, sum(calls) AS calls
            FROM bins
            GROUP BY principal_id, vault_name, object_type, object_name, object_version, date_trunc('hour', bin)
        ) AS hourly
        WINDOW w AS (PARTITION BY principal_id, vault_name, object_type, object_name, object_version ORDER BY hour)
    ) AS pairs
    WHERE calls + CASE WHEN hour_before = hour - INTERVAL '1 hour' THEN calls_before ELSE 0 END > $min_rereads
    GROUP BY principal_id, vault_name, object_type, object_name, object_version
),
hops AS (
    SELECT principal_id, vault_name, object_type, object_name, object_version, window_end, sum(calls) AS calls
    FROM (
        SELECT b.principal_id, b.vault_name, b.object_type, b.object_name, b.object_version, b.calls, b.bin + hop.ahead AS window_end
        FROM bins b
        JOIN (SELECT DISTINCT principal_id, vault_name FROM busy) who
          ON who.principal_id = b.principal_id AND who.vault_name = b.vault_name
        CROSS JOIN (VALUES
            (INTERVAL '5 minutes'), (INTERVAL '10 minutes'), (INTERVAL '15 minutes'), (INTERVAL '20 minutes'),
            (INTERVAL '25 minutes'), (INTERVAL '30 minutes'), (INTERVAL '35 minutes'), (INTERVAL '40 minutes'),
            (INTERVAL '45 minutes'), (INTERVAL '50 minutes'), (INTERVAL '55 minutes'), (INTERVAL '60 minutes')
        ) AS hop (ahead)
    ) AS spread
    WHERE window_end > $from AND window_end <= $to
    GROUP BY principal_id, vault_name, object_type, object_name, object_version, window_end
),
windows AS (
    -- A pair in a window: all its reads, and the version that it reads most.
    SELECT principal_id, vault_name, window_end, date_trunc('day', window_end - $window - $guard) AS base_day,
           sum(calls) AS calls, count(*) AS versions, max(calls) - 1 AS rereads,
           first_value(object_type || '/' || object_name ORDER BY calls DESC, object_name) AS top_object,
           first_value(object_name ORDER BY calls DESC, object_name) AS object_name,
           first_value(object_type ORDER BY calls DESC, object_name) AS object_type,
           count(*) FILTER (WHERE calls > $min_rereads) AS reread_versions
    FROM hops
    GROUP BY principal_id, vault_name, window_end
    HAVING max(calls) - 1 >= $min_rereads
),
hourly AS (
    SELECT principal_id, vault_name, hour, CAST(sum(calls) AS DOUBLE) AS calls
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to
      AND operation_class = 'read' AND outcome = 'success' AND distinct_objects > 0
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY principal_id, vault_name, hour
),
own AS (
    SELECT w.principal_id, w.vault_name, w.base_day, count(*) AS hours, count(DISTINCT date_trunc('day', h.hour)) AS days,
           sum(h.calls) AS total, sum(h.calls * h.calls) AS squares, max(h.calls) AS peak
    FROM (SELECT DISTINCT principal_id, vault_name, base_day FROM windows) w
    JOIN hourly h ON h.principal_id = w.principal_id AND h.vault_name = w.vault_name
     AND h.hour < w.base_day AND h.hour >= w.base_day - $history
    GROUP BY w.principal_id, w.vault_name, w.base_day
),
pairs AS (
    SELECT d.base_day, h.principal_id, h.vault_name, avg(h.calls) AS mean
    FROM (SELECT DISTINCT base_day FROM windows) d
    JOIN hourly h ON h.hour < d.base_day AND h.hour >= d.base_day - $history
    GROUP BY d.base_day, h.principal_id, h.vault_name
),
peers AS (
    -- Callers in general, by their median: one chatty caller must not excuse the next.
    SELECT base_day, count(*) AS pairs, median(mean) AS middle FROM pairs GROUP BY base_day
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM windows) d
    JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
moments AS (
    SELECT w.*, coalesce(c.hours, 0) AS covered_hours, coalesce(o.hours, 0) AS hours, coalesce(o.days, 0) AS days, coalesce(o.peak, 0) AS peak,
           coalesce(p.pairs, 0) + 1 AS tests,
           (coalesce(o.total, 0) + $prior_hours * coalesce(p.middle, 30)) / (coalesce(o.hours, 0) + $prior_hours) AS mean,
           (coalesce(o.squares, 0) + $prior_hours * 3 * power(coalesce(p.middle, 30), 2)) / (coalesce(o.hours, 0) + $prior_hours) AS square
    FROM windows w
    LEFT JOIN own o ON o.principal_id = w.principal_id AND o.vault_name = w.vault_name AND o.base_day = w.base_day
    LEFT JOIN peers p ON p.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
),
fired AS (
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(
                   CAST(calls AS DOUBLE), mean, greatest(0.02, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
        WHERE CASE
            WHEN days >= 1 THEN calls >= $ratio * peak
            WHEN 3600 * covered_hours < extract(epoch FROM $min_coverage) THEN rereads >= $uncovered_rereads
            ELSE rereads >= $newcomer_rereads
        END
    ) AS scored
    WHERE p_value <= $alpha
),
detail AS (
    SELECT f.principal_id, f.vault_name, f.window_end, max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type,
           max(e.app_id) AS app_id, max(lower(e.resource_id)) AS resource_id,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM fired f
    JOIN events e ON e.principal_id = f.principal_id AND e.vault_name = f.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.time >= f.window_end - $window AND e.time < f.window_end
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
    GROUP BY f.principal_id, f.vault_name, f.window_end
)
SELECT
    f.window_end - $window AS window_start,
    f.window_end,
    f.principal_id,
    f.vault_name,
    CAST(f.calls AS DOUBLE) AS observed,
    f.mean AS expected,
    f.p_value,
    CASE WHEN f.calls >= 20 * f.peak AND f.calls >= 3600 THEN 'medium' ELSE 'low' END AS severity,
    concat(
        coalesce(d.principal_name, f.principal_id), ' read ', f.object_type, ' ', f.object_name, ' of vault ', f.vault_name, ' ',
        f.rereads + 1, ' times in the hour to ', to_char(f.window_end, '%Y-%m-%d %H:%M'), ' UTC, the same version each time; ',
        CASE WHEN f.days = 0 THEN 'it has no history on this vault'
             ELSE concat('its busiest hour on this vault before had ', CAST(f.peak AS BIGINT), ' reads of any kind') END,
        '. At this rate it costs about $', CAST(CAST(f.calls * 24 * 30 * 0.03 / 10000 AS DECIMAL(12, 2)) AS VARCHAR), ' a month in operations.'
    ) AS summary,
    f.calls AS event_count,
    d.principal_name,
    d.principal_type,
    d.app_id,
    d.resource_id,
    f.object_type,
    f.object_name,
    d.caller_ip,
    d.client_product,
    f.rereads,
    f.reread_versions,
    f.versions AS distinct_versions,
    CAST(f.peak AS BIGINT) AS busiest_hour_before,
    f.hours AS active_hours_before,
    f.tests AS pairs_tested,
    f.covered_hours,
    d.first_time,
    d.last_time,
    'operation_class = ''read'' AND outcome = ''success'' AND object_name IS NOT NULL' AS drilldown_filter
FROM fired f
JOIN detail d ON d.principal_id = f.principal_id AND d.vault_name = f.vault_name AND d.window_end = f.window_end
