-- +++
-- title = "A caller gathers objects that it never read, little by little"
-- description = """
-- Counts the objects that a caller reads for the first time, over a trailing day and over three, and compares the count with
-- how many it usually adds on an active day, shrunk towards callers of its kind. No hour of it need be loud: what arrives in
-- a single hour (a deployment, a first start) is left to mass_secret_read, here half of the count must lie outside the
-- busiest hour. A first time is one without a sighting in two weeks. Callers whose own first day is recent add
-- objects by nature; they are judged by a higher bar.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1555.006"]
-- key = ["principal_id"]
-- every = "1h"
-- window = "3d"
-- lookback = "5d"
-- baseline = "31d"
-- quiet_for = "3d"
-- min_coverage = "5d"
-- false_positives = [
--   "A person who takes over another team's vaults and works through them.",
--   "An inventory or a migration that reads values slowly; give it an identity of its own and suppress that.",
-- ]
-- response = [
--   "Ask the owner of the caller what the listed objects were needed for.",
--   "If nobody knows: revoke the caller's sessions and rotate every object in the list, the slow reader has had time to use them.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.0005; neighbouring steps share nearly all of their window, so a day is a few tests."
--
-- [parameters]
-- min_objects = { default = 8, min = 3, about = "Fewest first-time objects in a window." }
-- newcomer_objects = { default = 30, min = 3, about = "Fewest for a caller with less than settled_days active days." }
-- settled_days = { default = 4, min = 1, about = "Active days before the window from which a caller is judged by its own history." }
-- ratio = { default = 2.0, min = 1.0, about = "How many times the caller's own most first-time objects of a day." }
-- burst_share = { default = 0.5, min = 0.0, max = 1.0, about = "Largest share of the busiest hour." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "14d", about = "How far back days count, and how long an object must be unseen to be new; twice this within the baseline." }
-- prior_days = { default = 3.0, min = 0.1, about = "Weight of callers of the same kind against the own active days." }
-- +++
WITH covered AS (
    SELECT hour, date_trunc('day', hour) AS day
    FROM coverage
    WHERE hour >= $from - $lookback - $baseline AND hour < $to
    GROUP BY hour
),
bases AS (
    -- The days on which windows of the period begin. A history of too few hours calls everything new: no window then.
    SELECT b.base_day
    FROM (
        SELECT DISTINCT date_trunc('day', hour + INTERVAL '1 hour' - $window) AS base_day
        FROM covered
        WHERE hour + INTERVAL '1 hour' > $from AND hour + INTERVAL '1 hour' <= $to
    ) b
    JOIN covered c ON c.day < b.base_day AND c.day >= b.base_day - $history - $history
    GROUP BY b.base_day
    HAVING 3600 * count(*) >= extract(epoch FROM $min_coverage)
),
seen AS (
    -- Every object on every day, and the day on which the caller was seen with it before.
    SELECT principal_id, value, day, lag(day) OVER (PARTITION BY principal_id, value ORDER BY day) AS before
    FROM sightings
    WHERE kind = 'object' AND successes > 0 AND principal_id IS NOT NULL
      AND day >= $from - $lookback - $baseline AND day < $to
),
daily AS (
    SELECT principal_id, day,
           CAST(count(*) FILTER (WHERE before IS NULL OR before < day - $history) AS DOUBLE) AS fresh
    FROM seen
    GROUP BY principal_id, day
),
kinds AS (SELECT principal_id, hour, max(principal_type) AS principal_type FROM activity
          WHERE hour >= $from - $lookback - $baseline AND hour < $to AND principal_id IS NOT NULL
          GROUP BY principal_id, hour),
kind_of AS (
    SELECT b.base_day, k.principal_id, max(k.principal_type) AS principal_type
    FROM bases b JOIN kinds k ON k.hour < b.base_day AND k.hour >= b.base_day - $history - $history
    GROUP BY b.base_day, k.principal_id
),
own AS (
    -- A caller's first day is no day to learn from: everything is new on it.
    SELECT base_day, principal_id, count(*) AS days, sum(fresh) AS total, sum(fresh * fresh) AS squares, max(fresh) AS peak
    FROM (
        SELECT b.base_day, d.principal_id, d.day, d.fresh,
               min(d.day) OVER (PARTITION BY b.base_day, d.principal_id) AS first_day
        FROM bases b JOIN daily d ON d.day < b.base_day AND d.day >= b.base_day - $history - $history
    ) AS past
    WHERE day >= base_day - $history AND day > first_day
    GROUP BY base_day, principal_id
),
peers AS (
    -- Callers of a kind, each cut at a day of ten: a giant must not excuse everybody.
    SELECT o.base_day, k.principal_type, avg(least(o.total / o.days, 10)) AS mean, avg(least(o.squares / o.days, 100)) AS square
    FROM own o JOIN kind_of k ON k.base_day = o.base_day AND k.principal_id = o.principal_id
    GROUP BY o.base_day, k.principal_type
),
tested AS (SELECT base_day, count(*) AS callers FROM kind_of GROUP BY base_day),
pairs AS (
    -- Objects that are new on the days that windows can hold, of callers with enough of them; only these events are looked at.
    SELECT principal_id, value
    FROM (
        SELECT s.principal_id, s.value, count(*) OVER (PARTITION BY s.principal_id) AS objects
        FROM seen s
        JOIN (SELECT min(base_day) AS since FROM bases) b ON s.day >= b.since
        WHERE s.before IS NULL OR s.before < s.day - $history
    ) AS fresh
    WHERE objects >= $min_objects
    GROUP BY principal_id, value
),
reads AS (
    SELECT r.*
    FROM (
        SELECT e.principal_id, e.vault_name, e.object_type, e.object_name, date_trunc('hour', e.time) AS hour, max(e.principal_type) AS principal_type,
               e.vault_name || '/' || e.object_type || '/' || e.object_name AS value
        FROM events e JOIN (SELECT DISTINCT principal_id FROM pairs) w ON w.principal_id = e.principal_id
        WHERE e.time >= $from - $lookback AND e.time < $to
          AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
        GROUP BY e.principal_id, e.vault_name, e.object_type, e.object_name, date_trunc('hour', e.time)
    ) r
    JOIN pairs p ON p.principal_id = r.principal_id AND p.value = r.value
),
known AS (
    SELECT DISTINCT b.base_day, s.principal_id, s.value
    FROM seen s
    JOIN pairs p ON p.principal_id = s.principal_id AND p.value = s.value
    JOIN bases b ON s.day < b.base_day AND s.day >= b.base_day - $history
),
fresh AS (
    -- The first hour of every object since the base day, where the caller did not know it before.
    SELECT r.base_day, r.principal_id, r.vault_name, r.object_type, r.object_name, r.principal_type, r.hour
    FROM (
        SELECT b.base_day, r.principal_id, r.vault_name, r.object_type, r.object_name, r.value, max(r.principal_type) AS principal_type, min(r.hour) AS hour
        FROM bases b JOIN reads r ON r.hour >= b.base_day AND r.hour < b.base_day + $window + INTERVAL '1 day'
        GROUP BY b.base_day, r.principal_id, r.vault_name, r.object_type, r.object_name, r.value
    ) r
    LEFT JOIN known k ON k.base_day = r.base_day AND k.principal_id = r.principal_id
     AND k.value = r.value
    WHERE k.value IS NULL
),
hourly AS (
    SELECT base_day, principal_id, hour, max(principal_type) AS principal_type, count(*) AS objects
    FROM fresh
    GROUP BY base_day, principal_id, hour
),
sums AS (
    SELECT base_day, principal_id, principal_type, hour + INTERVAL '1 hour' AS window_end,
           sum(objects) OVER (PARTITION BY base_day, principal_id ORDER BY hour RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW) AS day_objects,
           max(objects) OVER (PARTITION BY base_day, principal_id ORDER BY hour RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW) AS day_busiest,
           sum(objects) OVER (PARTITION BY base_day, principal_id ORDER BY hour RANGE BETWEEN INTERVAL '71 hours' PRECEDING AND CURRENT ROW) AS days_objects,
           max(objects) OVER (PARTITION BY base_day, principal_id ORDER BY hour RANGE BETWEEN INTERVAL '71 hours' PRECEDING AND CURRENT ROW) AS days_busiest
    FROM hourly
),
windows AS (
    SELECT base_day, principal_id, principal_type, window_end, length, days_in, CAST(objects AS DOUBLE) AS objects, busiest
    FROM (
        SELECT base_day, principal_id, principal_type, window_end, INTERVAL '1 day' AS length, 1 AS days_in, day_objects AS objects, day_busiest AS busiest
        FROM sums
        UNION ALL
        SELECT base_day, principal_id, principal_type, window_end, INTERVAL '3 days' AS length, 3 AS days_in, days_objects AS objects, days_busiest AS busiest
        FROM sums
    ) AS both
    WHERE window_end > $from AND window_end <= $to AND base_day = date_trunc('day', window_end - $window)
      AND objects >= $min_objects AND busiest <= $burst_share * objects
),
moments AS (
    -- The estimate is never smaller than half an object over the days seen.
    SELECT w.*, coalesce(o.days, 0) AS days, coalesce(o.peak, 0) AS peak, coalesce(t.callers, 0) + 1 AS tests,
           days_in * greatest((coalesce(o.total, 0) + $prior_days * coalesce(p.mean, 0.5)) / (coalesce(o.days, 0) + $prior_days), 0.5 / (coalesce(o.days, 0) + 1)) AS mean,
           (coalesce(o.total, 0) + $prior_days * coalesce(p.mean, 0.5)) / (coalesce(o.days, 0) + $prior_days) AS rate,
           (coalesce(o.squares, 0) + $prior_days * coalesce(p.square, 2)) / (coalesce(o.days, 0) + $prior_days) AS square
    FROM windows w
    LEFT JOIN own o ON o.base_day = w.base_day AND o.principal_id = w.principal_id
    LEFT JOIN peers p ON p.base_day = w.base_day AND p.principal_type = w.principal_type
    LEFT JOIN tested t ON t.base_day = w.base_day
),
scored AS (
    -- First times come in groups: the spread of single days, and no less than that of a geometric count.
    SELECT *, least(1.0, tests * negative_binomial_sf(objects, mean, greatest(1.0, (square - rate * rate - rate) / (rate * rate) / days_in))) AS p_value
    FROM moments
    WHERE objects >= greatest(CASE WHEN days < $settled_days THEN $newcomer_objects ELSE $min_objects END, $ratio * peak)
),
fired AS (
    SELECT *
    FROM (SELECT *, row_number() OVER (PARTITION BY principal_id, window_end ORDER BY p_value, days_in) AS place FROM scored WHERE p_value <= $alpha) AS ranked
    WHERE place = 1
),
detail AS (
    SELECT f.principal_id, f.window_end,
           array_agg(DISTINCT n.vault_name ORDER BY n.vault_name) AS vault_name,
           array_agg(DISTINCT n.object_name ORDER BY n.object_name) AS object_name,
           count(DISTINCT n.vault_name) AS vaults, count(DISTINCT n.hour) AS hours, min(n.hour) AS first_hour
    FROM fired f
    JOIN fresh n ON n.base_day = f.base_day AND n.principal_id = f.principal_id AND n.hour >= f.window_end - f.length AND n.hour < f.window_end
    GROUP BY f.principal_id, f.window_end
),
names AS (
    SELECT f.principal_id, f.window_end, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip, array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product
    FROM fired f
    JOIN events e ON e.principal_id = f.principal_id AND e.time >= f.window_end - f.length AND e.time < f.window_end
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
    GROUP BY f.principal_id, f.window_end
)
SELECT
    f.window_end - f.length AS window_start,
    f.window_end,
    f.principal_id,
    f.objects AS observed,
    f.mean AS expected,
    f.p_value,
    CASE
        WHEN f.days < $settled_days THEN 'low'
        WHEN f.objects >= 3 * $min_objects AND f.p_value <= $alpha / 100 THEN 'high'
        WHEN f.objects >= 1.5 * $min_objects THEN 'medium'
        ELSE 'low'
    END AS severity,
    concat(
        coalesce(n.principal_name, f.principal_id), ' read ', CAST(f.objects AS BIGINT), ' objects for the first time in the ',
        CASE WHEN f.days_in = 1 THEN 'day' ELSE 'three days' END, ' to ', to_char(f.window_end, '%Y-%m-%d %H:%M'), ' UTC, spread over ',
        d.hours, ' hours and ', CASE WHEN d.vaults = 1 THEN concat('vault ', d.vault_name[1]) ELSE concat(d.vaults, ' vaults') END, '; ',
        CASE WHEN f.days = 0 THEN 'it has no history of its own'
             ELSE concat('on ', f.days, CASE WHEN f.days = 1 THEN ' active day' ELSE ' active days' END, ' before it never added more than ', CAST(f.peak AS BIGINT), ' in a day') END,
        '. No hour stands out (at most ', f.busiest, '), as when somebody gathers secrets without wishing to be seen.'
    ) AS summary,
    CAST(f.objects AS BIGINT) AS event_count,
    n.principal_name,
    f.principal_type,
    n.app_id,
    d.vault_name,
    d.object_name,
    n.caller_ip,
    n.client_product,
    d.vaults AS distinct_vaults,
    d.hours AS distinct_hours,
    f.busiest AS busiest_hour,
    CAST(f.peak AS BIGINT) AS most_in_a_day_before,
    f.days AS active_days_before,
    f.tests AS callers_tested,
    d.first_hour AS first_time,
    f.window_end AS last_time,
    'operation_class = ''read'' AND outcome = ''success'' AND object_name IS NOT NULL' AS drilldown_filter
FROM fired f
JOIN detail d ON d.principal_id = f.principal_id AND d.window_end = f.window_end
JOIN names n ON n.principal_id = f.principal_id AND n.window_end = f.window_end
