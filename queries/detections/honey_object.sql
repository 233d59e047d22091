-- +++
-- title = "Bait was touched"
-- description = """
-- Somebody asked for an object or a vault that bait.csv names, or used an identity that it names. Nobody has business with
-- bait, so a single call is enough and no history is asked: read, listed, refused or not found are alike. The 401 that opens
-- every client's conversation is left out where the same address goes on with a token in the same step; alone it is told too.
-- A certificate's bait covers the secret and the key of its name, through which its private key is reached.
-- A backup job copies bait with all the rest: a caller that backed up objects of the vault on an earlier day of the month, and
-- now does nothing else with the bait, is informational from its second run on; so is one that lists a bait vault again.
-- """
-- severity = "critical"
-- status = "stable"
-- techniques = ["T1555.006", "T1078.004"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "5m"
-- lookback = "5m"
-- baseline = "32d"
-- quiet_for = "1d"
-- false_positives = [
--   "Whoever plants or rotates the bait.",
--   "A scanner, a backup or one of Microsoft's services that walks through every vault: those of known.csv and of Microsoft are told as informational.",
-- ]
-- response = [
--   "Treat the caller's credential as stolen: revoke its sessions, rotate its secret.",
--   "Look at all that the caller and the address did in the days before.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/", "https://learn.microsoft.com/azure/key-vault/general/logging"]
-- false_alarm_rate = "None but by those who plant the bait; without bait.csv it finds nothing."
-- +++
WITH touches AS (
    SELECT e.event_id, e.time, e.principal_id, e.vault_name, e.caller_ip, e.outcome, e.operation_class, 'object' AS bait
    FROM events e
    JOIN (SELECT DISTINCT vault_name, object_type, lower(object_name) AS object_name FROM bait_objects) b
      ON b.object_name = lower(e.object_name)
     AND (b.vault_name IS NULL OR b.vault_name = e.vault_name)
     AND (b.object_type IS NULL OR b.object_type = e.object_type OR (b.object_type = 'certificate' AND e.object_type IN ('secret', 'key')))
    WHERE e.time >= $from - $lookback AND e.time < $to AND coalesce(e.operation_class, '') NOT IN ('notify', 'policy')
    UNION ALL
    SELECT e.event_id, e.time, e.principal_id, e.vault_name, e.caller_ip, e.outcome, e.operation_class, 'vault' AS bait
    FROM events e
    JOIN (SELECT vault_name FROM vaults WHERE is_bait) b ON b.vault_name = e.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to AND coalesce(e.operation_class, '') NOT IN ('notify', 'policy')
    UNION ALL
    SELECT e.event_id, e.time, e.principal_id, e.vault_name, e.caller_ip, e.outcome, e.operation_class, 'identity' AS bait
    FROM events e
    JOIN (SELECT principal_id FROM principals WHERE is_bait) b ON b.principal_id = e.principal_id OR b.principal_id = e.app_id
    WHERE e.time >= $from - $lookback AND e.time < $to
),
calls AS (
    -- One row a record, whatever kinds of bait it touched.
    SELECT event_id, date_bin($every, time) + $every AS window_end, principal_id, vault_name, caller_ip, outcome, operation_class,
           min(bait) AS bait
    FROM touches
    GROUP BY event_id, date_bin($every, time), principal_id, vault_name, caller_ip, outcome, operation_class
),
told AS (
    SELECT c.event_id, c.window_end, c.bait
    FROM calls c
    LEFT JOIN (SELECT DISTINCT window_end, vault_name, caller_ip FROM calls WHERE principal_id IS NOT NULL) k
      ON k.window_end = c.window_end AND k.vault_name = c.vault_name AND k.caller_ip = c.caller_ip
    WHERE c.window_end > $from AND c.window_end <= $to
      AND (c.principal_id IS NOT NULL OR c.outcome <> 'challenge' OR k.window_end IS NULL)
),
found AS (
    SELECT t.window_end, e.principal_id, e.vault_name, max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type,
           max(e.app_id) AS app_id, max(e.subscription_id) AS subscription_id,
           array_agg(DISTINCT e.object_name ORDER BY e.object_name) FILTER (WHERE e.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) FILTER (WHERE e.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) FILTER (WHERE e.client_product IS NOT NULL) AS client_product,
           array_agg(DISTINCT t.bait ORDER BY t.bait) AS bait,
           max(CASE WHEN e.operation_class = 'backup' OR (e.operation_class = 'list' AND e.object_name IS NULL) THEN 0 ELSE 1 END) AS other_than_routine,
           min(e.operation_class) AS routine,
           count(*) AS calls, sum(CASE WHEN e.outcome = 'success' THEN 1 ELSE 0 END) AS successes,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM told t
    JOIN events e ON e.event_id = t.event_id
    WHERE e.time >= $from - $lookback AND e.time < $to
    GROUP BY t.window_end, e.principal_id, e.vault_name
),
habit AS (
    SELECT f.window_end, f.principal_id, f.vault_name, count(DISTINCT date_trunc('day', a.hour)) AS days
    FROM found f
    JOIN activity a ON a.principal_id = f.principal_id AND a.vault_name = f.vault_name AND a.operation_class = f.routine
     AND a.hour < date_trunc('day', f.window_end - $window) AND a.hour >= date_trunc('day', f.window_end - $window) - INTERVAL '31 days'
    WHERE f.other_than_routine = 0 AND a.outcome = 'success' AND a.hour >= $from - $lookback - $baseline AND a.hour < $to
    GROUP BY f.window_end, f.principal_id, f.vault_name
),
judged AS (
    SELECT f.*, coalesce(h.days, 0) AS days_before, coalesce(h.days, 0) > 0 OR coalesce(p.is_known_scanner OR p.is_known_backup OR p.is_first_party, false)
             OR coalesce(a.is_known_scanner OR a.is_known_backup OR a.is_first_party, false) AS harmless
    FROM found f
    LEFT JOIN habit h ON h.window_end = f.window_end AND h.principal_id = f.principal_id AND h.vault_name = f.vault_name
    LEFT JOIN principals p ON p.principal_id = f.principal_id
    LEFT JOIN principals a ON a.principal_id = f.app_id
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN harmless THEN 'informational'
        WHEN principal_id IS NULL THEN 'high'
        ELSE 'critical'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id, 'A caller without identity'), ' touched bait (', array_to_string(bait, ', '), ') ', calls,
        CASE WHEN calls = 1 THEN ' time' ELSE ' times' END, ' in vault ', coalesce(vault_name, 'unknown'), ': ',
        array_to_string(array_slice(operation_name, 1, 3), ', '),
        CASE WHEN object_name IS NULL THEN '' ELSE concat(' of ', array_to_string(array_slice(object_name, 1, 3), ', ')) END,
        CASE WHEN successes > 0 THEN concat(', ', successes, ' of them answered') ELSE ', none of them answered' END,
        CASE WHEN caller_ip IS NULL THEN '' ELSE concat(', from ', array_to_string(array_slice(caller_ip, 1, 3), ', ')) END,
        '. Nobody has business with it',
        CASE WHEN harmless THEN ', but this caller is known to walk through whole vaults.' ELSE '.' END
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    subscription_id,
    object_name,
    operation_name,
    caller_ip,
    client_product,
    bait,
    successes,
    days_before AS days_with_the_same_routine_before,
    first_time,
    last_time
FROM judged
