-- +++
-- title = "A call from a listed address succeeded"
-- description = """
-- A call was answered that came from an address on a list of bad ones (Tor exits, threat intelligence): an address a line or
-- ranges, in the folder of context files. Lists of the user's own networks are trusted and excuse an address. Reads, uses of
-- keys, backups and destruction weigh more than the rest. Refused and unauthenticated calls are listed_address_denied's.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1090.003", "T1078.004"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "5m"
-- quiet_for = "1d"
-- false_positives = [
--   "A list that is out of date or too broad: an address of a cloud or a carrier is shared by many.",
--   "A colleague who uses an anonymising network, or a penetration test: put the test's addresses on a trusted list.",
-- ]
-- response = [
--   "Treat the credential as stolen unless its owner explains the address: revoke sessions, rotate what was read.",
--   "Look for the same address with other callers, and for the same caller from other addresses.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1090/003/", "https://learn.microsoft.com/azure/key-vault/general/network-security"]
-- false_alarm_rate = "That of the list: without one that is not trusted it finds nothing."
-- +++
WITH listed AS (
    -- Distinct addresses first: lists may be long, and so may the log. What a trusted list covers is no bad address.
    SELECT a.caller_ip, array_agg(DISTINCT l.list ORDER BY l.list) AS lists, max(l.note) AS note
    FROM (
        SELECT DISTINCT caller_ip FROM events
        WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND caller_ip IS NOT NULL
    ) a
    CROSS JOIN (SELECT DISTINCT prefix_length FROM address_lists) n
    JOIN address_lists l ON l.prefix_length = n.prefix_length AND l.cidr = ip_network(a.caller_ip, n.prefix_length)
    GROUP BY a.caller_ip
    HAVING count(*) FILTER (WHERE l.is_trusted) = 0
),
found AS (
    SELECT date_bin($every, e.time) + $every AS window_end, e.principal_id, max(e.principal_name) AS principal_name,
           max(e.principal_type) AS principal_type, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) FILTER (WHERE e.vault_name IS NOT NULL) AS vault_name,
           array_agg(DISTINCT e.object_name ORDER BY e.object_name) FILTER (WHERE e.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) FILTER (WHERE e.client_product IS NOT NULL) AS client_product,
           array_distinct(flatten(array_agg(l.lists ORDER BY e.caller_ip))) AS lists, max(l.note) AS note,
           sum(CASE WHEN e.operation_class IN ('read', 'crypto', 'backup', 'delete', 'purge', 'write', 'restore') AND e.object_name IS NOT NULL THEN 1 ELSE 0 END) AS grave,
           count(*) AS calls, min(e.time) AS first_time, max(e.time) AS last_time
    FROM events e
    JOIN listed l ON l.caller_ip = e.caller_ip
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome = 'success'
    GROUP BY date_bin($every, e.time), e.principal_id
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(calls AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN grave > 0 THEN 'high'
        ELSE 'medium'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id, 'A caller without identity'), ' made ', calls, CASE WHEN calls = 1 THEN ' call that was answered' ELSE ' calls that were answered' END,
        ' on ', CASE WHEN cardinality(vault_name) = 1 THEN concat('vault ', vault_name[1]) ELSE concat(cardinality(vault_name), ' vaults') END,
        ' from ', array_to_string(array_slice(caller_ip, 1, 3), ', '), ', which the list ', array_to_string(lists, ', '),
        ' names as bad', CASE WHEN note IS NULL THEN '' ELSE concat(' (', note, ')') END, '; its credential works from there.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    vault_name,
    object_name,
    operation_name,
    caller_ip,
    client_product,
    lists,
    grave AS calls_on_objects,
    first_time,
    last_time,
    'outcome = ''success''' AS drilldown_filter
FROM found
WHERE window_end > $from AND window_end <= $to
