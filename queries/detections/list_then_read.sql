-- +++
-- title = "A caller lists a vault and then reads much of it"
-- description = """
-- Programs know the names of what they need; who lists a vault and then reads one object after the other is looking around.
-- Counts the different objects that a caller reads from a vault within an hour after it listed that vault, and compares the
-- count with the caller's own hours over four weeks, together with how seldom it lists. Pipelines and people who
-- list and read as a habit are judged by that habit, on whichever vault they have it.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1555.006", "T1526"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "1h"
-- lookback = "1h"
-- baseline = "31d"
-- quiet_for = "6h"
-- min_coverage = "3d"
-- false_positives = [
--   "A migration that copies a vault for the first time.",
--   "A person who checks a vault after an incident.",
-- ]
-- response = [
--   "Ask the caller's owner whether the listing and the reads were meant.",
--   "If not: revoke the access and rotate the objects in the list.",
-- ]
-- references = ["https://learn.microsoft.com/azure/defender-for-cloud/defender-for-key-vault-introduction", "https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.0005; callers without history are information only."
--
-- [parameters]
-- min_objects = { default = 8, min = 2, about = "Fewest different objects read after the list." }
-- much = { default = 0.5, min = 0.0, max = 1.0, about = "Share of the vault's known objects from which it is much of the vault." }
-- settled_hours = { default = 6, min = 1, about = "Active hours before from which a caller is judged; others are information only." }
-- ratio = { default = 1.5, min = 1.0, about = "How many times the most objects that the caller read from one vault in an hour." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "28d", about = "How far back a caller's own hours count; at most the baseline less two days." }
-- guard = { default = "1h", about = "The last hours before a window do not count as history." }
-- prior_hours = { default = 3.0, min = 0.1, about = "Weight of callers in general, who read four objects give or take four, against the own hours." }
-- +++
WITH lists AS (
    SELECT e.principal_id, e.vault_name, date_bin($every, e.time) AS bin
    FROM events e
    LEFT JOIN principals p ON p.principal_id = e.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'list' AND e.outcome = 'success' AND e.operation_name NOT LIKE '%Versions'
      AND e.principal_id IS NOT NULL AND e.vault_name IS NOT NULL
      AND NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
    GROUP BY e.principal_id, e.vault_name, date_bin($every, e.time)
),
reads AS (
    SELECT e.principal_id, e.vault_name, e.object_type, e.object_name, date_bin($every, e.time) AS bin, max(e.principal_type) AS principal_type
    FROM events e
    JOIN (SELECT DISTINCT principal_id, vault_name FROM lists) l ON l.principal_id = e.principal_id AND l.vault_name = e.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
    GROUP BY e.principal_id, e.vault_name, e.object_type, e.object_name, date_bin($every, e.time)
),
bins AS (
    SELECT principal_id, vault_name, bin, max(listed) AS listed, sum(objects) AS objects
    FROM (
        SELECT principal_id, vault_name, bin, 1 AS listed, 0 AS objects FROM lists
        UNION ALL
        SELECT principal_id, vault_name, bin, 0 AS listed, count(*) AS objects FROM reads GROUP BY principal_id, vault_name, bin
    ) AS both_kinds
    GROUP BY principal_id, vault_name, bin
),
starts AS (
    -- Windows that end with a step that has a read, and the first list in each. Within a step the order is not asked.
    -- Objects are counted once for each step here, so windows with too few of them fall away before they are put together.
    SELECT principal_id, vault_name, bin + $every AS window_end, first_list AS listed
    FROM (
        SELECT *, min(CASE WHEN listed = 1 THEN bin END) OVER hour AS first_list, sum(objects) OVER hour AS at_most
        FROM bins
        WINDOW hour AS (PARTITION BY principal_id, vault_name ORDER BY bin RANGE BETWEEN INTERVAL '55 minutes' PRECEDING AND CURRENT ROW)
    ) AS trailing
    WHERE objects > 0 AND first_list IS NOT NULL AND at_most >= $min_objects AND bin + $every > $from AND bin + $every <= $to
),
windows AS (
    SELECT principal_id, vault_name, window_end, listed, base_day, max(principal_type) AS principal_type, CAST(count(*) AS DOUBLE) AS objects
    FROM (
        SELECT s.principal_id, s.vault_name, s.window_end, s.listed, date_trunc('day', s.window_end - $window - $guard) AS base_day,
               r.object_type, r.object_name, max(r.principal_type) AS principal_type
        FROM (
            -- The steps of each window since the list: an equality to join by, where a range would compare all with all.
            SELECT *, window_end - ahead AS bin
            FROM starts CROSS JOIN (VALUES (INTERVAL '5 minutes'), (INTERVAL '10 minutes'), (INTERVAL '15 minutes'), (INTERVAL '20 minutes'),
                (INTERVAL '25 minutes'), (INTERVAL '30 minutes'), (INTERVAL '35 minutes'), (INTERVAL '40 minutes'), (INTERVAL '45 minutes'),
                (INTERVAL '50 minutes'), (INTERVAL '55 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
            WHERE window_end - ahead >= listed
        ) s
        JOIN reads r ON r.principal_id = s.principal_id AND r.vault_name = s.vault_name AND r.bin = s.bin
        GROUP BY s.principal_id, s.vault_name, s.window_end, s.listed, r.object_type, r.object_name
    ) AS after
    GROUP BY principal_id, vault_name, window_end, listed, base_day
    HAVING count(*) >= $min_objects
),
hourly AS (
    -- What a caller did on a vault in an hour: objects read, and whether it listed.
    SELECT principal_id, vault_name, hour,
           CAST(sum(CASE WHEN operation_class = 'read' THEN distinct_objects ELSE 0 END) AS DOUBLE) AS objects,
           max(CASE WHEN operation_class = 'list' AND operation_name NOT LIKE '%Versions' THEN 1 ELSE 0 END) AS listed
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to
      AND operation_class IN ('read', 'list') AND outcome = 'success' AND principal_id IS NOT NULL
    GROUP BY principal_id, vault_name, hour
),
own AS (
    SELECT w.principal_id, w.base_day, count(*) AS hours, sum(h.listed) AS list_hours, sum(h.objects) AS total, sum(h.objects * h.objects) AS squares, max(h.objects) AS peak
    FROM (SELECT DISTINCT principal_id, base_day FROM windows) w
    JOIN hourly h ON h.principal_id = w.principal_id AND h.hour < w.base_day AND h.hour >= w.base_day - $history
    GROUP BY w.principal_id, w.base_day
),
tested AS (
    SELECT b.base_day, count(DISTINCT h.principal_id) AS callers
    FROM (SELECT DISTINCT base_day FROM windows) b
    JOIN (SELECT DISTINCT principal_id, date_trunc('day', hour) AS day FROM hourly) h ON h.day < b.base_day AND h.day >= b.base_day - $history
    GROUP BY b.base_day
),
covered AS (
    SELECT b.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM windows) b
    JOIN coverage c ON c.hour < b.base_day AND c.hour >= b.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY b.base_day
),
contents AS (
    -- How many objects of the vault anybody used before.
    SELECT w.vault_name, w.base_day, count(DISTINCT s.value) AS known
    FROM (SELECT DISTINCT vault_name, base_day FROM windows) w
    JOIN sightings s ON s.vault_name = w.vault_name AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind = 'object' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY w.vault_name, w.base_day
),
moments AS (
    SELECT w.*, coalesce(o.hours, 0) AS hours, coalesce(o.list_hours, 0) AS list_hours, coalesce(o.peak, 0) AS peak, t.callers + 1 AS tests, k.known,
           (coalesce(o.list_hours, 0) + 0.5) / (coalesce(o.hours, 0) + 1) AS list_rate,
           (coalesce(o.total, 0) + $prior_hours * 4) / (coalesce(o.hours, 0) + $prior_hours) AS mean,
           (coalesce(o.squares, 0) + $prior_hours * 32) / (coalesce(o.hours, 0) + $prior_hours) AS square
    FROM windows w
    JOIN tested t ON t.base_day = w.base_day
    JOIN covered c ON c.base_day = w.base_day
    LEFT JOIN own o ON o.principal_id = w.principal_id AND o.base_day = w.base_day
    LEFT JOIN contents k ON k.vault_name = w.vault_name AND k.base_day = w.base_day
    WHERE 3600 * c.hours >= extract(epoch FROM $min_coverage)
),
fired AS (
    -- That it lists, and that it reads so much: two independent chances.
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * list_rate * negative_binomial_sf(objects, mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
        WHERE objects >= $ratio * peak
    ) AS scored
    WHERE p_value <= $alpha OR (hours < $settled_hours AND objects >= 2 * $min_objects)
),
detail AS (
    SELECT f.principal_id, f.vault_name, f.window_end, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.object_name ORDER BY e.object_name) AS object_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip, array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product,
           count(*) AS calls, min(e.time) AS first_time, max(e.time) AS last_time
    FROM fired f
    JOIN events e ON e.principal_id = f.principal_id AND e.vault_name = f.vault_name AND e.time >= f.listed AND e.time < f.window_end
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
    GROUP BY f.principal_id, f.vault_name, f.window_end
)
SELECT
    f.window_end - $window AS window_start,
    f.window_end,
    f.principal_id,
    f.vault_name,
    f.objects AS observed,
    f.mean AS expected,
    f.p_value,
    CASE
        WHEN f.hours < $settled_hours THEN 'informational'
        WHEN f.objects >= $much * f.known AND f.list_hours = 0 THEN 'high'
        WHEN f.objects >= $much * f.known OR f.list_hours = 0 THEN 'medium'
        ELSE 'low'
    END AS severity,
    concat(
        coalesce(d.principal_name, f.principal_id), ' listed vault ', f.vault_name, ' and read ', CAST(f.objects AS BIGINT), ' of the about ',
        coalesce(f.known, 0), ' objects in use there, in the hour to ', to_char(f.window_end, '%Y-%m-%d %H:%M'), ' UTC; ',
        CASE
            WHEN f.hours = 0 THEN 'it has no history'
            ELSE concat('in ', f.hours, ' active hours before it ', CASE WHEN f.list_hours = 0 THEN 'never listed a vault' ELSE concat('listed in ', f.list_hours) END,
                        ' and read at most ', CAST(f.peak AS BIGINT), ' objects of one vault')
        END, '. Programs know the names that they need; who lists first is looking around.'
    ) AS summary,
    CAST(d.calls AS BIGINT) AS event_count,
    d.principal_name,
    f.principal_type,
    d.app_id,
    d.object_name,
    d.caller_ip,
    d.client_product,
    f.known AS objects_in_use,
    f.listed AS listed_at,
    f.list_hours AS hours_with_lists_before,
    f.hours AS active_hours_before,
    CAST(f.peak AS BIGINT) AS most_in_an_hour_before,
    f.tests AS callers_tested,
    d.first_time,
    d.last_time,
    'operation_class IN (''read'', ''list'') AND outcome = ''success''' AS drilldown_filter
FROM fired f
JOIN detail d ON d.principal_id = f.principal_id AND d.vault_name = f.vault_name AND d.window_end = f.window_end
