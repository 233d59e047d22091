-- +++
-- title = "A person reads at an hour foreign to that person"
-- description = """
-- Compares the hour of a person's successful reads and backups with the hours at which the same person worked in eight weeks,
-- weekdays and weekends apart, an hour to either side allowed (so that the clock change is no news), and drawn towards the
-- hours of people in general. The hour says little by itself and is informational; it weighs where the same hour shows further
-- signs: a public network or a client that the person never used, objects that the person never read. Workloads are left out.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1078.004", "T1555.006"]
-- key = ["principal_id"]
-- every = "10m"
-- window = "1h"
-- lookback = "2h"
-- baseline = "60d"
-- quiet_for = "12h"
-- min_coverage = "7d"
-- false_positives = ["Work at night for a release, from the hotel's network.", "A first turn on call."]
-- response = ["Ask the person by another channel whether it was them.", "If not: revoke the sessions and rotate what was read."]
-- references = ["https://attack.mitre.org/techniques/T1078/004/"]
-- false_alarm_rate = "Low and above need two further signs beside the hour."
--
-- [parameters]
-- history = { default = "56d", about = "How far back the own hours count." }
-- min_days = { default = 5, min = 3, about = "Fewest active days of the person." }
-- min_hours = { default = 12, min = 1, about = "Fewest active hours of the person." }
-- max_rate = { default = 0.02, min = 0.0, max = 1.0, about = "Share of the person's hours from which an hour is not foreign." }
-- habit_days = { default = 2, min = 1, about = "Days with work near an hour that make it the person's own, as a turn on call does." }
-- prior_hours = { default = 10.0, min = 0.1, about = "Weight of people in general against the person's own hours." }
-- min_objects = { default = 3, min = 1, about = "Objects never read before, in an hour, that count as a sign." }
-- many_objects = { default = 10, min = 1, about = "The same, counted twice." }
-- +++
WITH reads AS (
    SELECT principal_id, date_bin($every, time) AS bin, caller_ip, client_product, vault_name, object_type, object_name,
           max(principal_name) AS principal_name, count(*) AS calls, min(time) AS first_time, max(time) AS last_time
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND principal_type = 'user' AND operation_class IN ('read', 'backup')
      AND outcome = 'success' AND principal_id IS NOT NULL AND object_name IS NOT NULL
    GROUP BY principal_id, date_bin($every, time), caller_ip, client_product, vault_name, object_type, object_name
),
hops AS (
    SELECT r.*, extract(hour FROM r.bin) AS slot, extract(dow FROM r.bin) IN (0, 6) AS weekend,
           r.bin + hop.ahead AS window_end, date_trunc('day', r.bin + hop.ahead - $window) AS base_day
    FROM reads r
    CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                       (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
    WHERE r.bin + hop.ahead > $from AND r.bin + hop.ahead <= $to
),
hours AS (
    -- Work of any kind tells when a person works.
    SELECT DISTINCT principal_id, hour, date_trunc('day', hour) AS day, extract(dow FROM hour) IN (0, 6) AS weekend
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND principal_type = 'user' AND outcome = 'success' AND principal_id IS NOT NULL
),
near AS (
    SELECT DISTINCT h.principal_id, h.day, h.weekend, h.hour, (extract(hour FROM h.hour) + shift.by + 24) % 24 AS slot
    FROM hours h CROSS JOIN (VALUES (-1), (0), (1)) AS shift (by)
),
asked AS (SELECT DISTINCT principal_id, base_day, slot, weekend FROM hops),
own AS (
    SELECT a.principal_id, a.base_day, sum(d.hours) AS hours, count(*) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM asked) a
    JOIN (SELECT principal_id, day, count(*) AS hours FROM hours GROUP BY principal_id, day) d
      ON d.principal_id = a.principal_id AND d.day < a.base_day AND d.day >= a.base_day - $history
    GROUP BY a.principal_id, a.base_day
),
alike AS (
    SELECT a.principal_id, a.base_day, a.slot, a.weekend, count(*) AS hours, count(DISTINCT n.day) AS days
    FROM asked a
    JOIN near n ON n.principal_id = a.principal_id AND n.slot = a.slot AND n.weekend = a.weekend
     AND n.day < a.base_day AND n.day >= a.base_day - $history
    GROUP BY a.principal_id, a.base_day, a.slot, a.weekend
),
people AS (
    -- Share of all people's hours near the slot.
    SELECT s.base_day, s.slot, s.weekend, s.hours / t.hours AS share
    FROM (
        SELECT a.base_day, a.slot, a.weekend, CAST(sum(n.hours) AS DOUBLE) AS hours
        FROM (SELECT DISTINCT base_day, slot, weekend FROM asked) a
        JOIN (SELECT day, slot, weekend, count(*) AS hours FROM near GROUP BY day, slot, weekend) n
          ON n.slot = a.slot AND n.weekend = a.weekend AND n.day < a.base_day AND n.day >= a.base_day - $history
        GROUP BY a.base_day, a.slot, a.weekend
    ) AS s
    JOIN (
        SELECT a.base_day, CAST(sum(d.hours) AS DOUBLE) AS hours
        FROM (SELECT DISTINCT base_day FROM asked) a
        JOIN (SELECT day, count(*) AS hours FROM hours GROUP BY day) d ON d.day < a.base_day AND d.day >= a.base_day - $history
        GROUP BY a.base_day
    ) AS t ON t.base_day = s.base_day
),
covered AS (
    -- In days: a log of people alone is silent at night.
    SELECT a.base_day, count(DISTINCT date_trunc('day', c.hour)) AS days
    FROM (SELECT DISTINCT base_day FROM asked) a
    JOIN coverage c ON c.hour < a.base_day AND c.hour >= a.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY a.base_day
),
foreign_hours AS (
    SELECT a.*, o.hours, o.days, (coalesce(k.hours, 0) + $prior_hours * coalesce(p.share, 0)) / (o.hours + $prior_hours) AS rate
    FROM asked a
    JOIN own o ON o.principal_id = a.principal_id AND o.base_day = a.base_day
    JOIN covered c ON c.base_day = a.base_day AND 86400 * c.days >= extract(epoch FROM $min_coverage)
    LEFT JOIN alike k ON k.principal_id = a.principal_id AND k.base_day = a.base_day AND k.slot = a.slot AND k.weekend = a.weekend
    LEFT JOIN people p ON p.base_day = a.base_day AND p.slot = a.slot AND p.weekend = a.weekend
    WHERE o.days >= $min_days AND o.hours >= $min_hours AND coalesce(k.days, 0) < $habit_days
      AND (coalesce(k.hours, 0) + $prior_hours * coalesce(p.share, 0)) / (o.hours + $prior_hours) <= $max_rate
),
habits AS (
    SELECT DISTINCT w.principal_id, w.base_day, s.kind, CASE WHEN s.kind = 'address' THEN ip_network(s.value) ELSE s.value END AS value
    FROM (SELECT DISTINCT principal_id, base_day FROM foreign_hours) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind IN ('address', 'client', 'object') AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
windows AS (
    SELECT h.principal_id, h.window_end, max(h.principal_name) AS principal_name, sum(h.calls) AS calls, min(f.rate) AS rate,
           max(f.days) AS days, max(f.hours) AS hours, min(h.first_time) AS first_time, max(h.last_time) AS last_time, bool_or(h.weekend) AS weekend,
           count(DISTINCT h.vault_name || '/' || h.object_type || '/' || h.object_name) AS objects,
           count(DISTINCT h.vault_name || '/' || h.object_type || '/' || h.object_name) FILTER (WHERE o.value IS NULL) AS new_objects,
           bool_or(n.value IS NULL AND NOT coalesce(ip_is_private(h.caller_ip), true)) AS new_network,
           bool_or(c.value IS NULL AND h.client_product IS NOT NULL) AS new_client,
           array_agg(DISTINCT h.vault_name ORDER BY h.vault_name) AS vault_name, array_agg(DISTINCT h.object_name ORDER BY h.object_name) AS object_name,
           array_agg(DISTINCT h.caller_ip ORDER BY h.caller_ip) FILTER (WHERE h.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT h.client_product ORDER BY h.client_product) FILTER (WHERE h.client_product IS NOT NULL) AS client_product
    FROM hops h
    JOIN foreign_hours f ON f.principal_id = h.principal_id AND f.base_day = h.base_day AND f.slot = h.slot AND f.weekend = h.weekend
    LEFT JOIN habits n ON n.kind = 'address' AND n.principal_id = h.principal_id AND n.base_day = h.base_day AND n.value = ip_network(h.caller_ip)
    LEFT JOIN habits c ON c.kind = 'client' AND c.principal_id = h.principal_id AND c.base_day = h.base_day AND c.value = h.client_product
    LEFT JOIN habits o ON o.kind = 'object' AND o.principal_id = h.principal_id AND o.base_day = h.base_day
     AND o.value = h.vault_name || '/' || h.object_type || '/' || h.object_name
    GROUP BY h.principal_id, h.window_end
),
judged AS (
    SELECT *, CAST(new_network AS INT) + CAST(new_client AS INT) + CAST(new_objects >= $min_objects AS INT)
              + CAST(new_objects >= $many_objects AS INT) AS signs
    FROM windows
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(objects AS DOUBLE) AS observed,
    hours * rate AS expected,
    least(1.0, rate) AS p_value,
    CASE WHEN signs < 2 THEN 'informational' WHEN signs = 2 THEN 'low' WHEN signs = 3 THEN 'medium' ELSE 'high' END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' read ', objects, CASE WHEN objects = 1 THEN ' object at ' ELSE ' objects from ' END,
        to_char(first_time, '%H:%M'), ' UTC on ', to_char(first_time, '%A, %Y-%m-%d'), ', an hour foreign to this person: of ', hours,
        ' hours of work on ', days, ' days about ', round(100 * rate, 1), ' % fall near it',
        CASE WHEN new_network THEN concat('; from a network new to the person (', array_to_string(caller_ip, ', '), ')') ELSE '' END,
        CASE WHEN new_client THEN concat('; with a client new to the person (', array_to_string(client_product, ', '), ')') ELSE '' END,
        CASE WHEN new_objects > 0 THEN concat('; ', new_objects, ' of the objects the person never read before') ELSE '' END, '.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    'user' AS principal_type,
    vault_name,
    object_name,
    caller_ip,
    client_product,
    signs,
    new_network,
    new_client,
    new_objects,
    weekend,
    days AS active_days_before,
    hours AS active_hours_before,
    first_time,
    last_time,
    'operation_class IN (''read'', ''backup'') AND outcome = ''success''' AS drilldown_filter
FROM judged
