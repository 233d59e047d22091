-- +++
-- title = "A caller reads unusually many secrets"
-- description = """
-- Counts the different secrets (certificates' private keys are read as secrets too) that one caller reads within an hour and
-- compares the count with the caller's own active hours over four weeks, shrunk towards the busiest hours of callers of its
-- kind. A caller without history is judged by its kind alone, and stays silent where others of its kind do the like. What it
-- reads for the first time weighs more than what it reads again. Before the logs cover three days, nobody is called new.
-- """
-- severity = "high"
-- status = "stable"
-- techniques = ["T1555.006"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1h"
-- lookback = "1h"
-- baseline = "31d"
-- quiet_for = "6h"
-- min_coverage = "3d"
-- false_positives = [
--   "A service that is restructured and starts to read several teams' secrets.",
--   "A migration or an inventory that reads values; give it an identity of its own and suppress that.",
-- ]
-- response = [
--   "Ask the owner of the caller whether the reads were meant, with the list of objects.",
--   "If not: revoke the caller's access, rotate every secret in the list, and look for the addresses in other logs.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.001; by simulation below one alert in ten days for a company of fifty callers."
--
-- [parameters]
-- min_objects = { default = 12, min = 3, about = "Fewest different objects in an hour." }
-- newcomer_objects = { default = 40, min = 3, about = "Fewest for a caller without history that stays in one vault." }
-- uncovered_objects = { default = 100, min = 3, about = "Fewest for a caller without history while the logs cover less than min_coverage." }
-- settled_hours = { default = 8, min = 1, about = "Active hours of its own from which a caller is judged by its history alone, not by its peers too." }
-- alike = { default = 1, min = 1, about = "So many peers with 0.7 of the count in an hour make it usual for a newcomer." }
-- ratio = { default = 1.5, min = 1.0, about = "How many times its own busiest hour." }
-- alpha = { default = 0.001, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "28d", about = "How far back a caller's own hours count; at most the baseline less two days." }
-- guard = { default = "1h", about = "The last hours before a window do not count as history, so that a slow start cannot excuse itself." }
-- prior_hours = { default = 6.0, min = 0.1, about = "Weight of the peers against the caller's own active hours." }
-- +++
WITH reads AS (
    SELECT principal_id, date_trunc('hour', time) AS hour, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to
      AND operation_class = 'read' AND outcome = 'success' AND object_type = 'secret' AND object_name IS NOT NULL
      AND principal_id IS NOT NULL
    GROUP BY principal_id, date_trunc('hour', time)
),
daily AS (
    -- Active hours of each caller, a row a day; days end before any window that uses them starts.
    SELECT principal_id, max(principal_type) AS principal_type, date_trunc('day', hour) AS day, count(*) AS hours,
           sum(objects) AS total, sum(objects * objects) AS squares, max(objects) AS peak
    FROM (
        SELECT principal_id, max(principal_type) AS principal_type, hour, CAST(sum(distinct_objects) AS DOUBLE) AS objects
        FROM activity
        WHERE hour >= $from - $lookback - $baseline AND hour < $to
          AND operation_class = 'read' AND operation_name LIKE 'Secret%' AND outcome = 'success' AND distinct_objects > 0
          AND principal_id IS NOT NULL
        GROUP BY principal_id, hour
    ) AS hourly
    GROUP BY principal_id, date_trunc('day', hour)
),
bounds AS (
    -- Two adjacent hours bound any window of one hour. A window may end in an hour that has no read of its own yet.
    SELECT principal_id, hour, sum(calls) AS calls, date_trunc('day', hour - $window - $guard) AS base
    FROM (
        SELECT principal_id, hour, calls FROM reads
        UNION ALL
        SELECT principal_id, hour + INTERVAL '1 hour' AS hour, calls FROM reads
    ) AS pairs
    GROUP BY principal_id, hour
    HAVING sum(calls) >= $min_objects
),
floors AS (
    -- The own busiest hour, over the days that the history of every window in the hour has.
    SELECT b.principal_id, b.base, max(d.peak) AS peak
    FROM (SELECT DISTINCT principal_id, base FROM bounds) b
    JOIN daily d ON d.principal_id = b.principal_id AND d.day < b.base AND d.day >= b.base - $history + INTERVAL '1 day'
    GROUP BY b.principal_id, b.base
),
possible AS (
    -- Most hours drop out here, before objects are told apart.
    SELECT b.principal_id, b.hour, coalesce(f.peak, 0) AS peak
    FROM bounds b
    LEFT JOIN floors f ON f.principal_id = b.principal_id AND f.base = b.base
    WHERE b.calls >= $ratio * coalesce(f.peak, 0)
),
bins AS (
    -- One row for each caller, object and step: repeats of a read do not count.
    SELECT e.principal_id, e.vault_name, e.object_type, e.object_name, date_bin($every, e.time) AS bin, max(e.principal_type) AS kind
    FROM events e
    JOIN (
        SELECT principal_id, hour FROM possible
        UNION
        SELECT principal_id, hour - INTERVAL '1 hour' AS hour FROM possible
    ) wanted ON wanted.principal_id = e.principal_id AND wanted.hour = date_trunc('hour', e.time)
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_type = 'secret' AND e.object_name IS NOT NULL
    GROUP BY e.principal_id, e.vault_name, e.object_type, e.object_name, date_bin($every, e.time)
),
objects AS (
    SELECT principal_id, hour, count(*) AS objects
    FROM (SELECT DISTINCT principal_id, vault_name, object_type, object_name, date_trunc('hour', bin) AS hour FROM bins)
    GROUP BY principal_id, hour
),
busy AS (
    SELECT p.principal_id, p.hour
    FROM possible p
    LEFT JOIN objects now ON now.principal_id = p.principal_id AND now.hour = p.hour
    LEFT JOIN objects before ON before.principal_id = p.principal_id AND before.hour = p.hour - INTERVAL '1 hour'
    WHERE coalesce(now.objects, 0) + coalesce(before.objects, 0) >= greatest($min_objects, $ratio * p.peak)
),
hops AS (
    SELECT principal_id, vault_name, object_type, object_name, window_end, max(kind) AS kind
    FROM (
        SELECT b.principal_id, b.vault_name, b.object_type, b.object_name, b.kind, b.bin + hop.ahead AS window_end
        FROM bins b
        JOIN (
            SELECT principal_id, hour FROM busy
            UNION
            SELECT principal_id, hour - INTERVAL '1 hour' AS hour FROM busy
        ) wanted ON wanted.principal_id = b.principal_id AND wanted.hour = date_trunc('hour', b.bin)
        CROSS JOIN (VALUES
            (INTERVAL '5 minutes'), (INTERVAL '10 minutes'), (INTERVAL '15 minutes'), (INTERVAL '20 minutes'),
            (INTERVAL '25 minutes'), (INTERVAL '30 minutes'), (INTERVAL '35 minutes'), (INTERVAL '40 minutes'),
            (INTERVAL '45 minutes'), (INTERVAL '50 minutes'), (INTERVAL '55 minutes'), (INTERVAL '60 minutes')
        ) AS hop (ahead)
    ) AS spread
    WHERE window_end > $from AND window_end <= $to
    GROUP BY principal_id, vault_name, object_type, object_name, window_end
),
windows AS (
    SELECT h.principal_id, h.window_end, date_trunc('day', h.window_end - $window - $guard) AS base_day,
           count(*) AS objects, count(DISTINCT h.vault_name) AS vaults, max(h.kind) AS principal_type
    FROM hops h
    JOIN busy b ON b.principal_id = h.principal_id AND b.hour = date_trunc('hour', h.window_end - INTERVAL '1 microsecond')
    GROUP BY h.principal_id, h.window_end
    HAVING count(*) >= $min_objects
),
own AS (
    SELECT w.principal_id, w.base_day, sum(d.hours) AS hours, sum(d.total) AS total, sum(d.squares) AS squares,
           max(d.peak) AS peak, count(*) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM windows) w
    JOIN daily d ON d.principal_id = w.principal_id AND d.day < w.base_day AND d.day >= w.base_day - $history
    GROUP BY w.principal_id, w.base_day
),
peaks AS (
    SELECT b.base_day, d.principal_id, max(d.principal_type) AS principal_type, max(d.peak) AS peak
    FROM (SELECT DISTINCT base_day FROM windows) b
    JOIN daily d ON d.day < b.base_day AND d.day >= b.base_day - $history
    GROUP BY b.base_day, d.principal_id
),
peers AS (
    -- The busiest hours of callers of a kind. One giant must not excuse everybody: peaks are cut at three medians.
    SELECT p.base_day, p.principal_type, count(*) AS callers,
           avg(least(p.peak, 3 * m.middle)) AS mean, avg(power(least(p.peak, 3 * m.middle), 2)) AS square
    FROM peaks p
    JOIN (SELECT base_day, principal_type, median(peak) AS middle FROM peaks GROUP BY base_day, principal_type) m
      ON m.base_day = p.base_day AND m.principal_type = p.principal_type
    GROUP BY p.base_day, p.principal_type
),
tested AS (SELECT base_day, count(*) AS callers FROM peaks GROUP BY base_day),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM windows) d
    JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
