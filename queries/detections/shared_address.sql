-- +++
-- title = "Callers that never shared an address begin to"
-- description = """
-- Looks for an address from which, within an hour, several callers call with success that never used its network, nor ever
-- shared any network with one another in four weeks. One hand that holds several credentials looks like that. Services that
-- move into one network look like it too, so private addresses and callers that leave their usual network are
-- informational; it weighs more where the usual networks of the callers go on and where they ask for objects that they never used.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1078.004", "T1552"]
-- key = ["caller_ip"]
-- every = "10m"
-- window = "1h"
-- lookback = "25h"
-- baseline = "30d"
-- quiet_for = "1d"
-- false_positives = [
--   "Services that are put behind one new gateway, one by one.",
--   "An engineer who examines several services from one machine.",
-- ]
-- response = [
--   "Find out whose the address is. If it is none of yours, treat the credentials of all callers named as stolen.",
--   "Rotate what they read from there.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1078/004/"]
-- false_alarm_rate = "Low and above need two callers that never shared a network, on a public one new to both, while their usual networks go on."
--
-- [parameters]
-- history = { default = "28d", about = "How far back networks and objects count as known." }
-- min_days = { default = 4, min = 3, about = "Fewest active days of a caller that counts." }
-- max_rate = { default = 0.2, min = 0.0, max = 1.0, about = "Chance of a new network a day above which a caller does not count." }
-- min_callers = { default = 2, min = 2, about = "Fewest callers that never shared a network." }
-- +++
WITH calls AS (
    SELECT caller_ip, ip_network(caller_ip) AS network, principal_id, day, principal_type, principal_name
    FROM (
        SELECT caller_ip, principal_id, date_trunc('day', time) AS day, max(principal_type) AS principal_type,
               max(principal_name) AS principal_name, max(app_id) AS app_id
        FROM events
        WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND operation_class NOT IN ('notify', 'authenticate')
          AND principal_id IS NOT NULL AND caller_ip IS NOT NULL
        GROUP BY caller_ip, principal_id, date_trunc('day', time)
    ) AS c
    WHERE NOT EXISTS (
        SELECT 1 FROM principals p
        WHERE (p.principal_id = c.principal_id OR p.principal_id = c.app_id) AND (p.is_first_party OR p.is_known_scanner OR p.is_known_backup)
    )
),
seen AS (
    SELECT DISTINCT principal_id, ip_network(value) AS network, day
    FROM sightings
    WHERE kind = 'address' AND successes > 0 AND principal_id IS NOT NULL AND day >= $from - $lookback - $baseline AND day < $to
),
newcomers AS (
    -- Callers in a network that is new to them, on addresses where they are not alone.
    SELECT c.caller_ip, c.network, c.principal_id, c.day, c.principal_type, c.principal_name
    FROM (
        SELECT c.caller_ip, c.network, c.principal_id, c.day, max(c.principal_type) AS principal_type, max(c.principal_name) AS principal_name
        FROM calls c
        LEFT JOIN seen s ON s.principal_id = c.principal_id AND s.network = c.network AND s.day < c.day AND s.day >= c.day - $history
        WHERE c.network IS NOT NULL
        GROUP BY c.caller_ip, c.network, c.principal_id, c.day
        HAVING count(s.principal_id) = 0
    ) AS c
    JOIN (SELECT caller_ip, day FROM calls GROUP BY caller_ip, day HAVING count(*) >= $min_callers) n
      ON n.caller_ip = c.caller_ip AND n.day = c.day
),
usage AS (
    -- Where the newcomers came from before.
    SELECT w.principal_id, w.day, s.network, count(*) AS days
    FROM (SELECT DISTINCT principal_id, day FROM newcomers) w
    JOIN seen s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
    WHERE s.network IS NOT NULL
    GROUP BY w.principal_id, w.day, s.network
),
active AS (
    SELECT w.principal_id, w.day, count(DISTINCT s.day) AS days
    FROM (SELECT DISTINCT principal_id, day FROM newcomers) w
    JOIN seen s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
    GROUP BY w.principal_id, w.day
),
members AS (
    -- Callers whose networks change by themselves say nothing (Good and Turing's estimate, as in new_address).
    SELECT n.*
    FROM newcomers n
    JOIN active a ON a.principal_id = n.principal_id AND a.day = n.day
    JOIN (
        SELECT principal_id, day, count(*) FILTER (WHERE days = 1) AS singles FROM usage GROUP BY principal_id, day
    ) AS u ON u.principal_id = n.principal_id AND u.day = n.day
    WHERE a.days >= $min_days AND (u.singles + 0.5) / (a.days + 1) <= $max_rate
),
acquainted AS (
    SELECT DISTINCT m.caller_ip, m.day, m.principal_id, o.principal_id AS other_id
    FROM members m
    JOIN members o ON o.caller_ip = m.caller_ip AND o.day = m.day AND o.principal_id <> m.principal_id
    JOIN usage a ON a.principal_id = m.principal_id AND a.day = m.day
    JOIN usage b ON b.principal_id = o.principal_id AND b.day = o.day AND b.network = a.network
),
touched AS (
    SELECT e.principal_id, date_bin($every, e.time) AS bin, w.day, e.caller_ip, e.vault_name, e.object_type, e.object_name, e.client_product,
           count(*) AS calls, min(e.time) AS first_time, max(e.time) AS last_time
    FROM events e
    JOIN (SELECT DISTINCT principal_id, day FROM members) w ON w.principal_id = e.principal_id AND w.day = date_trunc('day', e.time)
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome = 'success' AND e.operation_class NOT IN ('notify', 'authenticate')
      AND e.caller_ip IS NOT NULL
    GROUP BY e.principal_id, date_bin($every, e.time), w.day, e.caller_ip, e.vault_name, e.object_type, e.object_name, e.client_product
),
hops AS (
    SELECT t.*, t.bin + hop.ahead AS window_end
    FROM touched t
    CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                       (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
    WHERE t.bin + hop.ahead > $from AND t.bin + hop.ahead <= $to AND date_trunc('day', t.bin + hop.ahead - $window) = t.day
),
at_address AS (
    SELECT h.principal_id, h.caller_ip, h.day, h.window_end, max(m.principal_type) AS principal_type, max(coalesce(m.principal_name, m.principal_id)) AS name,
           max(m.network) AS network, sum(h.calls) AS calls, min(h.first_time) AS first_time, max(h.last_time) AS last_time,
           count(DISTINCT h.vault_name || '/' || h.object_type || '/' || h.object_name) FILTER (WHERE o.value IS NULL) AS new_objects,
           array_agg(DISTINCT h.vault_name) FILTER (WHERE h.vault_name IS NOT NULL) AS vaults,
           array_agg(DISTINCT h.client_product) FILTER (WHERE h.client_product IS NOT NULL) AS clients
    FROM hops h
    JOIN members m ON m.caller_ip = h.caller_ip AND m.principal_id = h.principal_id AND m.day = h.day
    LEFT JOIN (
        SELECT DISTINCT w.principal_id, w.day, s.value
        FROM (SELECT DISTINCT principal_id, day FROM members) w
        JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
        WHERE s.kind = 'object' AND s.day >= $from - $lookback - $baseline AND s.day < $to
    ) AS o ON o.principal_id = h.principal_id AND o.day = h.day AND o.value = h.vault_name || '/' || h.object_type || '/' || h.object_name
    GROUP BY h.principal_id, h.caller_ip, h.day, h.window_end
),
elsewhere AS (
    -- Whose usual network goes on in the window.
    SELECT DISTINCT h.principal_id, h.window_end
    FROM hops h
    JOIN usage u ON u.principal_id = h.principal_id AND u.day = h.day AND u.network = ip_network(h.caller_ip)
),
strangers AS (
    -- Of those in the window, who never shared a network with any other of them.
    SELECT a.caller_ip, a.principal_id, a.window_end
    FROM at_address a
    LEFT JOIN (
        SELECT x.caller_ip, x.window_end, k.principal_id
        FROM at_address x
        JOIN acquainted k ON k.caller_ip = x.caller_ip AND k.day = x.day AND k.other_id = x.principal_id
    ) AS k ON k.caller_ip = a.caller_ip AND k.window_end = a.window_end AND k.principal_id = a.principal_id
    GROUP BY a.caller_ip, a.principal_id, a.window_end
    HAVING count(k.principal_id) = 0
),
groups AS (
    SELECT a.caller_ip, a.window_end, max(a.network) AS network, count(*) AS callers,
           count(*) FILTER (WHERE a.principal_type <> 'user') AS workloads,
           count(*) FILTER (WHERE e.principal_id IS NOT NULL) AS going_on,
           count(*) FILTER (WHERE a.new_objects > 0) AS curious, CAST(sum(a.new_objects) AS BIGINT) AS new_objects, sum(a.calls) AS calls,
           array_agg(a.principal_id ORDER BY a.principal_id) AS principal_id, array_agg(a.name ORDER BY a.name) AS names,
           array_sort(array_distinct(flatten(array_agg(a.vaults)))) AS vault_name,
           array_sort(array_distinct(flatten(array_agg(a.clients)))) AS client_product,
           min(a.first_time) AS first_time, max(a.last_time) AS last_time
    FROM at_address a
    JOIN strangers s ON s.caller_ip = a.caller_ip AND s.principal_id = a.principal_id AND s.window_end = a.window_end
    LEFT JOIN elsewhere e ON e.principal_id = a.principal_id AND e.window_end = a.window_end
    GROUP BY a.caller_ip, a.window_end
    HAVING count(*) >= $min_callers
)
SELECT
    window_end - $window AS window_start,
    window_end,
    caller_ip,
    CAST(callers AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN coalesce(ip_is_private(caller_ip), true) OR workloads = 0 AND (callers < 3 OR curious < 2) THEN 'informational'
        WHEN going_on >= 2 AND curious >= 3 THEN 'high'
        WHEN going_on >= 1 AND curious >= 2 THEN 'medium'
        WHEN going_on >= 2 OR curious >= 2 THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        callers, ' callers (', array_to_string(array_slice(names, 1, 3), ', '), CASE WHEN callers > 3 THEN ', …' ELSE '' END,
        ') called from ', caller_ip, ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC. Its network (', network,
        ') is new to each of them, and in four weeks they never shared one',
        CASE WHEN going_on > 0 THEN concat('; the usual networks of ', going_on, ' of them go on meanwhile') ELSE '' END,
        CASE WHEN new_objects > 0 THEN concat('; ', new_objects, ' of the objects that they asked for they had never used') ELSE '' END,
        '. One hand with several credentials looks like this.'
    ) AS summary,
    calls AS event_count,
    principal_id,
    vault_name,
    client_product,
    network,
    workloads,
    going_on AS usual_network_goes_on,
    curious AS callers_with_new_objects,
    new_objects,
    first_time,
    last_time,
    'outcome = ''success''' AS drilldown_filter
FROM groups
