-- +++
-- title = "A vault was changed by somebody who never changed it"
-- description = """
-- A vault or managed HSM was written, deleted, purged or recovered, or its private endpoints changed, by a caller that did no
-- such thing to it in four weeks; by the Activity log or by the vault's own. Changes of access policies, roles and address
-- rules have detections of their own. A caller that changes vaults on other days is a deployment tool or an administrator,
-- and silent for writes. Signs that come together within an hour raise it: a removed vault that others used in the day before
-- (three), a caller that never changed any vault (one), three or more vaults (one), an outside address that is new to the
-- caller (one). Three signs are low, four medium, five high; fewer are informational.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1578.005", "T1485"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "1h"
-- lookback = "31d"
-- baseline = "31d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["A new vault, and a new deployment tool.", "The removal of a vault that is still polled."]
-- response = [
--   "Ask whoever is named whether the change is theirs.",
--   "A deleted vault can be recovered while its retention lasts: see also destructive_operations and protection_weakened.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1578/005/", "https://learn.microsoft.com/azure/key-vault/general/key-vault-recovery"]
-- false_alarm_rate = "A routine write has at most two signs. Only the removal of a vault in use, or many vaults from a strange address, is more."
--
-- [parameters]
-- habit_days = { default = 2, min = 1, about = "Days with vault changes from which a caller's writes are its habit." }
-- many_vaults = { default = 3, min = 2, about = "Vaults changed within an hour that count as a sign." }
-- min_users = { default = 2, min = 1, about = "Other callers in the day before that make a vault one in use." }
-- guard = { default = "1h", about = "Changes this shortly before the window do not make a habit." }
-- history = { default = "28d", about = "How far back changes and addresses make a habit; at most the look-back less two days." }
-- +++
WITH changes AS (
    SELECT time, principal_id, principal_name, principal_type, app_id, vault_name, subscription_id, caller_ip, operation_name, change_kind,
           coalesce(correlation_id, CAST(time AS VARCHAR)) AS change_id,
           change_kind IN ('vault_deleted', 'vault_purged', 'hsm_deleted', 'hsm_purged') AS removal
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_class IN ('control', 'delete', 'purge', 'restore') AND outcome = 'success'
      AND change_kind IN ('vault_written', 'vault_deleted', 'vault_purged', 'vault_recovered', 'hsm_written', 'hsm_deleted', 'hsm_purged',
                          'private_endpoint_written', 'private_endpoint_removed')
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL
),
steps AS (
    SELECT date_bin($every, time) + $every AS window_end, principal_id, vault_name FROM changes
    GROUP BY date_bin($every, time) + $every, principal_id, vault_name
),
found AS (
    SELECT s.window_end, s.principal_id, s.vault_name, date_trunc('day', s.window_end - $window) AS base_day,
           date_trunc('hour', s.window_end - $window) AS base_hour,
           max(c.principal_name) AS principal_name, max(c.principal_type) AS principal_type, max(c.app_id) AS app_id,
           max(c.subscription_id) AS subscription_id,
           array_agg(DISTINCT c.change_kind ORDER BY c.change_kind) FILTER (WHERE c.vault_name = s.vault_name) AS changes,
           array_agg(DISTINCT c.operation_name ORDER BY c.operation_name) FILTER (WHERE c.vault_name = s.vault_name) AS operation_name,
           array_agg(DISTINCT c.caller_ip ORDER BY c.caller_ip) FILTER (WHERE c.caller_ip IS NOT NULL) AS caller_ip,
           count(DISTINCT c.vault_name) AS vaults,
           count(DISTINCT CASE WHEN c.vault_name = s.vault_name THEN c.change_id END) AS number,
           count(*) FILTER (WHERE c.vault_name = s.vault_name) AS event_count,
           max(CASE WHEN c.removal AND c.vault_name = s.vault_name THEN 1 ELSE 0 END) AS removed,
           min(c.time) FILTER (WHERE c.vault_name = s.vault_name) AS first_time,
           max(c.time) FILTER (WHERE c.vault_name = s.vault_name) AS last_time
    FROM steps s
    JOIN changes c ON c.principal_id = s.principal_id AND c.time >= s.window_end - $window AND c.time < s.window_end
    WHERE s.window_end > $from AND s.window_end <= $to
    GROUP BY s.window_end, s.principal_id, s.vault_name
),
habit AS (
    SELECT f.window_end, f.principal_id, f.vault_name, count(DISTINCT date_trunc('day', c.time)) AS days,
           sum(CASE WHEN c.vault_name = f.vault_name THEN 1 ELSE 0 END) AS same_vault
    FROM found f
    JOIN changes c ON c.principal_id = f.principal_id
     AND c.time < f.window_end - $window - $guard AND c.time >= f.window_end - $history
    GROUP BY f.window_end, f.principal_id, f.vault_name
),
in_use AS (
    SELECT f.window_end, f.principal_id, f.vault_name, count(DISTINCT a.principal_id) AS users
    FROM found f
    JOIN activity a ON a.vault_name = f.vault_name AND a.hour < f.base_hour AND a.hour >= f.base_hour - INTERVAL '1 day'
     AND a.principal_id <> f.principal_id
    WHERE f.removed = 1 AND a.hour >= $from - $lookback - $baseline AND a.hour < $to
      AND a.outcome = 'success' AND a.operation_class IN ('read', 'crypto')
    GROUP BY f.window_end, f.principal_id, f.vault_name
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
    SELECT f.*, coalesce(h.days, 0) AS days_before, coalesce(h.same_vault, 0) AS same_vault_before, coalesce(u.users, 0) AS users,
           coalesce(o.strange, 0) AS strange, coalesce(c.hours, 0) AS covered_hours,
           CASE WHEN coalesce(h.days, 0) = 0 AND 3600 * coalesce(c.hours, 0) >= extract(epoch FROM $min_coverage) THEN 1 ELSE 0 END AS never_before
    FROM found f
    LEFT JOIN habit h ON h.window_end = f.window_end AND h.principal_id = f.principal_id AND h.vault_name = f.vault_name
    LEFT JOIN in_use u ON u.window_end = f.window_end AND u.principal_id = f.principal_id AND u.vault_name = f.vault_name
    LEFT JOIN covered c ON c.base_day = f.base_day
    LEFT JOIN outside o ON o.window_end = f.window_end AND o.principal_id = f.principal_id
),
scored AS (
    SELECT *, never_before + strange + CASE WHEN vaults >= $many_vaults THEN 1 ELSE 0 END
              + CASE WHEN users >= $min_users THEN 3 ELSE 0 END AS signs
    FROM judged
    WHERE removed = 1 OR (same_vault_before = 0 AND days_before < $habit_days
                          AND 3600 * covered_hours >= extract(epoch FROM $min_coverage))
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(number AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE WHEN signs >= 5 THEN 'high' WHEN signs = 4 THEN 'medium' WHEN signs = 3 THEN 'low' ELSE 'informational' END AS severity,
    concat(
        coalesce(principal_name, principal_id), CASE WHEN removed = 1 THEN ' removed vault ' ELSE ' changed vault ' END, vault_name,
        ' (', array_to_string(changes, ', '), ')',
        CASE WHEN users >= $min_users THEN concat(', which ', users, ' other callers used in the day before') ELSE '' END,
        CASE WHEN vaults > 1 THEN concat(', one of ', vaults, ' vaults within the hour') ELSE '' END,
        CASE WHEN days_before > 0 THEN concat('; it changed vaults on ', days_before, ' days of the four weeks before')
             WHEN never_before = 1 THEN '; it changed no vault in the four weeks before' ELSE '' END,
        CASE WHEN strange = 1 THEN concat(', and it came from an address new to it (', array_to_string(array_slice(caller_ip, 1, 3), ', '), ')') ELSE '' END,
        '.'
    ) AS summary,
    event_count,
    principal_name,
    principal_type,
    app_id,
    subscription_id,
    operation_name,
    caller_ip,
    changes,
    vaults AS distinct_vaults,
    users AS other_callers_in_the_day_before,
    days_before AS days_with_changes_before,
    strange = 1 AS new_outside_address,
    first_time,
    last_time,
    'change_kind IS NOT NULL' AS drilldown_filter
FROM scored