shrunk AS (
    -- Three callers with a peak of 8 ± 8 stand in for peers where there are few.
    SELECT w.*, coalesce(o.hours, 0) AS hours, coalesce(o.days, 0) AS days, o.peak, o.total / o.hours AS usual,
           coalesce(t.callers, 0) + 1 AS tests, coalesce(c.hours, 0) AS covered_hours,
           (coalesce(p.callers, 0) * coalesce(p.mean, 0) + 3 * 8.0) / (coalesce(p.callers, 0) + 3) AS peer_mean,
           (coalesce(p.callers, 0) * coalesce(p.square, 0) + 3 * 128.0) / (coalesce(p.callers, 0) + 3) AS peer_square,
           coalesce(o.total, 0) AS total, coalesce(o.squares, 0) AS squares
    FROM windows w
    LEFT JOIN own o ON o.principal_id = w.principal_id AND o.base_day = w.base_day
    LEFT JOIN peers p ON p.base_day = w.base_day AND p.principal_type = w.principal_type
    LEFT JOIN tested t ON t.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
),
moments AS (
    SELECT *, (total + $prior_hours * peer_mean) / (hours + $prior_hours) AS mean,
           (squares + $prior_hours * peer_square) / (hours + $prior_hours) AS square
    FROM shrunk
),
improbable AS (
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(
                   CAST(objects AS DOUBLE), mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
        WHERE peak IS NULL OR objects >= $ratio * peak
    ) AS scored
    WHERE p_value <= $alpha
),
alike AS (
    -- Peers that read about as much in an hour: for a newcomer the best word on whether it is usual.
    SELECT i.principal_id, i.window_end, count(*) AS peers
    FROM improbable i
    JOIN peaks p ON p.base_day = i.base_day AND p.principal_type = i.principal_type
    WHERE i.hours < $settled_hours AND p.principal_id <> i.principal_id AND p.peak >= 0.7 * i.objects
    GROUP BY i.principal_id, i.window_end
),
fired AS (
    SELECT i.*
    FROM improbable i
    LEFT JOIN alike a ON a.principal_id = i.principal_id AND a.window_end = i.window_end
    WHERE CASE
        WHEN hours >= $settled_hours THEN true
        WHEN hours > 0 THEN coalesce(a.peers, 0) < $alike
        WHEN 3600 * covered_hours < extract(epoch FROM $min_coverage) THEN objects >= $uncovered_objects
        ELSE coalesce(a.peers, 0) < $alike AND (vaults > 1 OR objects >= $newcomer_objects)
    END
),
novelty AS (
    -- How many of the window's objects the caller was never seen with before.
    SELECT h.principal_id, h.window_end, count(*) FILTER (WHERE s.value IS NULL) AS new_objects
    FROM hops h
    JOIN fired f ON f.principal_id = h.principal_id AND f.window_end = h.window_end
    LEFT JOIN (
        SELECT DISTINCT g.principal_id, g.base_day, s.value
        FROM (SELECT DISTINCT principal_id, base_day FROM fired) g
        JOIN sightings s ON s.principal_id = g.principal_id AND s.day < g.base_day AND s.day >= g.base_day - $history
        WHERE s.kind = 'object' AND s.day >= $from - $lookback - $baseline AND s.day < $to
    ) s ON s.principal_id = f.principal_id AND s.base_day = f.base_day
       AND s.value = h.vault_name || '/' || h.object_type || '/' || h.object_name
    GROUP BY h.principal_id, h.window_end
),
addresses AS (
    -- Addresses of the history: a caller that comes from many is a pipeline, and a new one says nothing.
    SELECT g.principal_id, g.base_day, array_agg(DISTINCT s.value) AS known, count(DISTINCT s.value) AS number
    FROM (SELECT DISTINCT principal_id, base_day FROM fired) g
    JOIN sightings s ON s.principal_id = g.principal_id AND s.day < g.base_day AND s.day >= g.base_day - $history
    WHERE s.kind = 'address' AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY g.principal_id, g.base_day
),
detail AS (
    SELECT f.principal_id, f.window_end, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) AS vault_name,
           array_agg(DISTINCT e.object_name ORDER BY e.object_name) AS object_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product,
           count(*) AS event_count, min(e.time) AS first_time, max(e.time) AS last_time
    FROM fired f
    JOIN events e ON e.principal_id = f.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.time >= f.window_end - $window AND e.time < f.window_end
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_type = 'secret' AND e.object_name IS NOT NULL
    GROUP BY f.principal_id, f.window_end
),
judged AS (
    SELECT f.*, d.principal_name, d.app_id, d.vault_name, d.object_name, d.caller_ip, d.client_product, d.event_count,
           d.first_time, d.last_time, n.new_objects,
           coalesce(a.number, 0) AS known_addresses,
           a.number <= 3 + f.days / 2 AND NOT array_has_all(a.known, d.caller_ip) AS strange_address,
           4 * n.new_objects < f.objects AS rereads
    FROM fired f
    JOIN detail d ON d.principal_id = f.principal_id AND d.window_end = f.window_end
    JOIN novelty n ON n.principal_id = f.principal_id AND n.window_end = f.window_end
    LEFT JOIN addresses a ON a.principal_id = f.principal_id AND a.base_day = f.base_day
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(objects AS DOUBLE) AS observed,
    mean AS expected,
    p_value,
    CASE
        WHEN rereads AND NOT coalesce(strange_address, false) THEN 'informational'
        WHEN rereads OR days < 3 THEN 'medium'
        WHEN vaults >= 3 AND coalesce(strange_address, false) THEN 'critical'
        ELSE 'high'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' read ', objects, ' different secrets of ',
        CASE WHEN vaults = 1 THEN concat('vault ', vault_name[1]) ELSE concat(vaults, ' vaults') END,
        ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC; ',
        CASE
            WHEN hours = 0 THEN concat('it has no history, and callers of its kind read about ', CAST(round(peer_mean) AS BIGINT), ' in their busiest hour')
            ELSE concat('it usually reads ', CAST(round(usual) AS BIGINT), ' in an active hour and never read more than ',
                        CAST(peak AS BIGINT), '; ', new_objects, ' of them it had not read before')
        END,
        CASE WHEN coalesce(strange_address, false) THEN concat(', from an address new to it (', caller_ip[1], ')') ELSE '' END
    ) AS summary,
    event_count,
    principal_name,
    principal_type,
    app_id,
    vault_name,
    object_name,
    caller_ip,
    client_product,
    new_objects,
    vaults AS distinct_vaults,
    CAST(coalesce(peak, 0) AS BIGINT) AS busiest_hour_before,
    usual AS usual_in_an_active_hour,
    hours AS active_hours_before,
    peer_mean AS peers_busiest_hour,
    tests AS callers_tested,
    covered_hours,
    first_time,
    last_time,
    'operation_class = ''read'' AND outcome = ''success'' AND object_type = ''secret'' AND object_name IS NOT NULL' AS drilldown_filter
FROM judged
