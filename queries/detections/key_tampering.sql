-- +++
-- title = "A key is disabled, narrowed, expired or deleted"
-- description = """
-- Somebody disables a key, takes operations from it that it is used for, lets it expire at once, deletes or purges it. What
-- other services encrypted with it cannot be read any more, which is how data are held to ransom. Weighed by use: other callers
-- that did cryptographic operations with the key (with that version, where the change names one) in the day before, or on two
-- days of the week before. An old version that nobody uses and whose successor exists is a rotation, and information.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1486", "T1485", "T1490"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "6h"
-- lookback = "30h"
-- baseline = "38d"
-- quiet_for = "12h"
-- min_coverage = "3d"
-- false_positives = ["A key that is withdrawn on purpose while a service still holds on to it."]
-- response = [
--   "Enable the key again, or recover it (az keyvault key recover), before anything else: services that unwrap with it fail.",
--   "Ask the caller; if nobody explains the change, revoke its access and look what else it changed.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1486/", "https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview"]
-- false_alarm_rate = "Low and above needs a key that others use, or several keys at once by a caller that changed none before."
--
-- [parameters]
-- in_use = { default = "1d", about = "A key is in use whose version another caller worked with so shortly before; at most the look-back less the window." }
-- week = { default = "7d", about = "A key is in use that another caller had on two or more of these days." }
-- expires_within = { default = "1h", about = "An expiry so near ends the key at once." }
-- many_keys = { default = 3, min = 2, about = "Keys changed by a caller that changed none before from which it is low though nobody uses them." }
-- habit_days = { default = 3, min = 1, about = "Days with changes of keys from which they are the caller's habit." }
-- history = { default = "35d", about = "How far back the caller's days count; at most the baseline less two days." }
-- +++
WITH changes AS (
    SELECT time, principal_id, vault_name, object_name, lower(object_name) AS name, object_version, operation_name, operation_class,
           key_operations, object_enabled, expires_at, principal_name, principal_type, app_id, caller_ip, client_product
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND object_type = 'key' AND object_name IS NOT NULL
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL
      AND (operation_class IN ('delete', 'purge')
           OR (operation_name = 'KeyUpdate' AND (object_enabled = false OR expires_at IS NOT NULL OR key_operations IS NOT NULL)))
),
uses AS (
    -- Cryptographic operations with the keys that somebody changed.
    SELECT e.time, e.principal_id, e.vault_name, lower(e.object_name) AS name, e.object_version,
           CASE e.operation_name WHEN 'KeyWrap' THEN 'wrapKey' WHEN 'KeyUnwrap' THEN 'unwrapKey' WHEN 'KeySign' THEN 'sign'
                WHEN 'KeyVerify' THEN 'verify' WHEN 'KeyEncrypt' THEN 'encrypt' WHEN 'KeyDecrypt' THEN 'decrypt' END AS needs
    FROM events e
    JOIN (SELECT DISTINCT vault_name, name FROM changes) c ON c.vault_name = e.vault_name AND c.name = lower(e.object_name)
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.operation_class = 'crypto' AND e.outcome = 'success' AND e.object_type = 'key'
),
near AS (
    SELECT c.time, c.principal_id, c.vault_name, c.name, count(DISTINCT u.principal_id) AS users,
           count(DISTINCT CASE WHEN c.key_operations IS NOT NULL AND u.needs IS NOT NULL
                 AND strpos(concat(',', c.key_operations, ','), concat(',', u.needs, ',')) = 0 THEN u.principal_id END) AS shut_out
    FROM changes c
    JOIN uses u ON u.vault_name = c.vault_name AND u.name = c.name
    WHERE u.principal_id <> c.principal_id AND u.time < c.time AND u.time >= c.time - $in_use
      AND (u.object_version IS NULL OR c.object_version IS NULL OR u.object_version = c.object_version)
    GROUP BY 1, 2, 3, 4
),
tampered AS (
    SELECT c.*, coalesce(n.users, 0) AS users, date_trunc('day', c.time - $window) AS base_day,
           CASE WHEN c.operation_class = 'purge' THEN 'purged' WHEN c.operation_class = 'delete' THEN 'deleted'
                WHEN c.object_enabled = false THEN 'disabled' WHEN c.expires_at <= c.time + $expires_within THEN 'expired'
                WHEN n.shut_out > 0 THEN 'narrowed' END AS done
    FROM changes c
    LEFT JOIN near n ON n.time = c.time AND n.principal_id = c.principal_id AND n.vault_name = c.vault_name AND n.name = c.name
),
cryptic AS (
    SELECT principal_id, vault_name, date_trunc('day', hour) AS day
    FROM activity
    WHERE operation_class = 'crypto' AND outcome = 'success' AND principal_id IS NOT NULL
      AND hour >= $from - $lookback - $baseline AND hour < $to
    GROUP BY 1, 2, 3
),
weekly AS (
    -- A key that is used more seldom than daily; what names a version was asked above.
    SELECT principal_id, vault_name, name, base_day, count(*) AS users
    FROM (
        SELECT t.principal_id, t.vault_name, t.name, t.base_day, s.principal_id AS holder, count(DISTINCT s.day) AS days
        FROM (SELECT DISTINCT principal_id, vault_name, name, base_day FROM tampered WHERE done IS NOT NULL AND object_version IS NULL) t
        JOIN sightings s ON lower(s.value) = concat(t.vault_name, '/key/', t.name) AND s.principal_id <> t.principal_id
         AND s.day < t.base_day AND s.day >= t.base_day - $week
        JOIN cryptic c ON c.principal_id = s.principal_id AND c.vault_name = t.vault_name AND c.day = s.day
        WHERE s.kind = 'object' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
        GROUP BY 1, 2, 3, 4, 5
    ) AS holders
    WHERE days >= 2
    GROUP BY 1, 2, 3, 4
),
told AS (
    SELECT t.*, greatest(t.users, coalesce(w.users, 0)) AS holders
    FROM tampered t
    LEFT JOIN weekly w ON w.principal_id = t.principal_id AND w.vault_name = t.vault_name AND w.name = t.name AND w.base_day = t.base_day
     AND t.object_version IS NULL
    WHERE t.done IS NOT NULL
),
ends AS (
    SELECT principal_id, vault_name, window_end
    FROM (SELECT DISTINCT principal_id, vault_name, date_bin($every, time) + $every AS window_end FROM told) AS bins
    WHERE window_end > $from AND window_end <= $to
),
windows AS (
    SELECT e.principal_id, e.vault_name, e.window_end, date_trunc('day', e.window_end - $window) AS base_day, count(*) AS calls,
           count(DISTINCT t.name) AS keys, count(DISTINCT t.name) FILTER (WHERE t.holders > 0) AS in_use, max(t.holders) AS holders,
           array_agg(DISTINCT t.object_name ORDER BY t.object_name) AS object_name,
           array_agg(DISTINCT concat(t.object_name, ' ', t.done) ORDER BY concat(t.object_name, ' ', t.done)) AS done,
           array_agg(DISTINCT t.operation_name ORDER BY t.operation_name) AS operation_name,
           array_agg(DISTINCT t.caller_ip ORDER BY t.caller_ip) FILTER (WHERE t.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT t.client_product ORDER BY t.client_product) FILTER (WHERE t.client_product IS NOT NULL) AS client_product,
           max(t.principal_name) AS principal_name, max(t.principal_type) AS principal_type, max(t.app_id) AS app_id,
           min(t.time) AS first_time, max(t.time) AS last_time
    FROM ends e
    JOIN told t ON t.principal_id = e.principal_id AND t.vault_name = e.vault_name AND t.time >= e.window_end - $window AND t.time < e.window_end
    GROUP BY 1, 2, 3
),
habit AS (
    SELECT w.base_day, w.principal_id, count(*) AS days
    FROM (SELECT DISTINCT base_day, principal_id FROM windows) w
    JOIN (
        SELECT DISTINCT principal_id, date_trunc('day', hour) AS day FROM activity
        WHERE operation_name IN ('KeyUpdate', 'KeyDelete', 'KeyPurge') AND outcome = 'success'
          AND hour >= $from - $lookback - $baseline AND hour < $to
    ) a ON a.principal_id = w.principal_id AND a.day < w.base_day AND a.day >= w.base_day - $history
    GROUP BY 1, 2
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM windows) d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
judged AS (
    SELECT w.*, coalesce(h.days, 0) AS habit_days_before, coalesce(c.hours, 0) AS covered_hours
    FROM windows w
    LEFT JOIN habit h ON h.principal_id = w.principal_id AND h.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(keys AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN in_use > 0 AND habit_days_before = 0 THEN 'high'
        WHEN in_use > 0 AND habit_days_before < $habit_days THEN 'medium'
        WHEN in_use > 0 THEN 'low'
        WHEN keys >= $many_keys AND habit_days_before = 0 AND 3600 * covered_hours >= extract(epoch FROM $min_coverage) THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' changed ', keys, CASE WHEN keys = 1 THEN ' key' ELSE ' keys' END, ' of vault ', vault_name,
        ' in the six hours to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC: ', array_to_string(array_slice(done, 1, 5), ', '),
        CASE WHEN in_use > 0 THEN concat('. ', in_use, CASE WHEN in_use = 1 THEN ' is' ELSE ' are' END, ' in use by others (', holders,
             CASE WHEN holders = 1 THEN ' caller' ELSE ' callers' END, '), who cannot read any more what they encrypted') ELSE '. Nobody else used them these days' END,
        CASE WHEN habit_days_before = 0 THEN '. It changed no key before' ELSE concat('. It changed keys on ', habit_days_before, ' days before') END
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    'key' AS object_type,
    object_name,
    operation_name,
    caller_ip,
    client_product,
    done AS changes,
    in_use AS keys_in_use_by_others,
    holders AS callers_that_use_them,
    habit_days_before AS days_with_changes_before,
    covered_hours,
    first_time,
    last_time,
    'object_type = ''key'' AND (operation_class IN (''delete'', ''purge'') OR operation_name = ''KeyUpdate'') AND outcome = ''success''' AS drilldown_filter
FROM judged
