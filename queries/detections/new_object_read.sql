-- +++
-- title = "A caller reads objects that it never read"
-- description = """
-- Finds callers that read objects for the first time in four weeks and compares their number in a trailing day with how many
-- the caller usually adds, shrunk towards callers of its kind. What counts is other people's property: objects that others
-- were using for days. One that most callers of this kind on the vault read as well counts half, and one that nobody had
-- before (a release brings them) a quarter. Few new objects alone are information; in a settled workload
-- several at once are improbable, and a strange address, client or vault beside them makes it worse.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1555.006"]
-- key = ["principal_id"]
-- every = "15m"
-- window = "1d"
-- lookback = "2d"
-- baseline = "31d"
-- quiet_for = "1d"
-- min_coverage = "7d"
-- false_positives = [
--   "A release after which a service reads several existing secrets that others used before it.",
--   "A person who helps another team.",
-- ]
-- response = [
--   "Ask the owner whether the caller's last release needs the listed objects.",
--   "If not: rotate them, and find out who else holds the caller's credential.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.0005; people are never more than information without a second oddity."
--
-- [parameters]
-- min_objects = { default = 3.0, min = 1.0, about = "Smallest weighted number of new objects that is more than information." }
-- settled_days = { default = 5, min = 1, about = "Active days before the window from which first times of a caller mean something." }
-- rare = { default = 0.05, min = 0.0, max = 1.0, about = "A caller for which so many new objects are no rarer than this on a day is not told of at all." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "28d", about = "An object that was not seen for so long is new; at most the baseline less two days." }
-- settled_objects = { default = "2d", about = "Others must have used an object before the window for so long that it is theirs." }
-- prior_days = { default = 3.0, min = 0.1, about = "Weight of callers of the same kind against the own active days." }
-- +++
WITH seen AS (
    SELECT principal_id, vault_name, value, day, lag(day) OVER (PARTITION BY principal_id, value ORDER BY day) AS before
    FROM sightings
    WHERE kind = 'object' AND successes > 0 AND principal_id IS NOT NULL
      AND day >= $from - $lookback - $baseline AND day < $to
),
covered AS (
    SELECT DISTINCT date_trunc('day', hour) AS day
    FROM coverage
    WHERE hour >= $from - $lookback - $baseline AND hour < $to
),
known AS (
    -- The first days of the logs, and of a caller, are not looked at: everything is new on them.
    SELECT principal_id, min(day) AS since FROM seen GROUP BY principal_id
),
pairs AS (
    SELECT s.principal_id, s.value
    FROM seen s
    JOIN known k ON k.principal_id = s.principal_id AND s.day > k.since + INTERVAL '1 day'
    JOIN (SELECT min(day) AS since FROM covered) c ON s.day >= c.since + $min_coverage
    LEFT JOIN principals p ON p.principal_id = s.principal_id
    WHERE s.day >= date_trunc('day', $from - $lookback) AND (s.before IS NULL OR s.before < s.day - $history)
      AND NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
    GROUP BY s.principal_id, s.value
),
reads AS (
    SELECT r.*
    FROM (
        SELECT e.principal_id, e.vault_name, e.object_type, e.object_name, date_bin($every, e.time) AS bin,
               e.vault_name || '/' || e.object_type || '/' || e.object_name AS value,
               max(e.caller_ip) AS caller_ip, max(e.client_product) AS client_product, max(e.principal_type) AS principal_type
        FROM events e JOIN (SELECT DISTINCT principal_id FROM pairs) w ON w.principal_id = e.principal_id
        WHERE e.time >= $from - $lookback AND e.time < $to
          AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
        GROUP BY e.principal_id, e.vault_name, e.object_type, e.object_name, date_bin($every, e.time)
    ) r
    JOIN pairs p ON p.principal_id = r.principal_id AND p.value = r.value
),
firsts AS (
    -- The first read of an object since the base day, where the caller was not seen with it before.
    SELECT r.principal_id, r.base_day, r.vault_name, r.object_name, r.value, r.bin, r.caller_ip, r.client_product, r.principal_type
    FROM (
        SELECT r.*, b.base_day, row_number() OVER (PARTITION BY b.base_day, r.principal_id, r.value ORDER BY r.bin) AS place
        FROM reads r
        JOIN (SELECT DISTINCT date_trunc('day', bin + $every - $window) AS base_day FROM reads) b
          ON r.bin >= b.base_day AND r.bin < b.base_day + $window + INTERVAL '1 day'
    ) r
    LEFT JOIN (SELECT DISTINCT principal_id, value, day FROM seen) s
      ON s.principal_id = r.principal_id AND s.value = r.value AND s.day < r.base_day AND s.day >= r.base_day - $history
    WHERE r.place = 1
    GROUP BY r.principal_id, r.base_day, r.vault_name, r.object_name, r.value, r.bin, r.caller_ip, r.client_product, r.principal_type
    HAVING count(s.day) = 0
),
kinds AS (
    SELECT principal_id, max(principal_type) AS principal_type
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND principal_id IS NOT NULL
    GROUP BY principal_id
),
like_callers AS (
    -- Callers of each kind that used the vault before.
    SELECT base_day, vault_name, principal_type, count(*) AS callers
    FROM (
        SELECT w.base_day, s.vault_name, k.principal_type, s.principal_id
        FROM (SELECT DISTINCT base_day, vault_name FROM firsts) w
        JOIN seen s ON s.vault_name = w.vault_name AND s.day < w.base_day AND s.day >= w.base_day - $history
        JOIN kinds k ON k.principal_id = s.principal_id
        GROUP BY w.base_day, s.vault_name, k.principal_type, s.principal_id
    ) AS callers
    GROUP BY base_day, vault_name, principal_type
),
readers AS (
    -- Who used these objects before, and since when.
    SELECT base_day, value, count(*) AS readers, min(since) AS since,
           count(*) FILTER (WHERE principal_type = 'user') AS users, count(*) FILTER (WHERE principal_type = 'application') AS applications,
           count(*) FILTER (WHERE principal_type = 'managed_identity') AS identities
    FROM (
        SELECT w.base_day, s.value, k.principal_type, s.principal_id, min(s.day) AS since
        FROM (SELECT DISTINCT base_day, value FROM firsts) w
        JOIN seen s ON s.value = w.value AND s.day < w.base_day AND s.day >= w.base_day - $history
        JOIN kinds k ON k.principal_id = s.principal_id
        GROUP BY w.base_day, s.value, k.principal_type, s.principal_id
    ) AS callers
    GROUP BY base_day, value
),
weighed AS (
    SELECT f.*, CASE
               WHEN r.since IS NULL OR r.since > f.base_day - $settled_objects THEN 0.25
               WHEN 2 * CASE f.principal_type WHEN 'user' THEN r.users WHEN 'application' THEN r.applications ELSE r.identities END > coalesce(c.callers, 0) + 2 THEN 0.5
               ELSE 1.0
           END AS weight
    FROM firsts f
    LEFT JOIN readers r ON r.base_day = f.base_day AND r.value = f.value
    LEFT JOIN like_callers c ON c.base_day = f.base_day AND c.vault_name = f.vault_name AND c.principal_type = f.principal_type
),
windows AS (
    SELECT w.principal_id, w.base_day, w.window_end, max(f.principal_type) AS principal_type,
           count(*) AS objects, sum(f.weight) AS weight, count(*) FILTER (WHERE f.weight = 1.0) AS foreign_objects
    FROM (SELECT DISTINCT principal_id, base_day, bin + $every AS window_end FROM weighed) w
    JOIN weighed f ON f.principal_id = w.principal_id AND f.base_day = w.base_day AND f.bin >= w.window_end - $window AND f.bin < w.window_end
    WHERE w.window_end > $from AND w.window_end <= $to AND w.base_day = date_trunc('day', w.window_end - $window)
    GROUP BY w.principal_id, w.base_day, w.window_end
),
own AS (
    -- Days of a caller, and how many objects it took up after its first day.
    SELECT o.base_day, o.principal_id, max(k.principal_type) AS principal_type, max(d.days) AS days,
           CAST(count(*) FILTER (WHERE o.since > d.first_day) AS DOUBLE) AS taken_up
    FROM (
        SELECT b.base_day, s.principal_id, s.value, min(s.day) AS since
        FROM (SELECT DISTINCT base_day FROM windows) b
        JOIN seen s ON s.day < b.base_day AND s.day >= b.base_day - $history
        GROUP BY b.base_day, s.principal_id, s.value
    ) o
    JOIN (
        SELECT b.base_day, s.principal_id, count(DISTINCT s.day) AS days, min(s.day) AS first_day
        FROM (SELECT DISTINCT base_day FROM windows) b
        JOIN (SELECT DISTINCT principal_id, day FROM seen) s ON s.day < b.base_day AND s.day >= b.base_day - $history
        GROUP BY b.base_day, s.principal_id
    ) d ON d.base_day = o.base_day AND d.principal_id = o.principal_id
    JOIN kinds k ON k.principal_id = o.principal_id
    GROUP BY o.base_day, o.principal_id
),
peers AS (
    SELECT base_day, principal_type, avg(least(taken_up / days, 3)) AS mean FROM own GROUP BY base_day, principal_type
),
tested AS (SELECT base_day, count(*) AS callers FROM own GROUP BY base_day),
scored AS (
    -- New objects come in groups: a geometric count. The rate is never taken smaller than half an object over the days seen.
    SELECT *, negative_binomial_sf(floor(weight + 0.25), mean, 1.0) AS tail,
           least(1.0, tests * negative_binomial_sf(floor(weight + 0.25), mean, 1.0)) AS p_value
    FROM (
        SELECT w.*, o.days, o.taken_up, t.callers + 1 AS tests,
               greatest((o.taken_up + $prior_days * coalesce(p.mean, 0.2)) / (o.days + $prior_days), 0.5 / (o.days + 1)) AS mean
        FROM windows w
        JOIN own o ON o.base_day = w.base_day AND o.principal_id = w.principal_id
        JOIN tested t ON t.base_day = w.base_day
        LEFT JOIN peers p ON p.base_day = w.base_day AND p.principal_type = w.principal_type
        WHERE o.days >= $settled_days
    ) AS moments
),
fired AS (SELECT * FROM scored WHERE tail <= $rare),
used AS (
    SELECT DISTINCT f.principal_id, f.base_day, s.kind, s.value
    FROM (SELECT DISTINCT principal_id, base_day FROM fired) f
    JOIN sightings s ON s.principal_id = f.principal_id AND s.day < f.base_day AND s.day >= f.base_day - $history
    WHERE s.kind IN ('address', 'client', 'vault') AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
spread AS (
    -- A caller with many addresses is a pipeline or a person on the road: a new one says nothing.
    SELECT principal_id, base_day, count(*) FILTER (WHERE kind = 'address') AS addresses
    FROM used GROUP BY principal_id, base_day
),
detail AS (
    SELECT f.principal_id, f.window_end, f.base_day,
           array_agg(DISTINCT w.vault_name ORDER BY w.vault_name) AS vault_name, array_agg(DISTINCT w.object_name ORDER BY w.object_name) AS object_name,
           array_agg(DISTINCT w.caller_ip ORDER BY w.caller_ip) AS caller_ip, array_agg(DISTINCT w.client_product ORDER BY w.client_product) AS client_product,
           bool_or(w.caller_ip IS NOT NULL AND a.value IS NULL AND NOT ip_is_private(w.caller_ip)) AS strange_address,
           bool_or(w.client_product IS NOT NULL AND c.value IS NULL) AS strange_client, bool_or(v.value IS NULL) AS strange_vault,
           min(w.bin) AS first_time
    FROM fired f
    JOIN weighed w ON w.principal_id = f.principal_id AND w.base_day = f.base_day AND w.bin >= f.window_end - $window AND w.bin < f.window_end
    LEFT JOIN used a ON a.kind = 'address' AND a.principal_id = f.principal_id AND a.base_day = f.base_day AND a.value = w.caller_ip
    LEFT JOIN used c ON c.kind = 'client' AND c.principal_id = f.principal_id AND c.base_day = f.base_day AND c.value = w.client_product
    LEFT JOIN used v ON v.kind = 'vault' AND v.principal_id = f.principal_id AND v.base_day = f.base_day AND v.value = w.vault_name
    GROUP BY f.principal_id, f.window_end, f.base_day
),
names AS (
    SELECT principal_id, max(principal_name) AS principal_name FROM events
    WHERE time >= $from - $lookback AND time < $to AND principal_id IN (SELECT principal_id FROM fired)
    GROUP BY principal_id
),
judged AS (
    SELECT f.*, d.vault_name, d.object_name, d.caller_ip, d.client_product, d.first_time,
           d.strange_address AND coalesce(s.addresses, 0) <= 3 + f.days / 2 AS strange_address, d.strange_client, d.strange_vault,
           CASE WHEN d.strange_address AND coalesce(s.addresses, 0) <= 3 + f.days / 2 THEN 1 ELSE 0 END
             + CASE WHEN d.strange_client THEN 1 ELSE 0 END + CASE WHEN d.strange_vault THEN 1 ELSE 0 END AS oddities
    FROM fired f
    JOIN detail d ON d.principal_id = f.principal_id AND d.window_end = f.window_end
    LEFT JOIN spread s ON s.principal_id = f.principal_id AND s.base_day = f.base_day
)
SELECT
    j.window_end - $window AS window_start,
    j.window_end,
    j.principal_id,
    j.weight AS observed,
    j.mean AS expected,
    j.p_value,
    CASE
        WHEN j.weight < $min_objects OR j.p_value > $alpha THEN 'informational'
        WHEN j.principal_type = 'user' AND j.oddities = 0 THEN 'informational'
        WHEN j.principal_type = 'user' AND j.oddities = 1 OR j.oddities = 0 THEN 'low'
        WHEN j.oddities = 1 THEN 'medium'
        ELSE 'high'
    END AS severity,
    concat(
        coalesce(n.principal_name, j.principal_id), ' read ', j.objects, CASE WHEN j.objects = 1 THEN ' object' ELSE ' objects' END,
        ' for the first time in the day to ', to_char(j.window_end, '%Y-%m-%d %H:%M'), ' UTC, in ', array_to_string(j.vault_name, ', '), '; ',
        j.foreign_objects, ' of them belong to others. On ', j.days, ' active days before it took up ', CAST(j.taken_up AS BIGINT), ' after its first',
        CASE WHEN j.strange_address THEN concat('; from an address new to it (', array_to_string(j.caller_ip, ', '), ')') ELSE '' END,
        CASE WHEN j.strange_client THEN concat('; with a client new to it (', array_to_string(j.client_product, ', '), ')') ELSE '' END,
        CASE WHEN j.strange_vault THEN '; on a vault new to it' ELSE '' END, '.'
    ) AS summary,
    CAST(j.objects AS BIGINT) AS event_count,
    n.principal_name,
    j.principal_type,
    j.vault_name,
    j.object_name,
    j.caller_ip,
    j.client_product,
    j.objects AS new_objects,
    j.foreign_objects,
    j.strange_address,
    j.strange_client,
    j.strange_vault,
    j.days AS active_days_before,
    CAST(j.taken_up AS BIGINT) AS objects_taken_up_before,
    j.tests AS callers_tested,
    j.first_time,
    j.window_end AS last_time,
    'operation_class = ''read'' AND outcome = ''success'' AND object_name IS NOT NULL' AS drilldown_filter
FROM judged j
LEFT JOIN names n ON n.principal_id = j.principal_id
