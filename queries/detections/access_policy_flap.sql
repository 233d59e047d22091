-- +++
-- title = "An access policy comes and goes"
-- description = """
-- An access policy for one identity is added to a vault and removed again within hours: long enough to read, too short to be
-- seen by who looks at the vault now and then. It weighs whether the one who gained used the vault in between, and whether the
-- one who changed it let himself in. A pipeline that does so on each run is its own habit, and an administrator who takes back a
-- policy that nobody used has put right a mistake: both are information.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1098.003", "T1070"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "3h"
-- lookback = "31d"
-- baseline = "31d"
-- quiet_for = "1d"
-- false_positives = ["Access for the time of a repair, without a tool for just-in-time roles."]
-- response = [
--   "Ask who changed the policy what it was for.",
--   "Look at what was read in between (the drill-down's times), and rotate it if nobody can tell.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1098/003/"]
-- false_alarm_rate = "A rare act by itself; habits and unused policies of administrators are information."
--
-- [parameters]
-- habit_days = { default = 2, min = 1, about = "Days of the history on which the caller did the same, from which it is a habit." }
-- standing_days = { default = 3, min = 1, about = "Days with changes of any kind in the history from which a caller is an administrator of long standing." }
-- history = { default = "30d", about = "How far back habits count; at most the look-back less a day." }
-- +++
WITH changes AS (
    SELECT time, vault_name, principal_id, coalesce(target_principal_id, '') AS target, change_kind, granted_permissions, principal_name,
           principal_type, app_id, caller_ip, client_product, operation_name
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND change_kind IN ('access_policy_added', 'access_policy_removed')
      AND vault_name IS NOT NULL AND principal_id IS NOT NULL
),
pairs AS (
    -- The Activity log does not name who gained: then the same caller must have done both.
    SELECT r.principal_id, r.vault_name, r.target, a.time AS added, r.time AS removed, a.principal_id AS adder, a.granted_permissions,
           r.principal_name, r.principal_type, r.app_id, r.caller_ip, r.client_product, r.operation_name,
           row_number() OVER (PARTITION BY r.principal_id, r.vault_name, r.target, r.time ORDER BY a.time DESC, a.principal_id) AS nearest
    FROM changes r
    JOIN changes a ON a.vault_name = r.vault_name AND a.target = r.target
    WHERE r.change_kind = 'access_policy_removed' AND a.change_kind = 'access_policy_added' AND a.time < r.time
      AND a.time >= date_bin($every, r.time) + $every - $window AND (r.target <> '' OR a.principal_id = r.principal_id)
),
flaps AS (
    SELECT *, date_bin($every, removed) + $every AS window_end FROM pairs WHERE nearest = 1
),
inside AS (SELECT * FROM flaps WHERE window_end > $from AND window_end <= $to),
uses AS (
    -- Between the two, by the one who gained; where nobody is named, by the one who changed.
    SELECT i.principal_id, i.vault_name, i.target, i.removed, count(*) AS calls, count(DISTINCT concat(e.object_type, '/', e.object_name)) AS objects
    FROM inside i
    JOIN events e ON e.vault_name = i.vault_name AND e.principal_id = CASE WHEN i.target = '' THEN i.principal_id ELSE i.target END
    WHERE e.time >= $from - $window AND e.time < $to AND e.time > i.added AND e.time < i.removed
      AND e.operation_class IN ('read', 'crypto', 'backup', 'delete', 'purge', 'write') AND e.outcome = 'success' AND e.object_name IS NOT NULL
    GROUP BY 1, 2, 3, 4
),
windows AS (
    SELECT i.principal_id, i.vault_name, i.window_end, date_trunc('day', i.window_end - $window) AS base_day, count(*) AS flaps,
           coalesce(sum(u.objects), 0) AS objects, bool_or(i.target = i.principal_id OR i.target = i.adder) AS self,
           array_agg(DISTINCT i.target ORDER BY i.target) FILTER (WHERE i.target <> '') AS targets, max(i.granted_permissions) AS granted_permissions,
           max(date_part('epoch', i.removed) - date_part('epoch', i.added)) AS seconds, max(i.principal_name) AS principal_name,
           max(i.principal_type) AS principal_type, max(i.app_id) AS app_id, max(i.client_product) AS client_product,
           array_agg(DISTINCT i.caller_ip ORDER BY i.caller_ip) FILTER (WHERE i.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT i.operation_name ORDER BY i.operation_name) AS operation_name, min(i.added) AS first_time, max(i.removed) AS last_time
    FROM inside i
    LEFT JOIN uses u ON u.principal_id = i.principal_id AND u.vault_name = i.vault_name AND u.target = i.target AND u.removed = i.removed
    GROUP BY 1, 2, 3, 4
),
habit AS (
    SELECT w.principal_id, w.base_day, count(DISTINCT date_trunc('day', f.removed)) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM windows) w
    JOIN flaps f ON f.principal_id = w.principal_id AND f.removed < w.base_day AND f.added >= w.base_day - $history
    GROUP BY 1, 2
),
standing AS (
    SELECT w.principal_id, w.base_day, count(*) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM windows) w
    JOIN (
        SELECT DISTINCT principal_id, date_trunc('day', hour) AS day FROM activity
        WHERE operation_class = 'control' AND outcome = 'success' AND principal_id IS NOT NULL
          AND hour >= $from - $lookback - $baseline AND hour < $to
    ) a ON a.principal_id = w.principal_id AND a.day < w.base_day AND a.day >= w.base_day - $history
    GROUP BY 1, 2
),
judged AS (
    SELECT w.*, coalesce(h.days, 0) AS same_days, coalesce(s.days, 0) AS change_days
    FROM windows w
    LEFT JOIN habit h ON h.principal_id = w.principal_id AND h.base_day = w.base_day
    LEFT JOIN standing s ON s.principal_id = w.principal_id AND s.base_day = w.base_day
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(flaps AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN same_days >= $habit_days THEN 'informational'
        WHEN objects > 0 AND principal_type = 'user' AND (self OR change_days = 0) THEN 'high'
        WHEN objects > 0 AND principal_type = 'user' THEN 'medium'
        WHEN objects > 0 THEN 'low'
        WHEN change_days >= $standing_days THEN 'informational'
        ELSE 'low'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' removed an access policy of vault ', vault_name, ' at ', to_char(last_time, '%Y-%m-%d %H:%M'),
        ' UTC that had been added ', CAST(ceil(seconds / 60.0) AS BIGINT), ' minutes before',
        CASE WHEN self THEN ' for whoever added it himself' WHEN targets IS NOT NULL THEN concat(' for ', array_to_string(array_slice(targets, 1, 3), ', ')) ELSE '' END,
        CASE WHEN objects > 0 THEN concat('; ', objects, CASE WHEN objects = 1 THEN ' object was' ELSE ' objects were' END, ' used in between') ELSE '; it was not used' END,
        CASE WHEN same_days > 0 THEN concat('. The same happened on ', same_days, ' days before') ELSE '' END
    ) AS summary,
    2 * flaps AS event_count,
    principal_name,
    principal_type,
    app_id,
    operation_name,
    caller_ip,
    client_product,
    targets AS gained,
    granted_permissions,
    self AS let_itself_in,
    objects AS objects_used_in_between,
    CAST(seconds AS BIGINT) AS seconds_in_between,
    same_days AS days_of_the_same_before,
    change_days AS days_with_changes_before,
    first_time,
    last_time,
    'change_kind IN (''access_policy_added'', ''access_policy_removed'')' AS drilldown_filter
FROM judged
