-- +++
-- title = "A known workload with another client"
-- description = """
-- Looks for successful calls of a caller with a client product that it was not seen with in four weeks; the modules of one
-- Azure SDK are one product. An update or a rewrite looks like that too, so it is informational alone. It weighs more with each
-- further sign in the same hour: the client is a tool of hands (curl, Postman, a command line) that no other workload uses, the
-- usual client goes on meanwhile, a network that the caller never used, objects that it never used, deletions and backups.
-- People change their tools: theirs must show one sign more. A caller whose clients change by themselves is not told of
-- (Good and Turing's estimate from the clients of its history that were seen on a single day).
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
--   "A workload that is rewritten with another SDK.",
--   "An engineer who examines a fault with the identity of the service.",
-- ]
-- response = [
--   "Ask the owner of the caller who ran the client, and from where.",
--   "If nobody did: revoke the caller's credential, rotate what was read with the client, and look for its address.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1078/004/"]
-- false_alarm_rate = "Low and above need two signs beside the new client, of people three."
--
-- [parameters]
-- history = { default = "28d", about = "How far back clients, networks and objects count as known." }
-- min_days = { default = 4, min = 3, about = "Fewest active days of the caller before anything of it is called new." }
-- max_rate = { default = 0.2, min = 0.0, max = 1.0, about = "Chance of a new client a day above which a new one says nothing." }
-- min_peers = { default = 2, min = 1, about = "So many other workloads that use a client make it a usual one." }
-- min_objects = { default = 3, min = 1, about = "Objects never used before, in an hour, that count as a sign." }
-- many_objects = { default = 10, min = 1, about = "The same, counted twice." }
-- hand_tools = { default = "curl|wget|python-requests|python-urllib|aiohttp|httpx|httpie|postman|insomnia|go-http-client|okhttp|node-fetch|axios|powershell|azurecli|azure-cli|browser|mozilla|rest-client", about = "Clients that speak of hands: a regular expression, in lower case." }
-- +++
WITH clients AS (
    SELECT principal_id, max(principal_type) AS principal_type, max(principal_name) AS principal_name, max(app_id) AS app_id,
           client_product, date_trunc('day', time) AS day
    FROM events
    WHERE time >= $from - $lookback AND time < $to
      AND outcome = 'success' AND operation_class NOT IN ('notify', 'authenticate')
      AND principal_id IS NOT NULL AND client_product IS NOT NULL
    GROUP BY principal_id, client_product, date_trunc('day', time)
),
seen AS (
    SELECT g.principal_id, g.family, g.day, max(coalesce(t.principal_type, '')) AS principal_type
    FROM (
        SELECT DISTINCT principal_id, regexp_replace(value, '^(azsdk-[a-z]+)-.*$', '\1') AS family, day
        FROM sightings
        WHERE kind = 'client' AND successes > 0 AND principal_id IS NOT NULL
          AND day >= $from - $lookback - $baseline AND day < $to
    ) AS g
    LEFT JOIN (
        SELECT principal_id, date_trunc('day', hour) AS day, max(principal_type) AS principal_type
        FROM activity
        WHERE hour >= $from - $lookback - $baseline AND hour < $to AND principal_id IS NOT NULL
        GROUP BY principal_id, date_trunc('day', hour)
    ) AS t ON t.principal_id = g.principal_id AND t.day = g.day
    GROUP BY g.principal_id, g.family, g.day
),
families AS (
    SELECT a.principal_id, a.family, a.day, max(a.principal_type) AS principal_type, max(a.principal_name) AS principal_name
    FROM (SELECT *, regexp_replace(client_product, '^(azsdk-[a-z]+)-.*$', '\1') AS family FROM clients) AS a
    LEFT JOIN principals p ON p.principal_id = a.principal_id
    LEFT JOIN principals application ON application.principal_id = a.app_id
    WHERE a.family IS NOT NULL
      -- Azure's own services change as they like, and known scanners and backups are known.
      AND NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
      AND NOT coalesce(application.is_first_party OR application.is_known_scanner OR application.is_known_backup, false)
    GROUP BY a.principal_id, a.family, a.day
),
fresh AS (
    -- New to the caller itself; few are left for the question who else uses it.
    SELECT n.principal_id, n.family, n.day, max(n.principal_type) AS principal_type, max(n.principal_name) AS principal_name
    FROM families n
    LEFT JOIN seen s ON s.principal_id = n.principal_id AND s.family = n.family AND s.day < n.day AND s.day >= n.day - $history
    GROUP BY n.principal_id, n.family, n.day
    HAVING count(s.day) = 0
),
strange AS (
    SELECT n.principal_id, n.family, n.day, max(n.principal_type) AS principal_type, max(n.principal_name) AS principal_name,
           count(DISTINCT s.principal_id) FILTER (WHERE s.principal_type <> 'user') AS peers
    FROM fresh n
    LEFT JOIN seen s ON s.family = n.family AND s.day < n.day AND s.day >= n.day - $history
    GROUP BY n.principal_id, n.family, n.day
),
habits AS (
    -- How often a client of the caller is new: Good and Turing's estimate from those seen on one day only.
    SELECT principal_id, day, count(*) AS families, max(active) AS days,
           count(*) FILTER (WHERE days = 1) AS singles, array_sort(array_agg(family)) AS usual_clients
    FROM (
        SELECT w.principal_id, w.day, s.family, count(*) AS days, max(w.active) AS active
        FROM (
            SELECT w.principal_id, w.day, count(DISTINCT s.day) AS active
            FROM (SELECT DISTINCT principal_id, day FROM strange) w
            JOIN seen s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
            GROUP BY w.principal_id, w.day
        ) AS w
        JOIN seen s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
        GROUP BY w.principal_id, w.day, s.family
    ) AS each
    GROUP BY principal_id, day
),
suspects AS (
    SELECT s.*, h.families AS known_families, h.days, h.usual_clients, (h.singles + 0.5) / (h.days + 1) AS rate,
           regexp_like(lower(s.family), $hand_tools)
           AND NOT (s.principal_type = 'user' AND regexp_like(lower(s.family), 'azurecli|azure-cli|powershell|browser|mozilla')) AS hand_tool
    FROM strange s
    JOIN habits h ON h.principal_id = s.principal_id AND h.day = s.day
    WHERE h.days >= $min_days AND (h.singles + 0.5) / (h.days + 1) <= $max_rate
),
touched AS (
    -- All calls of a suspect on its day, with whatever client: what the new one did and whether the usual one went on.
    SELECT e.principal_id, date_bin($every, e.time) AS bin, date_trunc('day', e.time) AS day, e.caller_ip, e.client_product, e.vault_name,
           e.object_type, e.object_name, count(*) AS calls,
           bool_or(e.operation_class IN ('delete', 'purge', 'backup')) AS grave, min(e.time) AS first_time, max(e.time) AS last_time
    FROM events e
    JOIN (SELECT DISTINCT principal_id, day FROM suspects) w ON w.principal_id = e.principal_id AND w.day = date_trunc('day', e.time)
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.outcome = 'success' AND e.operation_class NOT IN ('notify', 'authenticate') AND e.client_product IS NOT NULL
    GROUP BY e.principal_id, date_bin($every, e.time), date_trunc('day', e.time), e.caller_ip, e.client_product, e.vault_name, e.object_type, e.object_name
),
foreign_calls AS (
    SELECT t.*, s.family, min(t.first_time) OVER (PARTITION BY t.principal_id, s.family, t.day) AS began
    FROM touched t
    JOIN suspects s ON s.principal_id = t.principal_id AND s.day = t.day AND s.family = regexp_replace(t.client_product, '^(azsdk-[a-z]+)-.*$', '\1')
),
history AS (
    -- What the suspects used before, of all that can be new beside the client.
    SELECT DISTINCT w.principal_id, w.day, s.kind, CASE WHEN s.kind = 'address' THEN ip_network(s.value) ELSE s.value END AS value
    FROM (SELECT DISTINCT principal_id, day FROM suspects) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.day AND s.day >= w.day - $history
    WHERE s.kind IN ('object', 'address', 'vault') AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
hops AS (
    SELECT principal_id, family, day, window_end, caller_ip, vault_name, object_type, object_name,
           sum(calls) AS calls, min(first_time) AS first_time, max(last_time) AS last_time, min(began) AS began,
           min(client_product) AS client_product, bool_or(grave) AS grave
    FROM (
        SELECT f.*, f.bin + hop.ahead AS window_end
        FROM foreign_calls f
        CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                           (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
    ) AS spread
    -- A window belongs to the day in which it starts: its history ends before that.
    WHERE window_end > $from AND window_end <= $to AND date_trunc('day', window_end - $window) = day
    GROUP BY principal_id, family, day, window_end, caller_ip, vault_name, object_type, object_name
),
usual AS (
    SELECT DISTINCT principal_id, bin + hop.ahead AS window_end
    FROM (
        SELECT DISTINCT t.principal_id, t.bin
        FROM touched t
        LEFT JOIN suspects s ON s.principal_id = t.principal_id AND s.day = t.day AND s.family = regexp_replace(t.client_product, '^(azsdk-[a-z]+)-.*$', '\1')
        WHERE s.family IS NULL
    ) AS b
    CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                       (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
),
windows AS (
    SELECT h.principal_id, h.family, h.day, h.window_end, sum(h.calls) AS calls, min(h.first_time) AS first_time,
           max(h.last_time) AS last_time, min(h.began) AS began, bool_or(h.grave) AS grave,
           min(h.client_product) AS client_product,
           array_agg(DISTINCT h.vault_name) FILTER (WHERE h.vault_name IS NOT NULL) AS vaults,
           array_agg(DISTINCT h.caller_ip) FILTER (WHERE h.caller_ip IS NOT NULL) AS addresses,
           array_agg(DISTINCT h.object_name) FILTER (WHERE h.object_name IS NOT NULL) AS objects,
           count(DISTINCT h.object_type || '/' || h.object_name || '/' || h.vault_name) FILTER (WHERE o.value IS NULL) AS new_objects,
           count(DISTINCT h.vault_name) FILTER (WHERE v.value IS NULL) AS new_vaults,
           count(DISTINCT h.caller_ip) FILTER (WHERE c.value IS NULL) AS new_addresses,
           bool_or(c.value IS NULL AND NOT coalesce(ip_is_private(h.caller_ip), true)) AS has_public
    FROM hops h
    LEFT JOIN history o ON o.kind = 'object' AND o.principal_id = h.principal_id AND o.day = h.day
     AND o.value = h.vault_name || '/' || h.object_type || '/' || h.object_name
    LEFT JOIN history v ON v.kind = 'vault' AND v.principal_id = h.principal_id AND v.day = h.day AND v.value = h.vault_name
    LEFT JOIN history c ON c.kind = 'address' AND c.principal_id = h.principal_id AND c.day = h.day AND c.value = ip_network(h.caller_ip)
    GROUP BY h.principal_id, h.family, h.day, h.window_end
),
signs AS (
    SELECT w.*, s.principal_type, s.principal_name, s.peers, s.usual_clients, s.days, s.rate, s.hand_tool,
           u.window_end IS NOT NULL AS usual_goes_on, s.peers >= $min_peers AS common
    FROM windows w
    JOIN suspects s ON s.principal_id = w.principal_id AND s.family = w.family AND s.day = w.day
    LEFT JOIN usual u ON u.principal_id = w.principal_id AND u.window_end = w.window_end
),
weighed AS (
    SELECT *,
           -- A client that other workloads use too is an update that has come to this one; two clients at once are an overlap then.
           CASE WHEN principal_type = 'user' THEN -1 ELSE 0 END
           + CAST(hand_tool AND NOT common AS INT) + CAST(usual_goes_on AND hand_tool AND NOT common AND principal_type <> 'user' AS INT)
           + CAST(has_public AS INT) + CAST(grave AS INT)
           + CAST(new_objects >= $min_objects AS INT) + CAST(new_objects >= $many_objects AS INT) AS signs
    FROM signs
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY principal_id, window_end ORDER BY signs DESC, new_objects DESC, calls DESC, family) AS place
    FROM weighed
    -- A lone new client is told when it begins and not again all day.
    WHERE signs >= 2 OR began >= window_end - $window
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(calls AS DOUBLE) AS observed,
    rate AS expected,
    rate AS p_value,
    CASE WHEN signs < 2 THEN 'informational' WHEN signs = 2 THEN 'low' WHEN signs = 3 THEN 'medium' ELSE 'high' END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' made ', calls, CASE WHEN calls = 1 THEN ' call' ELSE ' calls' END, ' with ', client_product,
        ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC, a client that it did not use in ', days, ' active days; it uses ',
        array_to_string(usual_clients, ', '),
        CASE WHEN hand_tool AND NOT common THEN '. It is a tool for calls by hand or script' ELSE '' END,
        CASE WHEN usual_goes_on THEN '. Meanwhile its usual client goes on' ELSE '' END,
        CASE WHEN has_public THEN concat('. The network (', array_to_string(array_sort(addresses), ', '), ') is new to it too') ELSE '' END,
        CASE WHEN new_objects > 0 THEN concat('. It had never used ', new_objects, ' of the objects that it asked for') ELSE '' END,
        CASE WHEN grave THEN '. It deleted, purged or backed up objects' ELSE '' END,
        CASE WHEN peers > 0 THEN concat('. Workloads that use this client: ', peers) ELSE '' END, '.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    array_sort(vaults) AS vault_name,
    array_sort(objects) AS object_name,
    array_sort(addresses) AS caller_ip,
    client_product,
    usual_clients,
    signs,
    hand_tool,
    usual_goes_on,
    new_addresses,
    new_objects,
    new_vaults,
    grave AS deletes_or_backs_up,
    peers AS workloads_with_the_client,
    days AS active_days_before,
    first_time,
    last_time,
    concat('client_product = ''', replace(client_product, '''', ''''''), ''' AND outcome = ''success''') AS drilldown_filter
FROM ranked
WHERE place = 1
