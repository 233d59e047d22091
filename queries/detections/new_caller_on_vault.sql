-- +++
-- title = "A caller reads a vault that it never used"
-- description = """
-- Finds pairs of caller and vault without a sighting in four weeks, and weighs the first day of such a pair by what else is odd:
-- how many objects it reads that others were already using, whether the vault has had no newcomer in weeks, whether the caller
-- comes from the internet where the vault's callers come from private ranges, with a client that nobody used there, as the
-- first of its kind, from another environment, or as a workload that kept to its own vaults until then. New services
-- are everyday business: a first time with fewer than three such oddities is information only.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1555.006", "T1078.004"]
-- key = ["principal_id", "vault_name"]
-- every = "15m"
-- window = "1d"
-- lookback = "2d"
-- baseline = "31d"
-- quiet_for = "2d"
-- min_coverage = "3d"
-- false_positives = [
--   "A new pipeline or function outside the private network that is given an old vault.",
--   "A service that is moved to another team's vault together with a new client.",
-- ]
-- response = [
--   "Ask the vault's owner whether the caller was let in on purpose, and by which role or policy.",
--   "If not: remove the assignment, rotate the objects in the list, and see who granted it.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1078/004/", "https://learn.microsoft.com/azure/defender-for-cloud/defender-for-key-vault-introduction"]
-- false_alarm_rate = "Alerts need three oddities of seven at once; people count as strange only on vaults known for quiet_days."
--
-- [parameters]
-- min_foreign = { default = 3, min = 1, about = "Fewest objects of others in a day from which it is more than information." }
-- many_foreign = { default = 4, min = 1, about = "Objects of others from which their number is an oddity." }
-- oddities = { default = 3, min = 1, about = "Oddities from which the severity is low; one more is medium, two more high." }
-- settled_days = { default = 5, min = 1, about = "Active days after which a workload is known to keep to its vaults, and covered days after which a vault's workloads and their clients are known." }
-- quiet_days = { default = 10, min = 1, about = "Covered days of a vault without a newcomer that make the next one odd." }
-- private_share = { default = 0.7, min = 0.0, max = 1.0, about = "Share of a vault's callers in private ranges from which others are odd." }
-- history = { default = "28d", about = "A pair that was not seen for so long is new; at most the baseline less two days." }
-- +++
WITH seen AS (
    SELECT principal_id, vault_name, day, lag(day) OVER (PARTITION BY principal_id, vault_name ORDER BY day) AS before
    FROM sightings
    WHERE kind = 'vault' AND successes > 0 AND principal_id IS NOT NULL
      AND day >= $from - $lookback - $baseline AND day < $to
),
pairs AS (
    -- Only the events of these are looked at: the first days of a vault's logs have no newcomers.
    -- Microsoft's own services and known scanners come everywhere.
    SELECT s.principal_id, s.vault_name
    FROM seen s
    JOIN (
        SELECT vault_name, min(hour) AS since
        FROM coverage WHERE hour >= $from - $lookback - $baseline AND hour < $to
        GROUP BY vault_name
    ) c ON c.vault_name = s.vault_name AND s.day >= date_trunc('day', c.since) + $min_coverage
    LEFT JOIN principals p ON p.principal_id = s.principal_id
    WHERE s.day >= date_trunc('day', $from - $lookback) AND (s.before IS NULL OR s.before < s.day - $history)
      AND NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
    GROUP BY s.principal_id, s.vault_name
),
reads AS (
    SELECT e.principal_id, e.vault_name, e.object_type, e.object_name, date_bin($every, e.time) AS bin,
           max(e.principal_type) AS principal_type, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           max(e.resource_group) AS resource_group, max(e.subscription_id) AS subscription_id,
           max(CASE WHEN ip_is_private(e.caller_ip) THEN NULL ELSE e.caller_ip END) AS outside,
           max(e.caller_ip) AS caller_ip, max(e.client_product) AS client_product, count(*) AS calls
    FROM events e JOIN pairs n ON n.principal_id = e.principal_id AND n.vault_name = e.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
    GROUP BY e.principal_id, e.vault_name, e.object_type, e.object_name, date_bin($every, e.time)
),
steps AS (
    -- Steps in which the caller reads one more object of the vault.
    SELECT principal_id, vault_name, bin + $every AS window_end, date_trunc('day', bin + $every - $window) AS base_day
    FROM (
        SELECT principal_id, vault_name, bin, lag(bin) OVER (PARTITION BY principal_id, vault_name, object_type, object_name ORDER BY bin) AS before
        FROM reads
    ) AS bins
    WHERE (before IS NULL OR before < date_trunc('day', bin + $every - $window)) AND bin + $every > $from AND bin + $every <= $to
    GROUP BY principal_id, vault_name, bin
),
vault_days AS (
    SELECT w.vault_name, w.base_day, count(DISTINCT c.day) AS days
    FROM (SELECT DISTINCT vault_name, base_day FROM steps) w
    JOIN (
        SELECT vault_name, hour, date_trunc('day', hour) AS day
        FROM coverage WHERE hour >= $from - $lookback - $baseline AND hour < $to
        GROUP BY vault_name, hour
    ) c ON c.vault_name = w.vault_name AND c.hour < w.base_day AND c.hour >= w.base_day - $history
    GROUP BY w.vault_name, w.base_day
    HAVING 86400 * count(DISTINCT c.day) >= extract(epoch FROM $min_coverage)
),
windows AS (
    -- The vault is covered long enough, and the pair is new.
    SELECT w.principal_id, w.vault_name, w.window_end, w.base_day
    FROM steps w
    JOIN vault_days d ON d.vault_name = w.vault_name AND d.base_day = w.base_day
    LEFT JOIN seen s ON s.principal_id = w.principal_id AND s.vault_name = w.vault_name
     AND s.day < w.base_day AND s.day >= w.base_day - $history
    GROUP BY w.principal_id, w.vault_name, w.window_end, w.base_day
    HAVING count(s.day) = 0
),
vault_callers AS (
    -- Who used the vault before, and since when.
    SELECT w.vault_name, w.base_day, s.principal_id, min(s.day) AS since
    FROM (SELECT DISTINCT vault_name, base_day FROM windows) w
    JOIN seen s ON s.vault_name = w.vault_name AND s.day < w.base_day AND s.day >= w.base_day - $history
    GROUP BY w.vault_name, w.base_day, s.principal_id
),
kinds AS (
    SELECT principal_id, max(principal_type) AS principal_type
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND principal_id IS NOT NULL
    GROUP BY principal_id
),
vaults_before AS (
    SELECT c.vault_name, c.base_day, k.principal_type, count(*) AS callers, max(c.since) AS newest
    FROM vault_callers c JOIN kinds k ON k.principal_id = c.principal_id
    GROUP BY c.vault_name, c.base_day, k.principal_type
),
addresses AS (
    SELECT vault_name, base_day, avg(CASE WHEN inside THEN 1.0 ELSE 0.0 END) AS inside
    FROM (
        SELECT w.vault_name, w.base_day, s.principal_id, bool_or(ip_is_private(s.value)) AS inside
        FROM (SELECT DISTINCT vault_name, base_day FROM windows) w
        JOIN sightings s ON s.vault_name = w.vault_name AND s.day < w.base_day AND s.day >= w.base_day - $history
        JOIN kinds k ON k.principal_id = s.principal_id
        WHERE s.kind = 'address' AND s.successes > 0 AND k.principal_type <> 'user'
          AND s.day >= $from - $lookback - $baseline AND s.day < $to
        GROUP BY w.vault_name, w.base_day, s.principal_id
    ) AS callers
    GROUP BY vault_name, base_day
),
clients AS (
    SELECT DISTINCT w.vault_name, w.base_day, s.value
    FROM (SELECT DISTINCT vault_name, base_day FROM windows) w
    JOIN sightings s ON s.vault_name = w.vault_name AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind = 'client' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
objects AS (
    -- Objects of these vaults that others used before.
    SELECT DISTINCT w.vault_name, w.base_day, s.value
    FROM (SELECT DISTINCT vault_name, base_day FROM windows) w
    JOIN sightings s ON s.vault_name = w.vault_name AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind = 'object' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
callers AS (
    -- What the caller did elsewhere: active days, vaults, and when it last took up one.
    SELECT principal_id, base_day, count(DISTINCT day) AS days, count(DISTINCT vault_name) AS vaults, max(since) AS newest, min(since) AS first_day
    FROM (
        SELECT w.principal_id, w.base_day, s.vault_name, s.day, min(s.day) OVER (PARTITION BY w.principal_id, w.base_day, s.vault_name) AS since
        FROM (SELECT DISTINCT principal_id, base_day FROM windows) w
        JOIN seen s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    ) AS past
    GROUP BY principal_id, base_day
),
counted AS (
    SELECT w.principal_id, w.vault_name, w.window_end, w.base_day,
           max(r.principal_type) AS principal_type, max(r.principal_name) AS principal_name, max(r.app_id) AS app_id,
           max(r.resource_group) AS resource_group, max(r.subscription_id) AS subscription_id,
           count(DISTINCT r.object_type || '/' || r.object_name) AS objects,
           count(DISTINCT CASE WHEN o.value IS NOT NULL THEN o.value END) AS foreign_objects,
           array_agg(DISTINCT r.object_name ORDER BY r.object_name) AS object_name,
           array_agg(DISTINCT r.caller_ip ORDER BY r.caller_ip) AS caller_ip,
           array_agg(DISTINCT r.client_product ORDER BY r.client_product) AS client_product,
           max(r.outside) AS outside, bool_or(r.client_product IS NOT NULL AND c.value IS NULL) AS strange_client,
           sum(r.calls) AS calls, min(r.bin) AS first_time
    FROM windows w
    JOIN reads r ON r.principal_id = w.principal_id AND r.vault_name = w.vault_name AND r.bin >= w.window_end - $window AND r.bin < w.window_end
    LEFT JOIN objects o ON o.vault_name = w.vault_name AND o.base_day = w.base_day
     AND o.value = r.vault_name || '/' || r.object_type || '/' || r.object_name
    LEFT JOIN clients c ON c.vault_name = w.vault_name AND c.base_day = w.base_day AND c.value = r.client_product
    GROUP BY w.principal_id, w.vault_name, w.window_end, w.base_day
),
weighed AS (
    SELECT c.*, d.days AS vault_days, v.callers AS vault_callers, coalesce(k.callers, 0) AS like_callers,
           coalesce(h.days, 0) AS caller_days, coalesce(h.vaults, 0) AS caller_vaults,
           c.foreign_objects >= $many_foreign AS odd_breadth,
           d.days >= $quiet_days AND extract(epoch FROM c.base_day - v.newest) >= 86400 * $quiet_days AS odd_newcomer,
           c.principal_type <> 'user' AND c.outside IS NOT NULL AND coalesce(a.inside, 0) >= $private_share AS odd_address,
           c.strange_client AND d.days >= CASE WHEN c.principal_type = 'user' THEN $quiet_days ELSE $settled_days END AS odd_client,
           d.days >= CASE WHEN c.principal_type = 'user' THEN $quiet_days ELSE $settled_days END AND v.callers >= 3 AND coalesce(k.callers, 0) = 0 AS odd_kind,
           coalesce(p.environment, environment_of(c.principal_name)) AS caller_environment,
           coalesce(m.environment, environment_of(c.vault_name, c.resource_group, s.environment, s.name)) AS vault_environment,
           c.principal_type <> 'user' AND coalesce(h.days, 0) >= $settled_days AND h.newest = h.first_day AS odd_move
    FROM counted c
    JOIN vault_days d ON d.vault_name = c.vault_name AND d.base_day = c.base_day
    JOIN (SELECT vault_name, base_day, sum(callers) AS callers, max(newest) AS newest FROM vaults_before GROUP BY vault_name, base_day) v
      ON v.vault_name = c.vault_name AND v.base_day = c.base_day
    LEFT JOIN vaults_before k ON k.vault_name = c.vault_name AND k.base_day = c.base_day AND k.principal_type = c.principal_type
    LEFT JOIN addresses a ON a.vault_name = c.vault_name AND a.base_day = c.base_day
    LEFT JOIN callers h ON h.principal_id = c.principal_id AND h.base_day = c.base_day
    LEFT JOIN principals p ON p.principal_id = c.principal_id
    LEFT JOIN vaults m ON m.vault_name = c.vault_name
    LEFT JOIN subscriptions s ON s.subscription_id = c.subscription_id
),
judged AS (
    SELECT *, caller_environment <> 'unknown' AND vault_environment <> 'unknown' AND caller_environment <> vault_environment AS odd_environment
    FROM weighed
),
summed AS (
    SELECT *, CASE WHEN odd_breadth THEN 1 ELSE 0 END + CASE WHEN odd_newcomer THEN 1 ELSE 0 END + CASE WHEN odd_address THEN 1 ELSE 0 END
            + CASE WHEN odd_client THEN 1 ELSE 0 END + CASE WHEN odd_kind THEN 1 ELSE 0 END
            + CASE WHEN odd_environment THEN 1 ELSE 0 END + CASE WHEN odd_move THEN 1 ELSE 0 END AS oddities
    FROM judged
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(foreign_objects AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN foreign_objects < $min_foreign OR oddities < $oddities OR NOT (odd_address OR odd_client OR odd_environment) THEN 'informational'
        WHEN oddities >= $oddities + 2 THEN 'high'
        WHEN oddities = $oddities + 1 THEN 'medium'
        ELSE 'low'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' reads vault ', vault_name, ' for the first time: ', objects,
        CASE WHEN objects = 1 THEN ' object' ELSE ' objects' END, ' in the day to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC, ',
        foreign_objects, ' of them used by others before; ',
        CASE WHEN caller_days = 0 THEN 'it was seen nowhere before' ELSE concat('until now it used ', caller_vaults, CASE WHEN caller_vaults = 1 THEN ' other vault' ELSE ' other vaults' END) END,
        CASE WHEN odd_newcomer THEN concat('; the vault''s ', vault_callers, ' callers have been the same for weeks') ELSE '' END,
        CASE WHEN odd_address THEN concat('; it comes from the internet (', outside, '), the vault''s workloads from private ranges') ELSE '' END,
        CASE WHEN odd_client THEN concat('; nobody used its client (', array_to_string(client_product, ', '), ') there before') ELSE '' END,
        CASE WHEN odd_kind THEN concat('; it is the first ', replace(principal_type, '_', ' '), ' there') ELSE '' END,
        CASE WHEN odd_environment THEN concat('; it belongs to ', caller_environment, ' and the vault to ', vault_environment) ELSE '' END,
        '.'
    ) AS summary,
    CAST(calls AS BIGINT) AS event_count,
    principal_name,
    principal_type,
    app_id,
    object_name,
    caller_ip,
    client_product,
    objects AS distinct_objects,
    foreign_objects,
    oddities,
    odd_breadth,
    odd_newcomer,
    odd_address,
    odd_client,
    odd_kind,
    odd_environment,
    odd_move,
    vault_callers AS vault_callers_before,
    like_callers AS callers_of_its_kind_before,
    vault_days AS covered_days,
    caller_days AS active_days_before,
    first_time,
    window_end AS last_time,
    'operation_class = ''read'' AND outcome = ''success'' AND object_name IS NOT NULL' AS drilldown_filter
FROM summed
