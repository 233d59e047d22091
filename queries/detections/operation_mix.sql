-- +++
-- title = "A caller's mix of operations changes"
-- description = """
-- Takes what a known caller did with success within an hour, operation by operation, and asks how improbable each count is
-- under the caller's own shares of four weeks, drawn towards the shares of callers of its kind (a beta-binomial tail, corrected
-- for all callers and operations tested). Tells of the hours in which several operations are out of line together, as when an
-- application that only read begins to list, back up and delete. One operation out of line is informational: features come.
-- Plain reads out of line are left to the detections of reads.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1087.004", "T1555.006", "T1078.004"]
-- key = ["principal_id"]
-- every = "10m"
-- window = "1h"
-- lookback = "2h"
-- baseline = "30d"
-- quiet_for = "1d"
-- false_positives = ["A new version of a service with new duties.", "A person who takes over another one's work."]
-- response = ["Ask the owner of the caller what changed.", "If nothing did: revoke the caller's credential and undo what it wrote or deleted."]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "alpha = 0.0005 in each step over all callers and operations, and at least two kinds of operations beside reads out of line at once."
--
-- [parameters]
-- history = { default = "28d", about = "How far back the own operations count." }
-- min_days = { default = 5, min = 3, about = "Fewest active days of the caller." }
-- min_calls = { default = 5, min = 1, about = "Fewest calls of an operation in the hour." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers and operations tested." }
-- prior_calls = { default = 20.0, min = 0.1, about = "Weight of callers of the kind against the own calls." }
-- own_weight = { default = 200.0, min = 1.0, about = "Most calls that the own history weighs as: hours differ more than single calls do." }
-- min_kinds = { default = 2, min = 1, about = "Classes of operations out of line at once from which it is low." }
-- +++
WITH bins AS (
    SELECT principal_id, date_bin($every, time) AS bin, operation_name, operation_class, max(principal_type) AS principal_type,
           max(principal_name) AS principal_name, max(app_id) AS app_id, count(*) AS calls, min(time) AS first_time, max(time) AS last_time
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND principal_id IS NOT NULL
      AND operation_class NOT IN ('notify', 'authenticate', 'policy')
    GROUP BY principal_id, date_bin($every, time), operation_name, operation_class
),
daily AS (
    SELECT principal_id, operation_name, date_trunc('day', hour) AS day, max(principal_type) AS principal_type,
           CAST(sum(calls) AS DOUBLE) AS calls
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND outcome = 'success' AND principal_id IS NOT NULL
      AND operation_class NOT IN ('notify', 'authenticate', 'policy')
    GROUP BY principal_id, operation_name, date_trunc('day', hour)
),
hop (ahead) AS (
    VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'), (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')
),
others AS (
    -- What is no read: a window without enough of it is not asked about at all.
    SELECT principal_id, window_end, date_trunc('day', window_end - $window) AS base_day, operation_name, operation_class,
           max(principal_type) AS principal_type, max(principal_name) AS principal_name, max(app_id) AS app_id,
           sum(calls) AS calls, min(first_time) AS first_time, max(last_time) AS last_time
    FROM (SELECT b.*, b.bin + hop.ahead AS window_end FROM bins b CROSS JOIN hop WHERE b.operation_class <> 'read') AS spread
    WHERE window_end > $from AND window_end <= $to
    GROUP BY principal_id, window_end, operation_name, operation_class
    HAVING sum(calls) >= $min_calls
),
tested AS (
    SELECT o.*, t.total
    FROM others o
    JOIN (
        SELECT w.principal_id, w.window_end, sum(b.calls) AS total
        FROM (SELECT DISTINCT principal_id, window_end FROM others) w
        JOIN (
            SELECT b.principal_id, b.bin + hop.ahead AS window_end, b.calls
            FROM (SELECT principal_id, bin, sum(calls) AS calls FROM bins GROUP BY principal_id, bin) AS b
            CROSS JOIN hop
        ) b ON b.principal_id = w.principal_id AND b.window_end = w.window_end
        GROUP BY w.principal_id, w.window_end
    ) t ON t.principal_id = o.principal_id AND t.window_end = o.window_end
),
mine AS (
    SELECT w.principal_id, w.base_day, d.operation_name, sum(d.calls) AS calls, max(d.calls) AS peak
    FROM (SELECT DISTINCT principal_id, base_day FROM tested) w
    JOIN daily d ON d.principal_id = w.principal_id AND d.day < w.base_day AND d.day >= w.base_day - $history
    GROUP BY w.principal_id, w.base_day, d.operation_name
),
own AS (
    SELECT w.principal_id, w.base_day, sum(d.calls) AS total, count(DISTINCT d.day) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM tested) w
    JOIN daily d ON d.principal_id = w.principal_id AND d.day < w.base_day AND d.day >= w.base_day - $history
    GROUP BY w.principal_id, w.base_day
),
shares AS (
    -- Each caller's share of each operation, so that the loud ones do not speak for all.
    SELECT c.base_day, c.principal_type, c.principal_id, c.operation_name, c.calls / sum(c.calls) OVER (PARTITION BY c.base_day, c.principal_id) AS share
    FROM (
        SELECT b.base_day, d.principal_id, max(d.principal_type) AS principal_type, d.operation_name, sum(d.calls) AS calls
        FROM (SELECT DISTINCT base_day FROM tested) b
        JOIN daily d ON d.day < b.base_day AND d.day >= b.base_day - $history
        GROUP BY b.base_day, d.principal_id, d.operation_name
    ) AS c
),
kinds AS (
    SELECT base_day, principal_type, count(DISTINCT principal_id) AS callers FROM shares GROUP BY base_day, principal_type
),
peers AS (
    SELECT s.base_day, s.principal_type, s.operation_name, sum(s.share) / max(k.callers) AS share, count(*) AS callers, max(k.callers) AS kind
    FROM shares s
    JOIN kinds k ON k.base_day = s.base_day AND k.principal_type = s.principal_type
    GROUP BY s.base_day, s.principal_type, s.operation_name
),
everybody AS (SELECT base_day, count(*) AS pairs FROM shares GROUP BY base_day),
moments AS (
    SELECT t.*, o.days, coalesce(m.calls, 0) AS known_calls, coalesce(m.peak, 0) AS peak, o.total AS known_total, e.pairs AS tests, coalesce(p.callers, 0) AS peers,
           -- Own shares and the kind's; never taken smaller than half a call in all that was seen.
           greatest((least(o.total, $own_weight) * coalesce(m.calls, 0) / o.total + $prior_calls * coalesce(p.share, 0))
                    / (least(o.total, $own_weight) + $prior_calls), 0.5 / (o.total + 1)) AS share,
           least(o.total, $own_weight) + $prior_calls AS weight
    FROM tested t
    JOIN own o ON o.principal_id = t.principal_id AND o.base_day = t.base_day AND o.days >= $min_days
    JOIN everybody e ON e.base_day = t.base_day
    LEFT JOIN mine m ON m.principal_id = t.principal_id AND m.base_day = t.base_day AND m.operation_name = t.operation_name
    LEFT JOIN peers p ON p.base_day = t.base_day AND p.principal_type = t.principal_type AND p.operation_name = t.operation_name
    LEFT JOIN principals x ON x.principal_id = t.principal_id
    LEFT JOIN principals a ON a.principal_id = t.app_id
    WHERE NOT coalesce(x.is_first_party OR x.is_known_scanner OR x.is_known_backup, false)
      AND NOT coalesce(a.is_first_party OR a.is_known_scanner OR a.is_known_backup, false)
),
odd AS (
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * beta_binomial_sf(CAST(calls AS DOUBLE), CAST(total AS DOUBLE), share * weight, greatest((1 - share) * weight, 0.001))) AS p_value
        FROM moments
        -- Four times its share, at least, for a quiet hour of reads makes all else large; and what it did as much of on some
        -- day is a job of its own that comes rarely.
        WHERE calls >= 4 * share * total AND calls > 2 * peak
    ) AS scored
    WHERE p_value <= $alpha
),
grouped AS (
    SELECT principal_id, window_end, max(principal_name) AS principal_name, max(principal_type) AS principal_type, max(days) AS days,
           CAST(sum(calls) AS BIGINT) AS calls, max(total) AS total, sum(share * total) AS expected, min(p_value) AS p_value, max(tests) AS tests,
           count(DISTINCT operation_class) AS classes, count(*) AS operations, count(*) FILTER (WHERE known_calls = 0) AS never_used,
           count(DISTINCT operation_class) FILTER (WHERE operation_class IN ('delete', 'purge', 'backup', 'restore')) AS grave,
           array_agg(operation_name ORDER BY operation_name) AS operation_name,
           array_agg(concat(operation_name, ' ', calls, ' times') ORDER BY calls DESC, operation_name) AS told,
           min(first_time) AS first_time, max(last_time) AS last_time
    FROM odd
    GROUP BY principal_id, window_end
),
detail AS (
    SELECT g.principal_id, g.window_end, array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) FILTER (WHERE e.vault_name IS NOT NULL) AS vault_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) FILTER (WHERE e.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) FILTER (WHERE e.client_product IS NOT NULL) AS client_product
    FROM grouped g
    JOIN events e ON e.principal_id = g.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.time >= g.window_end - $window AND e.time < g.window_end
      AND e.outcome = 'success' AND e.operation_class NOT IN ('read', 'notify', 'authenticate')
    GROUP BY g.principal_id, g.window_end
)
SELECT
    g.window_end - $window AS window_start,
    g.window_end,
    g.principal_id,
    CAST(g.calls AS DOUBLE) AS observed,
    g.expected,
    g.p_value,
    CASE
        WHEN g.classes < $min_kinds OR g.never_used < 2 THEN 'informational'
        WHEN g.grave >= 1 AND g.classes >= 3 THEN 'high'
        WHEN g.grave >= 1 THEN 'medium'
        ELSE 'low'
    END AS severity,
    concat(
        coalesce(g.principal_name, g.principal_id), ' did other things than usual in the hour to ', to_char(g.window_end, '%Y-%m-%d %H:%M'), ' UTC: ',
        array_to_string(array_slice(g.told, 1, 4), ', '), ', of ', g.total, ' calls in all. By its own ', g.days,
        ' active days and callers of its kind about ', round(g.expected, 1), ' of them were to be expected',
        CASE WHEN g.never_used > 0 THEN concat('; ', g.never_used, ' of these operations it never used') ELSE '' END, '.'
    ) AS summary,
    g.calls AS event_count,
    g.principal_name,
    g.principal_type,
    d.vault_name,
    d.caller_ip,
    d.client_product,
    g.operation_name,
    g.operations AS operations_out_of_line,
    g.classes AS classes_out_of_line,
    g.never_used,
    g.grave AS destructive_or_export_classes,
    g.total AS calls_in_the_hour,
    g.days AS active_days_before,
    g.tests AS pairs_tested,
    g.first_time,
    g.last_time,
    'outcome = ''success'' AND operation_class <> ''read''' AS drilldown_filter
FROM grouped g
JOIN detail d ON d.principal_id = g.principal_id AND d.window_end = g.window_end
