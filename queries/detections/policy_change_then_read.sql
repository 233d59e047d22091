-- +++
-- title = "Let into a vault, and reading it at once"
-- description = """
-- Somebody is given an access policy of a vault or a role on it (or on the group or subscription that holds it), and within a
-- day the one who gained uses objects of the vault, where it did not before. Every new service begins like that, so this alone
-- is information. Each further oddity is a point: the one who gave never changed anything before; the one who gained is long
-- known elsewhere; it uses many objects; it belongs to another environment; it calls from a public network new to it. Who lets
-- himself in has two.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1098.003", "T1555.006"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "1d"
-- lookback = "1d"
-- baseline = "38d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["A service that takes over another one's work.", "An administrator's first change since the logs began."]
-- response = [
--   "Ask the one who changed the vault who asked for it; the record's correlation id leads to the change.",
--   "If nobody did: take the policy or role back, and rotate what was read since.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1098/003/", "https://learn.microsoft.com/azure/key-vault/general/rbac-guide"]
-- false_alarm_rate = "Low and above needs three independent oddities beside the change itself."
--
-- [parameters]
-- min_objects = { default = 5, min = 1, about = "Different objects used from which they are many." }
-- low_points = { default = 3, min = 1, about = "Points that make it low; one more is medium, two more high." }
-- known_days = { default = 3, min = 1, about = "Active days in the history from which a caller is known." }
-- history = { default = "35d", about = "How far back days count; at most the baseline less two days." }
-- +++
WITH changes AS (
    -- The Activity log tells at the beginning who gains and at the end how it went.
    SELECT time, vault_name, subscription_id, resource_group, principal_id, principal_name, target_principal_id, granted_permissions,
           role_definition_id, operation_name, correlation_id, outcome
    FROM events
    WHERE time >= $from - $lookback AND time < $to
      AND change_kind IN ('access_policy_added', 'access_policy_written', 'role_assigned') AND principal_id IS NOT NULL
),
grants AS (
    SELECT vault_name, subscription_id, resource_group, granter, target, min(time) AS time, max(granter_name) AS granter_name,
           max(rights) AS rights
    FROM (
        -- An access policy may name several.
        SELECT time, vault_name, subscription_id, resource_group, principal_id AS granter, principal_name AS granter_name,
               unnest(string_to_array(target_principal_id, ',')) AS target, coalesce(granted_permissions, role_definition_id) AS rights
        FROM changes WHERE outcome = 'success' AND target_principal_id IS NOT NULL
        UNION ALL
        SELECT e.time, b.vault_name, b.subscription_id, b.resource_group, b.principal_id, b.principal_name,
               unnest(string_to_array(b.target_principal_id, ',')),
               coalesce(b.granted_permissions, b.role_definition_id)
        FROM changes b JOIN changes e ON e.correlation_id = b.correlation_id AND e.principal_id = b.principal_id
        WHERE b.outcome = 'unknown' AND b.target_principal_id IS NOT NULL AND e.outcome = 'success' AND e.time >= b.time
    ) AS told
    GROUP BY vault_name, subscription_id, resource_group, granter, target, date_bin($every, time)
),
uses AS (
    SELECT e.principal_id, e.vault_name, e.subscription_id, e.resource_group, e.time,
           concat(e.object_type, '/', e.object_name) AS object, e.caller_ip, e.principal_name, e.principal_type
    FROM events e JOIN (SELECT DISTINCT target FROM grants) g ON g.target = e.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.operation_class IN ('read', 'crypto', 'backup') AND e.outcome = 'success'
      AND e.object_name IS NOT NULL AND e.vault_name IS NOT NULL
),
firsts AS (
    SELECT g.granter, g.time AS granted, u.principal_id, u.vault_name, u.object, max(g.granter_name) AS granter_name, max(g.rights) AS rights,
           min(u.time) AS time
    FROM grants g
    JOIN uses u ON u.principal_id = g.target
    WHERE u.time > g.time AND u.time < g.time + $window
      AND CASE WHEN g.vault_name IS NOT NULL THEN u.vault_name = g.vault_name
               ELSE u.subscription_id = g.subscription_id AND coalesce(u.resource_group = g.resource_group, true) END
    GROUP BY 1, 2, 3, 4, 5
),
ends AS (
    -- Only where a further object comes into use: a service that polls from then on is no news.
    SELECT principal_id, vault_name, window_end, date_trunc('day', window_end - $window) AS base_day
    FROM (SELECT DISTINCT principal_id, vault_name, date_bin($every, time) + $every AS window_end FROM firsts) AS bins
    WHERE window_end > $from AND window_end <= $to
),
windows AS (
    SELECT e.principal_id, e.vault_name, e.window_end, e.base_day, count(DISTINCT f.object) AS objects,
           first_value(f.granter ORDER BY f.granted DESC, f.granter) AS granter,
           first_value(coalesce(f.granter_name, f.granter) ORDER BY f.granted DESC, f.granter) AS granter_name,
           first_value(f.rights ORDER BY f.granted DESC, f.granter) AS rights,
           max(f.granted) AS granted, bool_or(f.granter = f.principal_id) AS self,
           array_agg(DISTINCT f.object ORDER BY f.object) AS objects_used, min(f.time) AS first_time, max(f.time) AS last_time
    FROM ends e
    JOIN firsts f ON f.principal_id = e.principal_id AND f.vault_name = e.vault_name AND f.granted >= e.window_end - $window AND f.time < e.window_end
    GROUP BY 1, 2, 3, 4
),
days AS (SELECT DISTINCT base_day FROM windows),
past AS (
    SELECT d.base_day, s.principal_id, s.kind, s.value, count(DISTINCT s.day) AS days
    FROM days d
    JOIN (
        SELECT day, principal_id, kind, CASE WHEN kind = 'address' THEN ip_network(value) ELSE value END AS value
        FROM sightings
        WHERE kind IN ('vault', 'address') AND successes > 0 AND day >= $from - $lookback - $baseline AND day < $to
          AND principal_id IN (SELECT principal_id FROM firsts)
    ) s ON s.day < d.base_day AND s.day >= d.base_day - $history
    GROUP BY 1, 2, 3, 4
),
known AS (SELECT base_day, principal_id, max(days) AS days FROM past WHERE kind = 'vault' GROUP BY 1, 2),
givers AS (
    SELECT DISTINCT d.base_day, a.principal_id
    FROM days d
    JOIN (
        SELECT DISTINCT principal_id, date_trunc('day', hour) AS day FROM activity
        WHERE operation_class = 'control' AND outcome = 'success' AND principal_id IS NOT NULL
          AND hour >= $from - $lookback - $baseline AND hour < $to
    ) a ON a.day < d.base_day AND a.day >= d.base_day - $history
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
calls AS (
    SELECT w.principal_id, w.vault_name, w.window_end, count(*) AS calls, max(u.principal_name) AS principal_name, max(u.principal_type) AS principal_type,
           max(u.resource_group) AS resource_group, max(u.subscription_id) AS subscription_id,
           array_agg(DISTINCT u.caller_ip ORDER BY u.caller_ip) FILTER (WHERE u.caller_ip IS NOT NULL) AS caller_ip,
           bool_or(n.value IS NULL AND NOT coalesce(ip_is_private(u.caller_ip), true)) AS strange_address
    FROM windows w
    JOIN uses u ON u.principal_id = w.principal_id AND u.vault_name = w.vault_name AND u.time >= w.window_end - $window AND u.time < w.window_end
    LEFT JOIN past n ON n.kind = 'address' AND n.principal_id = u.principal_id AND n.base_day = w.base_day AND n.value = ip_network(u.caller_ip)
    GROUP BY 1, 2, 3
),
judged AS (
    SELECT w.*, c.calls, c.principal_name, c.principal_type, c.caller_ip,
           r.principal_id IS NULL AS new_giver,
           coalesce(k.days, 0) >= $known_days AS known_elsewhere,
           coalesce(k.days, 0) >= $known_days AND c.strange_address AS strange_address,
           coalesce(v.environment, environment_of(w.vault_name, c.resource_group, s.environment, s.name)) AS vault_environment,
           coalesce(p.environment, environment_of(c.principal_name)) AS caller_environment,
           coalesce(h.hours, 0) AS covered_hours
    FROM windows w
    JOIN calls c ON c.principal_id = w.principal_id AND c.vault_name = w.vault_name AND c.window_end = w.window_end
    LEFT JOIN past o ON o.kind = 'vault' AND o.principal_id = w.principal_id AND o.base_day = w.base_day AND o.value = w.vault_name
    LEFT JOIN known k ON k.principal_id = w.principal_id AND k.base_day = w.base_day
    LEFT JOIN givers r ON r.principal_id = w.granter AND r.base_day = w.base_day
    LEFT JOIN covered h ON h.base_day = w.base_day
    LEFT JOIN vaults v ON v.vault_name = w.vault_name
    LEFT JOIN subscriptions s ON s.subscription_id = c.subscription_id
    LEFT JOIN principals p ON p.principal_id = w.principal_id
    -- Who used the vault before had rights before.
    WHERE o.value IS NULL
),
scored AS (
    SELECT *, vault_environment <> caller_environment AND vault_environment <> 'unknown' AND caller_environment <> 'unknown' AS other_environment,
           CASE WHEN 3600 * covered_hours < extract(epoch FROM $min_coverage) THEN 0 ELSE
               CASE WHEN new_giver THEN 1 ELSE 0 END + CASE WHEN known_elsewhere THEN 1 ELSE 0 END
               + CASE WHEN objects >= $min_objects THEN 1 ELSE 0 END + CASE WHEN strange_address THEN 1 ELSE 0 END
               + CASE WHEN self THEN 2 ELSE 0 END
               + CASE WHEN vault_environment <> caller_environment AND vault_environment <> 'unknown' AND caller_environment <> 'unknown' THEN 1 ELSE 0 END
           END AS points
    FROM judged
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(objects AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN points >= $low_points + 2 THEN 'high'
        WHEN points >= $low_points + 1 THEN 'medium'
        WHEN points >= $low_points THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' was let into vault ', vault_name, ' by ', CASE WHEN self THEN 'itself' ELSE granter_name END, ' at ',
        to_char(granted, '%Y-%m-%d %H:%M'), ' UTC and used ', objects, CASE WHEN objects = 1 THEN ' object' ELSE ' objects' END, ' there since, where it never came before',
        CASE WHEN new_giver THEN '; whoever let it in changed nothing before' ELSE '' END,
        CASE WHEN known_elsewhere THEN '; it is long known elsewhere' ELSE '' END,
        CASE WHEN other_environment THEN concat('; it belongs to ', caller_environment, ' and the vault to ', vault_environment) ELSE '' END,
        CASE WHEN strange_address THEN concat('; from a network new to it (', array_to_string(array_slice(caller_ip, 1, 3), ', '), ')') ELSE '' END
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    caller_ip,
    granter,
    granter_name,
    granted AS granted_at,
    rights AS granted_rights,
    objects_used,
    points,
    self AS let_itself_in,
    new_giver,
    known_elsewhere,
    other_environment,
    strange_address,
    covered_hours,
    first_time,
    last_time
FROM scored
