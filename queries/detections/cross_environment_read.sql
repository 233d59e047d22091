-- +++
-- title = "A caller of one environment reads another environment's vault"
-- description = """
-- Compares the environment of a caller (from the directory, else from its name) with the environment of the vault that it
-- reads (from the vaults' file, the subscription, else from names). Fires where they differ, the caller did not read a vault
-- of that environment in four weeks, and no more than a few callers of its environment ever did: where a company reads
-- production from staging as a habit, one more such reader is no news. A caller that neither file nor
-- name places is placed by its habit, if all its reads of at least five days were in one environment. Vaults whose environment
-- nothing tells are left out. Reading upwards (development, test or staging into production) weighs more than reading downwards.
-- """
-- severity = "low"
-- status = "experimental"
-- techniques = ["T1555.006", "T1078.004"]
-- key = ["principal_id", "vault_name"]
-- every = "10m"
-- window = "1h"
-- lookback = "2h"
-- baseline = "30d"
-- quiet_for = "2d"
-- min_coverage = "3d"
-- false_positives = [
--   "A deployment that is pointed at the wrong vault by a copied setting.",
--   "A name that tells another environment than the caller's true one: say it in the directory file.",
-- ]
-- response = [
--   "Ask the owner of the caller why it reads the other environment's vault, and remove the role if there is no reason.",
--   "If the caller's credential may be in wrong hands, rotate what it read.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Once for a caller and vault at most; nothing where a tenth of the callers of the environment do the like."
--
-- [parameters]
-- history = { default = "28d", about = "How far back reads count as habit." }
-- max_share = { default = 0.1, min = 0.0, max = 1.0, about = "Share of the callers of an environment that read the other one, from which it is a habit of the house." }
-- min_days = { default = 5, min = 3, about = "Days of reads from which a caller's habit counts." }
-- min_objects = { default = 3, min = 1, about = "Different objects in an hour from which it weighs more." }
-- many_objects = { default = 10, min = 1, about = "Different objects in an hour from which it weighs most." }
-- +++
WITH pairs AS (
    SELECT principal_id, vault_name, date_trunc('hour', time) AS hour, max(principal_name) AS principal_name, max(principal_type) AS principal_type,
           max(app_id) AS app_id, max(resource_group) AS resource_group, max(subscription_id) AS subscription_id
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_class IN ('read', 'crypto', 'backup') AND outcome = 'success'
      AND object_type <> 'vault' AND object_name IS NOT NULL AND principal_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY principal_id, vault_name, date_trunc('hour', time)
),
crossing AS (
    -- Each pair with the days that its windows' history ends by. What a vault is for is told by files, else by names.
    SELECT x.principal_id, x.vault_name, x.base_day,
           coalesce(v.environment, environment_of(x.vault_name, x.resource_group, s.environment, s.name)) AS vault_environment,
           max(x.principal_name) AS principal_name, max(x.principal_type) AS principal_type,
           max(coalesce(nullif(coalesce(p.environment, a.environment, environment_of(p.name, x.principal_name, a.name)), 'unknown'), '')) AS told
    FROM (
        SELECT pairs.*, date_trunc('day', hour - back.by) AS base_day
        FROM pairs CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '1 hour')) AS back (by)
    ) AS x
    LEFT JOIN principals p ON p.principal_id = x.principal_id
    LEFT JOIN principals a ON a.principal_id = x.app_id AND x.app_id <> x.principal_id
    LEFT JOIN vaults v ON v.vault_name = x.vault_name
    LEFT JOIN subscriptions s ON s.subscription_id = x.subscription_id
    WHERE NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
      AND NOT coalesce(a.is_first_party OR a.is_known_scanner OR a.is_known_backup, false)
      AND coalesce(v.environment, environment_of(x.vault_name, x.resource_group, s.environment, s.name)) <> 'unknown'
    GROUP BY 1, 2, 3, 4
),
moved AS (SELECT DISTINCT base_day FROM crossing),
before AS (
    -- Who read vaults of which environment on which day; names in the history tell of those who are silent now.
    SELECT g.principal_id, g.day, coalesce(v.environment, environment_of(g.vault_name)) AS vault_environment, max(g.principal_type) AS principal_type,
           max(coalesce(nullif(coalesce(p.environment, environment_of(p.name, g.principal_name)), 'unknown'), '')) AS told
    FROM (
        SELECT principal_id, vault_name, date_trunc('day', hour) AS day, max(principal_name) AS principal_name, max(principal_type) AS principal_type
        FROM activity
        WHERE hour >= $from - $lookback - $baseline AND hour < $to AND operation_class IN ('read', 'crypto', 'backup')
          AND outcome = 'success' AND distinct_objects > 0 AND principal_id IS NOT NULL AND vault_name IS NOT NULL
        GROUP BY principal_id, vault_name, date_trunc('day', hour)
    ) AS g
    LEFT JOIN principals p ON p.principal_id = g.principal_id
    LEFT JOIN vaults v ON v.vault_name = g.vault_name
    GROUP BY g.principal_id, g.day, coalesce(v.environment, environment_of(g.vault_name))
),
habits AS (
    SELECT m.base_day, b.principal_id, b.vault_environment, count(*) AS days, max(b.principal_type) AS principal_type, max(b.told) AS told
    FROM moved m
    JOIN before b ON b.day < m.base_day AND b.day >= m.base_day - $history
    GROUP BY m.base_day, b.principal_id, b.vault_environment
),
homes AS (
    -- Whom no name places lives where all its reads were.
    SELECT base_day, principal_id, max(principal_type) AS principal_type, max(told) AS told, sum(days) AS days,
           count(*) FILTER (WHERE vault_environment <> 'unknown') AS environments,
           CASE WHEN max(told) <> '' THEN max(told) ELSE concat('untold ', max(principal_type)) END AS kind,
           max(vault_environment) FILTER (WHERE vault_environment <> 'unknown') AS only_environment
    FROM habits
    GROUP BY base_day, principal_id
),
house AS (SELECT base_day, kind, count(*) AS callers FROM homes GROUP BY base_day, kind),
crossers AS (
    -- Of the callers of an environment, those that read another; of those that no name places, who reads several.
    SELECT h.base_day, h.kind, a.vault_environment, count(*) AS callers
    FROM homes h
    JOIN habits a ON a.base_day = h.base_day AND a.principal_id = h.principal_id
    WHERE h.told <> '' OR h.environments > 1
    GROUP BY h.base_day, h.kind, a.vault_environment
),
strange AS (
    SELECT x.*, coalesce(nullif(x.told, ''), CASE WHEN h.environments = 1 AND h.days >= $min_days THEN h.only_environment END) AS caller_environment,
           h.days, CASE WHEN x.told <> '' THEN x.told ELSE concat('untold ', x.principal_type) END AS kind
    FROM crossing x
    LEFT JOIN homes h ON h.base_day = x.base_day AND h.principal_id = x.principal_id
    LEFT JOIN habits o ON o.base_day = x.base_day AND o.principal_id = x.principal_id AND o.vault_environment = x.vault_environment
    WHERE o.days IS NULL
),
covered AS (
    SELECT m.base_day, count(DISTINCT c.hour) AS hours
    FROM moved m
    JOIN coverage c ON c.hour < m.base_day AND c.hour >= m.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY m.base_day
),
bins AS (
    SELECT e.principal_id, e.vault_name, date_bin($every, e.time) AS bin, e.object_type, e.object_name, e.caller_ip, e.client_product,
           count(*) AS calls, min(e.time) AS first_time, max(e.time) AS last_time
    FROM events e
    JOIN (
        SELECT principal_id, vault_name, base_day AS day FROM strange WHERE caller_environment <> vault_environment
        UNION
        SELECT principal_id, vault_name, base_day + INTERVAL '1 day' AS day FROM strange WHERE caller_environment <> vault_environment
    ) AS x ON x.principal_id = e.principal_id AND x.vault_name = e.vault_name AND x.day = date_trunc('day', e.time)
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.operation_class IN ('read', 'crypto', 'backup') AND e.outcome = 'success'
      AND e.object_type <> 'vault' AND e.object_name IS NOT NULL
    GROUP BY e.principal_id, e.vault_name, date_bin($every, e.time), e.object_type, e.object_name, e.caller_ip, e.client_product
),
windows AS (
    SELECT principal_id, vault_name, window_end, date_trunc('day', window_end - $window) AS base_day,
           count(DISTINCT object_type || '/' || object_name) AS objects, sum(calls) AS calls,
           array_agg(DISTINCT object_name ORDER BY object_name) AS object_name,
           array_agg(DISTINCT caller_ip ORDER BY caller_ip) FILTER (WHERE caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT client_product ORDER BY client_product) FILTER (WHERE client_product IS NOT NULL) AS client_product,
           min(first_time) AS first_time, max(last_time) AS last_time
    FROM (
        SELECT b.*, b.bin + hop.ahead AS window_end
        FROM bins b
        CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                           (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
    ) AS spread
    WHERE window_end > $from AND window_end <= $to
    GROUP BY principal_id, vault_name, window_end
),
judged AS (
    SELECT w.*, s.principal_name, s.principal_type, s.caller_environment, s.vault_environment, s.told <> '' AS told, s.days,
           coalesce(h.callers, 0) AS peers, coalesce(c.callers, 0) AS crossing_peers,
           (coalesce(c.callers, 0) + 0.5) / (coalesce(h.callers, 0) + 1) AS rate,
           s.vault_environment = 'production' AS upwards,
           CASE WHEN w.objects >= $min_objects THEN 1 ELSE 0 END + CASE WHEN w.objects >= $many_objects THEN 1 ELSE 0 END
           + CASE WHEN s.days >= $min_days THEN 1 ELSE 0 END + CASE WHEN s.told <> '' THEN 1 ELSE 0 END AS signs
    FROM windows w
    JOIN strange s ON s.principal_id = w.principal_id AND s.vault_name = w.vault_name AND s.base_day = w.base_day
    JOIN covered v ON v.base_day = w.base_day AND 3600 * v.hours >= extract(epoch FROM $min_coverage)
    LEFT JOIN house h ON h.base_day = w.base_day AND h.kind = s.kind
    LEFT JOIN crossers c ON c.base_day = w.base_day AND c.kind = s.kind AND c.vault_environment = s.vault_environment
    WHERE s.caller_environment <> s.vault_environment AND coalesce(c.callers, 0) <= $max_share * coalesce(h.callers, 0)
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(objects AS DOUBLE) AS observed,
    0.0 AS expected,
    least(1.0, rate) AS p_value,
    CASE
        WHEN NOT upwards OR signs < 2 THEN 'informational'
        WHEN signs = 2 THEN 'low'
        WHEN signs = 3 THEN 'medium'
        ELSE 'high'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), CASE WHEN told THEN ', a caller of ' ELSE ', which only read vaults of ' END, caller_environment, ', read ', objects,
        CASE WHEN objects = 1 THEN concat(' object (', object_name[1], ')') ELSE ' objects' END, ' of the ', vault_environment, ' vault ', vault_name,
        ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC. ',
        CASE WHEN days IS NULL THEN 'It is new in these logs, and ' ELSE concat('In ', days, ' days of reads it never used a ', vault_environment, ' vault, and ') END,
        CASE WHEN crossing_peers = 0 THEN 'none' ELSE CAST(crossing_peers AS VARCHAR) END, ' of ', peers, CASE WHEN told THEN concat(' callers of ', caller_environment, ' did.') ELSE ' callers that no name places reads several environments.' END
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    object_name,
    caller_ip,
    client_product,
    caller_environment,
    vault_environment,
    peers AS callers_of_the_environment,
    crossing_peers AS callers_that_read_across,
    coalesce(days, 0) AS vault_days_before,
    first_time,
    last_time,
    'operation_class IN (''read'', ''crypto'', ''backup'') AND outcome = ''success'' AND object_name IS NOT NULL' AS drilldown_filter
FROM judged
