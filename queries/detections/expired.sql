-- +++
-- title = "An object has expired"
-- description = """
-- Event Grid's notice in the vault's log: a secret, key or certificate is past its expiry. Where callers used it in the week
-- before, they are told: what an expired secret opens may be closed, keys refuse, clients turn away from a certificate. It is
-- a matter of care and no attack; of an object in daily use something is about to fail, or fails already.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1489"]
-- key = ["vault_name", "object_type", "object_name"]
-- every = "1h"
-- window = "1h"
-- lookback = "1h"
-- baseline = "9d"
-- quiet_for = "30d"
-- false_positives = ["An object that was replaced by another of a different name."]
-- response = ["Renew the object if its callers still need it; else disable or delete it.", "Set a rotation policy, so that it does not come again."]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/event-grid-overview"]
-- false_alarm_rate = "None: Azure says so itself. One alert an object in a month; low where it is in daily use."
--
-- [parameters]
-- daily_use = { default = 50, min = 1, about = "Calls in the week before from which an expired object is low: about seven a day." }
-- +++
WITH notices AS (
    SELECT date_bin($every, time) + $every AS window_end, vault_name, object_type, object_name,
           max(object_version) AS object_version, max(operation_name) AS operation_name, max(subscription_id) AS subscription_id,
           max(resource_id) AS resource_id, max(expires_at) AS expires_at, count(*) AS notices, min(time) AS first_time, max(time) AS last_time
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_class = 'notify' AND object_name IS NOT NULL
      AND operation_name LIKE '%ExpiredEventGridNotification'
    GROUP BY date_bin($every, time), vault_name, object_type, object_name
),
used AS (
    -- Who used it with success in the week before. A certificate is read through its secret, and used through its key.
    SELECT n.window_end, n.vault_name, n.object_type, n.object_name, count(DISTINCT s.principal_id) AS callers, sum(s.successes) AS calls
    FROM notices n
    JOIN sightings s ON s.vault_name = n.vault_name AND s.day < date_trunc('day', n.window_end - $window)
     AND s.day >= date_trunc('day', n.window_end - $window) - INTERVAL '7 days'
     AND (lower(s.value) = lower(concat(n.vault_name, '/', n.object_type, '/', n.object_name))
          OR (n.object_type = 'certificate' AND lower(s.value) IN (lower(concat(n.vault_name, '/secret/', n.object_name)),
                                                                   lower(concat(n.vault_name, '/key/', n.object_name)))))
    WHERE s.kind = 'object' AND s.successes > 0 AND s.principal_id IS NOT NULL
      AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY n.window_end, n.vault_name, n.object_type, n.object_name
)
SELECT
    n.window_end - $window AS window_start,
    n.window_end,
    n.vault_name,
    n.object_type,
    n.object_name,
    CAST(n.notices AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE WHEN u.calls >= $daily_use THEN 'low' ELSE 'informational' END AS severity,
    concat(
        upper(left(n.object_type, 1)), substr(n.object_type, 2), ' ', n.object_name, ' of vault ', n.vault_name, ' has expired',
        CASE WHEN n.expires_at IS NULL THEN '' ELSE concat(' (', to_char(n.expires_at, '%Y-%m-%d %H:%M'), ' UTC)') END,
        CASE WHEN u.callers IS NULL THEN '; nobody used it in the week before.'
             WHEN u.callers = 1 THEN concat('; one caller used it ', u.calls, ' times in the week before and may fail now.')
             ELSE concat('; ', u.callers, ' callers used it ', u.calls, ' times in the week before and may fail now.') END
    ) AS summary,
    n.notices AS event_count,
    n.operation_name,
    n.subscription_id,
    n.resource_id,
    n.object_version,
    n.expires_at,
    coalesce(u.callers, 0) AS callers_in_the_week_before,
    n.first_time,
    n.last_time,
    'operation_class = ''notify''' AS drilldown_filter
FROM notices n
LEFT JOIN used u ON u.window_end = n.window_end AND u.vault_name = n.vault_name AND u.object_type = n.object_type AND u.object_name = n.object_name
WHERE n.window_end > $from AND n.window_end <= $to
