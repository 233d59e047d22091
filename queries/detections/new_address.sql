-- +++
-- title = "A known caller from a network that it never used"
-- description = """
-- Looks for successful calls of a caller from a network (/24, or /48 of IPv6) that it was not seen with in four weeks. A new
-- network alone is informational: workloads are moved and people travel. It weighs more with each further sign in the same
-- hour: a public address where the caller always came from private ones, calls from the usual network that go on meanwhile, a
-- client that the caller never used, objects and vaults that it never used, deletions and backups. Networks that several others use explain
-- themselves. A caller whose networks change by themselves (a pipeline on hosted agents) is not told of: how often a caller's
-- networks are new is estimated by Good and Turing's rule, from those of its history that were seen on a single day.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1078.004", "T1552"]
-- key = ["principal_id"]
-- every = "10m"
-- window = "1h"
-- lookback = "25h"
-- baseline = "30d"
-- quiet_for = "1d"
-- false_positives = [
--   "A workload that is moved out of its virtual network while its old instances still run.",
--   "A developer who tries the identity of a service from elsewhere.",
-- ]
-- response = [
--   "Ask the owner of the caller whether the network is theirs.",
--   "If not: revoke the caller's credential, rotate what it read from there, and look for the address among other callers.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1078/004/"]
-- false_alarm_rate = "Low and above need two further signs beside the network."
--
-- [parameters]
-- history = { default = "28d", about = "How far back networks, clients and objects count as known." }
-- min_days = { default = 4, min = 3, about = "Fewest active days of the caller before anything of it is called new." }
-- max_rate = { default = 0.2, min = 0.0, max = 1.0, about = "Chance of a new network a day above which a new one says nothing." }
-- min_peers = { default = 2, min = 1, about = "So many other callers known in a network make it one of the company's." }
-- min_objects = { default = 3, min = 1, about = "Objects never used before, in an hour, that count as a sign." }
-- many_objects = { default = 10, min = 1, about = "The same, counted twice." }
-- +++
WITH addresses AS (
    SELECT principal_id, max(principal_type) AS principal_type, max(principal_name) AS principal_name, max(app_id) AS app_id,
           caller_ip, date_trunc('day', time) AS day
    FROM events
    WHERE time >= $from - $lookback AND time < $to
      AND outcome = 'success' AND operation_class NOT IN ('notify', 'authenticate')
      AND principal_id IS NOT NULL AND caller_ip IS NOT NULL
    GROUP BY principal_id, caller_ip, date_trunc('day', time)
),
seen AS (
    SELECT principal_id, network, day
    FROM (
        SELECT principal_id, ip_network(value) AS network, day
        FROM sightings
        WHERE kind = 'address' AND successes > 0 AND principal_id IS NOT NULL
          AND day >= $from - $lookback - $baseline AND day < $to
    ) AS s
    WHERE network IS NOT NULL
    GROUP BY principal_id, network, day
),
networks AS (
    SELECT a.principal_id, a.network, a.day, max(a.principal_type) AS principal_type, max(a.principal_name) AS principal_name
    FROM (SELECT *, ip_network(caller_ip) AS network FROM addresses) AS a
    LEFT JOIN principals p ON p.principal_id = a.principal_id
    LEFT JOIN principals application ON application.principal_id = a.app_id
    WHERE a.network IS NOT NULL
      -- Azure's own services move as they like, and known scanners and backups are known.
      AND NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
      AND NOT coalesce(application.is_first_party OR application.is_known_scanner OR application.is_known_backup, false)
    GROUP BY a.principal_id, a.network, a.day
),
fresh AS (
    -- New to the caller itself; few are left for the question who else is known there.
    SELECT n.principal_id, n.network, n.day, max(n.principal_type) AS principal_type, max(n.principal_name) AS principal_name
    FROM networks n
    LEFT JOIN seen s ON s.principal_id = n.principal_id AND s.network = n.network AND s.day < n.day AND s.day >= n.day - $history
    GROUP BY n.principal_id, n.network, n.day
    HAVING count(s.day) = 0
),
strange AS (
    SELECT n.principal_id, n.network, n.day, max(n.principal_type) AS principal_type, max(n.principal_name) AS principal_name,
           count(DISTINCT s.principal_id) AS peers
    FROM fresh n
    LEFT JOIN seen s ON s.network = n.network AND s.day < n.day AND s.day >= n.day - $history
    GROUP BY n.principal_id, n.network, n.day
),
habits AS (
    -- How often a network of the caller is new: Good and Turing's estimate from those seen on one day only.
    SELECT principal_id, day, count(*) AS networks, max(active) AS days,
           count(*) FILTER (WHERE days = 1) AS singles, bool_and(private) AS inside
    FROM (
        SELECT w.principal_id, w.day, s.network, count(*) AS days, max(w.active) AS active,
               coalesce(ip_is_private(split_part(s.network, '/', 1)), false) AS private
        FROM (
            SELECT w.principal_id, w.day, count(DISTINCT s.day) AS active
            FROM (SELECT DISTINCT principal_id, day FROM strange) w
            JOIN seen s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
            GROUP BY w.principal_id, w.day
        ) AS w
        JOIN seen s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
        GROUP BY w.principal_id, w.day, s.network
    ) AS each
    GROUP BY principal_id, day
),
suspects AS (
    SELECT s.*, h.networks AS known_networks, h.days, h.inside, (h.singles + 0.5) / (h.days + 1) AS rate,
           coalesce(ip_is_private(split_part(s.network, '/', 1)), false) AS private
    FROM strange s
    JOIN habits h ON h.principal_id = s.principal_id AND h.day = s.day
    WHERE h.days >= $min_days AND (h.singles + 0.5) / (h.days + 1) <= $max_rate
),
touched AS (
    -- All calls of a suspect on its day, from wherever: what the network did and whether the usual one went on.
    SELECT e.principal_id, date_bin($every, e.time) AS bin, date_trunc('day', e.time) AS day, e.caller_ip, e.client_product, e.vault_name,
           e.object_type, e.object_name, count(*) AS calls,
           bool_or(e.operation_class IN ('delete', 'purge', 'backup')) AS grave, min(e.time) AS first_time, max(e.time) AS last_time
    FROM events e
    JOIN (SELECT DISTINCT principal_id, day FROM suspects) w ON w.principal_id = e.principal_id AND w.day = date_trunc('day', e.time)
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.outcome = 'success' AND e.operation_class NOT IN ('notify', 'authenticate') AND e.caller_ip IS NOT NULL
    GROUP BY e.principal_id, date_bin($every, e.time), date_trunc('day', e.time), e.caller_ip, e.client_product, e.vault_name, e.object_type, e.object_name
),
foreign_calls AS (
    SELECT t.*, s.network, min(t.first_time) OVER (PARTITION BY t.principal_id, s.network, t.day) AS began
    FROM touched t
    JOIN suspects s ON s.principal_id = t.principal_id AND s.day = t.day AND s.network = ip_network(t.caller_ip)
),
history AS (
    -- What the suspects used before, of all that can be new beside the network.
    SELECT DISTINCT w.principal_id, w.day, s.kind, s.value
    FROM (SELECT DISTINCT principal_id, day FROM suspects) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
    WHERE s.kind IN ('object', 'client', 'vault') AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
hops AS (
    SELECT principal_id, network, day, window_end, client_product, vault_name, object_type, object_name,
           sum(calls) AS calls, min(first_time) AS first_time, max(last_time) AS last_time, min(began) AS began,
           array_agg(DISTINCT caller_ip) AS addresses, bool_or(grave) AS grave
    FROM (
        SELECT f.*, f.bin + hop.ahead AS window_end
        FROM foreign_calls f
        CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                           (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
    ) AS spread
    -- A window belongs to the day in which it starts: its history ends before that.
    WHERE window_end > $from AND window_end <= $to AND date_trunc('day', window_end - $window) = day
    GROUP BY principal_id, network, day, window_end, client_product, vault_name, object_type, object_name
),
usual AS (
    SELECT DISTINCT principal_id, bin + hop.ahead AS window_end
    FROM (
        SELECT DISTINCT t.principal_id, t.bin
        FROM touched t
        LEFT JOIN suspects s ON s.principal_id = t.principal_id AND s.day = t.day AND s.network = ip_network(t.caller_ip)
        WHERE s.network IS NULL
    ) AS b
    CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                       (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
),
windows AS (
    SELECT h.principal_id, h.network, h.day, h.window_end, sum(h.calls) AS calls, min(h.first_time) AS first_time,
           max(h.last_time) AS last_time, min(h.began) AS began, bool_or(h.grave) AS grave,
           first_value(h.addresses[1] ORDER BY h.calls DESC, h.addresses[1]) AS caller_ip,
           array_agg(DISTINCT h.vault_name) FILTER (WHERE h.vault_name IS NOT NULL) AS vaults,
           array_agg(DISTINCT h.client_product) FILTER (WHERE h.client_product IS NOT NULL) AS clients,
           array_agg(DISTINCT h.object_name) FILTER (WHERE h.object_name IS NOT NULL) AS objects,
           count(DISTINCT h.object_type || '/' || h.object_name || '/' || h.vault_name) FILTER (WHERE o.value IS NULL) AS new_objects,
           count(DISTINCT h.vault_name) FILTER (WHERE v.value IS NULL) AS new_vaults,
           count(DISTINCT h.client_product) FILTER (WHERE c.value IS NULL) AS new_clients
    FROM hops h
    LEFT JOIN history o ON o.kind = 'object' AND o.principal_id = h.principal_id AND o.day = h.day
     AND o.value = h.vault_name || '/' || h.object_type || '/' || h.object_name
    LEFT JOIN history v ON v.kind = 'vault' AND v.principal_id = h.principal_id AND v.day = h.day AND v.value = h.vault_name
    LEFT JOIN history c ON c.kind = 'client' AND c.principal_id = h.principal_id AND c.day = h.day AND c.value = h.client_product
    GROUP BY h.principal_id, h.network, h.day, h.window_end
),
signs AS (
    SELECT w.*, s.principal_type, s.principal_name, s.peers, s.known_networks, s.days, s.rate, s.private,
           u.window_end IS NOT NULL AS usual_goes_on, s.inside AND NOT s.private AS outside, s.peers >= $min_peers AS companys
    FROM windows w
    JOIN suspects s ON s.principal_id = w.principal_id AND s.network = w.network AND s.day = w.day
    LEFT JOIN usual u ON u.principal_id = w.principal_id AND u.window_end = w.window_end
),
weighed AS (
    SELECT *,
           -- People have a phone beside their desk, and new instances run beside old ones within the company's networks.
           CASE WHEN companys OR private THEN 0
                WHEN principal_type = 'user' THEN CAST(outside OR usual_goes_on AS INT)
                ELSE CAST(outside AS INT) + CAST(usual_goes_on AS INT) END
           + CAST(new_clients > 0 AS INT) + CAST(new_objects >= $min_objects AS INT) + CAST(new_objects >= $many_objects AS INT)
           + CAST(grave AS INT) + CAST(new_vaults >= 1 AND new_objects >= $min_objects AS INT) AS signs
    FROM signs
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY principal_id, window_end ORDER BY signs DESC, new_objects DESC, calls DESC, network) AS place
    FROM weighed
    -- A lone new network is told when it begins and not again all day.
    WHERE signs >= 2 OR began >= window_end - $window
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(calls AS DOUBLE) AS observed,
    rate AS expected,
    rate AS p_value,
    CASE
        WHEN signs < 2 OR (companys OR private) AND signs < 3 THEN 'informational'
        WHEN signs = 2 OR companys OR private THEN 'low'
        WHEN signs = 3 THEN 'medium'
        ELSE 'high'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' made ', calls, CASE WHEN calls = 1 THEN ' call' ELSE ' calls' END, ' from ', caller_ip,
        ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC, out of ',
        CASE WHEN private THEN 'a private' WHEN outside THEN 'a public' ELSE 'a' END, ' network (', network, ') that it did not use in ',
        days, ' active days; its calls came from ', known_networks, CASE WHEN known_networks = 1 THEN ' network' ELSE ' networks' END,
        CASE WHEN outside THEN ', all private' ELSE '' END,
        CASE WHEN usual_goes_on THEN '. Meanwhile the calls from its usual network go on' ELSE '' END,
        CASE WHEN new_clients > 0 THEN concat('. The client (', array_to_string(array_sort(clients), ', '), ') is new to it too') ELSE '' END,
        CASE WHEN new_objects > 0 THEN concat('. It had never used ', new_objects, ' of the objects that it asked for') ELSE '' END,
        CASE WHEN grave THEN '. It deleted, purged or backed up objects' ELSE '' END,
        CASE WHEN companys THEN concat('. ', peers, ' other callers use this network') ELSE '' END, '.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    array_sort(vaults) AS vault_name,
    array_sort(objects) AS object_name,
    caller_ip,
    array_sort(clients) AS client_product,
    network,
    signs,
    outside,
    usual_goes_on,
    new_clients,
    new_objects,
    new_vaults,
    grave AS deletes_or_backs_up,
    peers AS other_callers_in_network,
    known_networks,
    days AS active_days_before,
    first_time,
    last_time,
    concat('caller_ip = ''', caller_ip, ''' AND outcome = ''success''') AS drilldown_filter
FROM ranked
WHERE place = 1
