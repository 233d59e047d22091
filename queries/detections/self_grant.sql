-- +++
-- title = "A caller lets itself in"
-- description = """
-- The one who writes an access policy or a role assignment is the one who gains by it. Who may change a vault but not read it
-- takes this step to read it. Information where it is the caller's habit (a pipeline that lets itself in on each run), where the
-- vault is new and the caller made it, or where an administrator of long standing does so on a vault that he used before.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1098.003", "T1548"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "1h"
-- lookback = "31d"
-- baseline = "31d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["An administrator who looks into a vault to mend something: ask for just-in-time roles in its place."]
-- response = [
--   "Ask the caller, over another channel, why it needed the right.",
--   "Take the right back; look what the caller read since (the drill-down, then the vault's records).",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1098/003/"]
-- false_alarm_rate = "A rare act by itself: a company of 500 that works with just-in-time roles sees none in a month; habits are information after their second day."
--
-- [parameters]
-- habit_days = { default = 2, min = 1, about = "Days of the history on which the caller let itself in, from which it is a habit." }
-- standing_days = { default = 3, min = 1, about = "Days with changes of any kind in the history from which a caller is an administrator of long standing." }
-- history = { default = "30d", about = "How far back habits count; at most the look-back less a day." }
-- +++
WITH changes AS (
    SELECT time, vault_name, principal_id, object_id, target_principal_id, granted_permissions, role_definition_id, operation_name,
           change_kind, correlation_id, outcome, principal_name, principal_type, app_id, caller_ip, client_product, subscription_id,
           -- A policy may name several. A vault that is written whole names all who have access, and only the first says who gains.
           target_principal_id IN (principal_id, object_id) OR (change_kind <> 'vault_written' AND (
               array_has(string_to_array(target_principal_id, ','), principal_id)
               OR coalesce(array_has(string_to_array(target_principal_id, ','), object_id), false))) AS to_itself
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND principal_id IS NOT NULL
      AND change_kind IN ('access_policy_added', 'access_policy_written', 'role_assigned', 'vault_written')
),
grants AS (
    -- The Activity log tells at the beginning who gains and at the end how it went.
    SELECT b.* FROM changes b WHERE b.outcome = 'success' AND b.to_itself
    UNION ALL
    SELECT e.time, coalesce(b.vault_name, e.vault_name), b.principal_id, b.object_id, b.target_principal_id, b.granted_permissions,
           b.role_definition_id, b.operation_name, b.change_kind, b.correlation_id, 'success', b.principal_name, b.principal_type, b.app_id,
           b.caller_ip, b.client_product, b.subscription_id, b.to_itself
    FROM changes b JOIN changes e ON e.correlation_id = b.correlation_id AND e.principal_id = b.principal_id
    WHERE b.outcome = 'unknown' AND b.to_itself AND e.outcome = 'success' AND e.time >= b.time
),
windows AS (
    SELECT principal_id, vault_name, date_bin($every, time) + $every AS window_end, date_trunc('day', date_bin($every, time) + $every - $window) AS base_day,
           count(*) AS calls, max(granted_permissions) AS granted_permissions, max(role_definition_id) AS role_definition_id,
           array_agg(DISTINCT operation_name ORDER BY operation_name) AS operation_name,
           array_agg(DISTINCT caller_ip ORDER BY caller_ip) FILTER (WHERE caller_ip IS NOT NULL) AS caller_ip,
           max(client_product) AS client_product, max(principal_name) AS principal_name, max(principal_type) AS principal_type,
           max(app_id) AS app_id, max(subscription_id) AS subscription_id, min(time) AS first_time, max(time) AS last_time
    FROM grants
    WHERE time >= $from - $every AND time < $to
    GROUP BY 1, 2, 3, 4
    HAVING date_bin($every, max(time)) + $every > $from AND date_bin($every, max(time)) + $every <= $to
),
habit AS (
    SELECT w.principal_id, w.base_day, count(DISTINCT date_trunc('day', g.time)) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM windows) w
    JOIN grants g ON g.principal_id = w.principal_id AND g.time < w.base_day AND g.time >= w.base_day - $history
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
used AS (
    SELECT DISTINCT w.principal_id, w.vault_name, w.base_day
    FROM windows w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.value = w.vault_name AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind = 'vault' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
covered AS (
    -- Of the vault itself: one without records before is new.
    SELECT w.vault_name, w.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT vault_name, base_day FROM windows WHERE vault_name IS NOT NULL) w
    JOIN coverage c ON c.vault_name = w.vault_name AND c.hour < w.base_day AND c.hour >= w.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY 1, 2
),
logs AS (
    SELECT w.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM windows) w
    JOIN coverage c ON c.hour < w.base_day AND c.hour >= w.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY 1
),
maker AS (
    SELECT DISTINCT w.principal_id, w.vault_name, w.window_end
    FROM windows w
    JOIN changes c ON c.principal_id = w.principal_id AND c.vault_name = w.vault_name
     AND c.time < w.window_end AND c.time >= w.base_day AND c.change_kind = 'vault_written'
),
judged AS (
    SELECT w.*, coalesce(h.days, 0) AS self_days, coalesce(s.days, 0) AS change_days, u.principal_id IS NOT NULL AS used_before,
           coalesce(l.hours, 0) AS covered_hours,
           m.principal_id IS NOT NULL AND coalesce(c.hours, 0) = 0 AND 3600 * coalesce(l.hours, 0) >= extract(epoch FROM $min_coverage) AS made_it
    FROM windows w
    LEFT JOIN habit h ON h.principal_id = w.principal_id AND h.base_day = w.base_day
    LEFT JOIN standing s ON s.principal_id = w.principal_id AND s.base_day = w.base_day
    LEFT JOIN used u ON u.principal_id = w.principal_id AND u.vault_name = w.vault_name AND u.base_day = w.base_day
    LEFT JOIN covered c ON c.vault_name = w.vault_name AND c.base_day = w.base_day
    LEFT JOIN logs l ON l.base_day = w.base_day
    LEFT JOIN maker m ON m.principal_id = w.principal_id AND m.vault_name = w.vault_name AND m.window_end = w.window_end
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN self_days >= $habit_days OR made_it THEN 'informational'
        WHEN change_days >= $standing_days AND used_before THEN 'informational'
        WHEN change_days >= $standing_days THEN 'low'
        ELSE 'medium'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' gave itself ',
        CASE WHEN role_definition_id IS NOT NULL THEN concat('the role ', regexp_replace(role_definition_id, '^.*/', ''))
             WHEN granted_permissions IS NOT NULL THEN granted_permissions ELSE 'rights' END,
        ' on ', coalesce(concat('vault ', vault_name), concat('a scope of subscription ', coalesce(subscription_id, 'unknown'))), ' at ',
        to_char(last_time, '%Y-%m-%d %H:%M'), ' UTC; ',
        CASE WHEN self_days > 0 THEN concat('it did so on ', self_days, ' days before')
             WHEN change_days > 0 THEN 'it changes vaults, and never did this before'
             ELSE 'it changed no vault before' END,
        CASE WHEN made_it THEN ', and the vault is new and its own' ELSE '' END
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    subscription_id,
    operation_name,
    caller_ip,
    client_product,
    granted_permissions,
    role_definition_id AS role,
    self_days AS days_of_the_same_before,
    change_days AS days_with_changes_before,
    used_before AS used_the_vault_before,
    made_it AS made_the_vault,
    covered_hours,
    first_time,
    last_time,
    'change_kind IN (''access_policy_added'', ''access_policy_written'', ''role_assigned'')' AS drilldown_filter
FROM judged
