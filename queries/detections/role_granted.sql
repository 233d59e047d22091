-- +++
-- title = "A role was granted on a vault"
-- description = """
-- The Activity log tells that somebody assigned a role on a vault, or on a scope that holds vaults. Each grant is told as
-- informational: granting is daily work. What raises it are signs that come together within an hour: a role that can read
-- everything or hand on rights, a caller that granted nothing in the month before, three or more scopes at once, an address
-- from outside that is new to the caller, a grant to itself (which counts twice). Three of them make it low, four medium,
-- five high. Applications and people are judged alike; a deployment tool has its habit and lacks the signs.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1098.003"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1h"
-- lookback = "31d"
-- baseline = "31d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["A colleague who sets up a new application's vaults for the first time.", "A new deployment tool."]
-- response = [
--   "Ask whoever granted the role what for, by another channel than the account's mail.",
--   "Look at what the one who gained it read since (policy_change_then_read).",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1098/003/", "https://learn.microsoft.com/azure/key-vault/general/rbac-guide"]
-- false_alarm_rate = "A routine grant has at most two of the signs, and two are informational."
--
-- [parameters]
-- many_scopes = { default = 3, min = 2, about = "Scopes granted on within an hour that count as a sign." }
-- guard = { default = "1h", about = "Grants this shortly before the window do not make a habit." }
-- history = { default = "28d", about = "How far back grants and addresses make a habit; at most the look-back less two days." }
-- +++
WITH grants AS (
    SELECT time, principal_id, principal_name, principal_type, app_id, object_id, vault_name, lower(resource_id) AS resource_id,
           subscription_id, caller_ip, target_principal_id, coalesce(correlation_id, CAST(time AS VARCHAR)) AS change_id,
           lower(coalesce(vault_name, split_part(lower(resource_id), '/providers/microsoft.authorization', 1), '')) AS scope,
           lower(reverse(split_part(reverse(role_definition_id), '/', 1))) AS role
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_class = 'control'
      AND change_kind = 'role_assigned' AND outcome = 'success' AND principal_id IS NOT NULL
),
-- Roles that read or change all of a vault's objects, or hand on rights.
role_names (role, role_name) AS (VALUES
    ('00482a5a-887f-4fb3-b363-3b7fe8e74483', 'Key Vault Administrator'),
    ('b86a8fe4-44ce-4948-aee5-eccb2c155cd7', 'Key Vault Secrets Officer'),
    ('14b46e9e-c2b7-41b4-b07b-48a6ebf60603', 'Key Vault Crypto Officer'),
    ('a4417e6f-fecd-4de8-b567-7b0420556985', 'Key Vault Certificates Officer'),
    ('8b54135c-b56d-4d72-a534-26097cfdc8d8', 'Key Vault Data Access Administrator'),
    ('f25e0fa2-a7c8-4377-a976-54943a77a395', 'Key Vault Contributor'),
    ('a68e7c17-0ab2-4c09-9a58-125dae29748c', 'Key Vault Purge Operator'),
    ('8e3af657-a8ff-443c-a75c-2fe8c4bcb635', 'Owner'),
    ('b24988ac-6180-42a0-ab88-20f7382dd24c', 'Contributor'),
    ('18d7d88d-d35e-4fb5-a5c3-7773c20a72d9', 'User Access Administrator'),
    ('f58310d9-a9f6-439a-9e8d-f62e7b41a168', 'Role Based Access Control Administrator')
),
steps AS (
    SELECT DISTINCT date_bin($every, time) + $every AS window_end, principal_id FROM grants
),
found AS (
    SELECT s.window_end, s.principal_id, date_trunc('day', s.window_end - $window) AS base_day,
           max(g.principal_name) AS principal_name, max(g.principal_type) AS principal_type, max(g.app_id) AS app_id,
           array_agg(DISTINCT g.vault_name ORDER BY g.vault_name) FILTER (WHERE g.vault_name IS NOT NULL) AS vault_name,
           array_agg(DISTINCT g.subscription_id ORDER BY g.subscription_id) FILTER (WHERE g.subscription_id IS NOT NULL) AS subscription_id,
           array_agg(DISTINCT g.caller_ip ORDER BY g.caller_ip) FILTER (WHERE g.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT g.target_principal_id ORDER BY g.target_principal_id) FILTER (WHERE g.target_principal_id IS NOT NULL) AS gained_by,
           array_agg(DISTINCT coalesce(r.role_name, g.role) ORDER BY coalesce(r.role_name, g.role)) AS roles,
           count(DISTINCT g.scope) AS scopes, count(DISTINCT g.change_id) AS changes, count(*) AS event_count,
           max(CASE WHEN r.role IS NOT NULL THEN 1 ELSE 0 END) AS powerful,
           max(CASE WHEN g.target_principal_id IN (g.principal_id, g.object_id, g.app_id) THEN 1 ELSE 0 END) AS to_itself,
           min(g.time) AS first_time, max(g.time) AS last_time
    FROM steps s
    JOIN grants g ON g.principal_id = s.principal_id AND g.time >= s.window_end - $window AND g.time < s.window_end
    LEFT JOIN role_names r ON r.role = g.role
    WHERE s.window_end > $from AND s.window_end <= $to
    GROUP BY s.window_end, s.principal_id
),
habit AS (
    SELECT f.window_end, f.principal_id, count(DISTINCT date_trunc('day', g.time)) AS days
    FROM found f
    JOIN grants g ON g.principal_id = f.principal_id
     AND g.time < f.window_end - $window - $guard AND g.time >= f.window_end - $history
    GROUP BY f.window_end, f.principal_id
),
covered AS (
    SELECT f.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM found) f
    JOIN coverage c ON c.hour < f.base_day AND c.hour >= f.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY f.base_day
),
known AS (
    -- A caller that comes from ever-changing addresses is a pipeline: a new one says nothing.
    SELECT f.principal_id, f.base_day, array_agg(DISTINCT s.value) AS addresses, count(DISTINCT s.value) AS number,
           count(DISTINCT s.day) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM found) f
    JOIN sightings s ON s.principal_id = f.principal_id AND s.day < f.base_day AND s.day >= f.base_day - $history
    WHERE s.kind = 'address' AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY f.principal_id, f.base_day
),
outside AS (
    SELECT f.principal_id, f.window_end,
           max(CASE WHEN NOT coalesce(ip_is_private(f.address), true) AND k.days >= 3 AND k.number <= 3 + k.days / 2
                     AND NOT array_has(k.addresses, f.address) THEN 1 ELSE 0 END) AS strange
    FROM (SELECT principal_id, window_end, base_day, unnest(caller_ip) AS address FROM found) f
    JOIN known k ON k.principal_id = f.principal_id AND k.base_day = f.base_day
    GROUP BY f.principal_id, f.window_end
),
judged AS (
    SELECT f.*, coalesce(h.days, 0) AS days_before, coalesce(o.strange, 0) AS strange,
           CASE WHEN coalesce(h.days, 0) = 0 AND 3600 * coalesce(c.hours, 0) >= extract(epoch FROM $min_coverage) THEN 1 ELSE 0 END AS never_before,
           CASE WHEN f.scopes >= $many_scopes THEN 1 ELSE 0 END AS many
    FROM found f
    LEFT JOIN habit h ON h.window_end = f.window_end AND h.principal_id = f.principal_id
    LEFT JOIN covered c ON c.base_day = f.base_day
    LEFT JOIN outside o ON o.window_end = f.window_end AND o.principal_id = f.principal_id
),
scored AS (SELECT *, powerful + never_before + many + strange + 2 * to_itself AS signs FROM judged)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(changes AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE WHEN signs >= 5 THEN 'high' WHEN signs = 4 THEN 'medium' WHEN signs = 3 THEN 'low' ELSE 'informational' END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' granted ', coalesce(nullif(array_to_string(array_slice(roles, 1, 3), ', '), ''), 'a role that the record does not name'), ' to ',
        CASE WHEN to_itself = 1 THEN 'itself' WHEN gained_by IS NULL THEN 'somebody' ELSE array_to_string(array_slice(gained_by, 1, 3), ', ') END,
        ' on ',
        CASE
            WHEN vault_name IS NULL THEN concat(scopes, ' scopes that hold vaults')
            WHEN scopes = 1 THEN concat('vault ', vault_name[1])
            ELSE concat(scopes, ' scopes, among them vault ', vault_name[1])
        END,
        CASE WHEN days_before > 0 THEN concat('; it granted roles on ', days_before, ' days of the month before')
             WHEN never_before = 1 THEN '; it granted none in the month before' ELSE '' END,
        CASE WHEN strange = 1 THEN concat(', and it came from an address new to it (', array_to_string(array_slice(caller_ip, 1, 3), ', '), ')') ELSE '' END,
        '.'
    ) AS summary,
    event_count,
    principal_name,
    principal_type,
    app_id,
    vault_name,
    subscription_id,
    caller_ip,
    gained_by,
    roles,
    scopes AS distinct_scopes,
    powerful = 1 AS powerful_role,
    never_before = 1 AS never_granted_before,
    to_itself = 1 AS granted_to_itself,
    strange = 1 AS new_outside_address,
    days_before AS days_with_grants_before,
    first_time,
    last_time,
    'change_kind = ''role_assigned''' AS drilldown_filter
FROM scored
