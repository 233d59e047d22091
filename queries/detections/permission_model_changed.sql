-- +++
-- title = "A vault goes from roles back to access policies"
-- description = """
-- A write sets a vault's permission model from role-based access to access policies. Whoever may write the vault's settings can
-- then give himself a policy, where roles would have asked for the right to assign them. The state before is the last write or
-- read of the vault's settings; where none is known, whether the day's calls on the vault were judged by roles. A policy that
-- the same caller adds within the hour before or after makes it worse. The other direction is what Azure advises, and silent.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1098", "T1548"]
-- key = ["vault_name"]
-- every = "5m"
-- window = "1h"
-- lookback = "38d"
-- baseline = "38d"
-- quiet_for = "1d"
-- false_positives = ["A template with the old model is rolled out over a vault by mistake; its readers are refused then."]
-- response = [
--   "Ask who changed it, and set the vault back to roles (az keyvault update --enable-rbac-authorization true).",
--   "Look at the access policies that the vault has now, and at what was read since.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/rbac-migration", "https://attack.mitre.org/techniques/T1098/"]
-- false_alarm_rate = "A rare act by itself: it needs a state before that was role-based."
--
-- [parameters]
-- history = { default = "35d", about = "How far back state and habits count; at most the look-back less two days." }
-- recent = { default = "1d", about = "Calls so shortly before tell the model where no settings are known; at most the look-back." }
-- habit_days = { default = 2, min = 1, about = "Days of the history on which the vault was switched back and forth, from which it is no news." }
-- +++
WITH states AS (
    SELECT time, vault_name, principal_id, principal_name, principal_type, app_id, caller_ip, client_product, operation_name, subscription_id,
           change_kind IS NOT NULL AS is_write, rbac_enabled
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND vault_name IS NOT NULL AND rbac_enabled IS NOT NULL
),
steps AS (
    SELECT *, lag(rbac_enabled) OVER w AS rbac_before, lag(time) OVER w AS time_before
    FROM states
    WINDOW w AS (PARTITION BY vault_name ORDER BY time, operation_name, principal_id)
),
writes AS (
    SELECT *, date_bin($every, time) + $every AS window_end, CASE WHEN time_before >= time - $history THEN rbac_before END AS known_before
    FROM steps
    WHERE is_write AND NOT rbac_enabled
),
calls AS (
    -- Asked only for vaults of which nothing else is known.
    SELECT w.vault_name, w.time, bool_or(e.is_rbac_authorized IS NOT NULL) AS by_roles, bool_or(e.is_access_policy_match IS NOT NULL) AS by_policies
    FROM writes w
    JOIN events e ON e.vault_name = w.vault_name
    WHERE w.known_before IS NULL AND w.window_end > $from AND w.window_end <= $to
      AND e.time >= $from - $recent - $every AND e.time < $to AND e.operation_class IN ('read', 'list', 'crypto') AND e.object_type <> 'vault'
      AND e.time < w.time AND e.time >= w.time - $recent
    GROUP BY 1, 2
),
switched AS (
    SELECT w.*, date_trunc('day', w.window_end - $window) AS base_day
    FROM writes w
    LEFT JOIN calls c ON c.vault_name = w.vault_name AND c.time = w.time
    WHERE w.window_end > $from AND w.window_end <= $to
      AND coalesce(w.known_before, c.by_roles AND NOT c.by_policies, false)
),
habit AS (
    SELECT s.vault_name, s.base_day, count(DISTINCT date_trunc('day', w.time)) AS days
    FROM (SELECT DISTINCT vault_name, base_day FROM switched) s
    JOIN writes w ON w.vault_name = s.vault_name AND w.known_before AND w.time < s.base_day AND w.time >= s.base_day - $history
    GROUP BY 1, 2
),
policies AS (
    SELECT vault_name, principal_id, time, target_principal_id
    FROM events
    WHERE time >= $from - $window - $every AND time < $to AND outcome = 'success' AND change_kind = 'access_policy_added'
),
gained AS (
    SELECT s.vault_name, s.time, count(*) AS policies, bool_or(strpos(p.target_principal_id, s.principal_id) > 0) AS self
    FROM switched s
    JOIN policies p ON p.vault_name = s.vault_name AND p.principal_id = s.principal_id AND p.time < s.window_end AND p.time >= s.window_end - $window
    GROUP BY 1, 2
),
standing AS (
    SELECT s.principal_id, s.base_day, count(*) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM switched) s
    JOIN (
        SELECT DISTINCT principal_id, date_trunc('day', hour) AS day FROM activity
        WHERE operation_class = 'control' AND outcome = 'success' AND principal_id IS NOT NULL
          AND hour >= $from - $lookback - $baseline AND hour < $to
    ) a ON a.principal_id = s.principal_id AND a.day < s.base_day AND a.day >= s.base_day - $history
    GROUP BY 1, 2
),
judged AS (
    SELECT s.*, coalesce(h.days, 0) AS switch_days, coalesce(g.policies, 0) AS policies, coalesce(g.self, false) AS self, coalesce(t.days, 0) AS change_days,
           count(*) OVER (PARTITION BY s.vault_name, s.window_end) AS calls,
           row_number() OVER (PARTITION BY s.vault_name, s.window_end ORDER BY coalesce(g.policies, 0) DESC, s.time, s.operation_name, s.principal_id) AS place
    FROM switched s
    LEFT JOIN habit h ON h.vault_name = s.vault_name AND h.base_day = s.base_day
    LEFT JOIN gained g ON g.vault_name = s.vault_name AND g.time = s.time
    LEFT JOIN standing t ON t.principal_id = s.principal_id AND t.base_day = s.base_day
)
SELECT
    window_end - $window AS window_start,
    window_end,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN switch_days >= $habit_days THEN 'informational'
        WHEN policies > 0 AND (self OR change_days = 0) THEN 'high'
        ELSE 'medium'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id, 'an unknown caller'), ' switched vault ', vault_name, ' from roles to access policies at ',
        to_char(time, '%Y-%m-%d %H:%M'), ' UTC; who may write the vault can now let himself in',
        CASE WHEN self THEN '. It gave itself a policy within the hour' WHEN policies > 0 THEN concat('. It added ', policies, ' policies within the hour') ELSE '' END,
        CASE WHEN change_days = 0 THEN '. It changed nothing before' ELSE '' END
    ) AS summary,
    calls AS event_count,
    principal_id,
    principal_name,
    principal_type,
    app_id,
    subscription_id,
    operation_name,
    caller_ip,
    client_product,
    policies AS policies_added_within_the_hour,
    self AS gave_itself_a_policy,
    switch_days AS days_of_the_same_before,
    change_days AS days_with_changes_before,
    time AS first_time,
    time AS last_time,
    'change_kind IS NOT NULL' AS drilldown_filter
FROM judged
WHERE place = 1
