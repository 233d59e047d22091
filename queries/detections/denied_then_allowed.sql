-- +++
-- title = "A refused caller is let in"
-- description = """
-- A caller is refused on an object for want of a role or policy and within a day allowed on the same object, which it had not
-- read in four weeks. Between the two somebody gave it access: that change is looked for in the vault's log and in the
-- Activity log, and named. Most such stories are work: a role on its way, a colleague who asks. They count for more where the
-- caller let itself in, or where a settled workload is given a vault of another environment, or tried several objects, from a
-- network new to it.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1098.003", "T1098.001", "T1555.006"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "1d"
-- lookback = "2d"
-- baseline = "31d"
-- quiet_for = "2d"
-- min_coverage = "3d"
-- false_positives = [
--   "An administrator who gives himself the role that his task needs.",
--   "A service that is extended to another vault and asks before its role is there.",
-- ]
-- response = [
--   "Ask who asked for the access and who gave it; both should name the same ticket.",
--   "If nobody does: take the access away, rotate the objects that were read, and look at what else the giver changed.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1098/003/", "https://learn.microsoft.com/azure/key-vault/general/rbac-guide"]
-- false_alarm_rate = "A refusal that ends is informational; low asks for a logged change, a settled caller, a new vault and further evidence; none at low or above in 100 simulated days of 60 to 150 callers."
--
-- [parameters]
-- min_tried = { default = 3, min = 2, about = "Refused objects of the vault, within the day, that count as a search." }
-- settled_days = { default = 7, min = 1, about = "Days of successful use of other vaults that make a caller settled." }
-- many_networks = { default = 3, min = 1, about = "A caller with more networks than this and one for each two days has no usual ones." }
-- history = { default = "28d", about = "How far back use counts; at most the baseline less three days." }
-- +++
WITH refused AS (
    SELECT principal_id, vault_name, object_type, object_name
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'denied' AND principal_id IS NOT NULL AND vault_name IS NOT NULL
      AND object_type IS NOT NULL AND object_name IS NOT NULL AND coalesce(denial_reason, 'unknown') IN ('rbac', 'access_policy', 'unknown')
    GROUP BY principal_id, vault_name, object_type, object_name
),
calls AS (
    SELECT e.principal_id, e.principal_type, e.vault_name, e.object_type, e.object_name, e.time, e.outcome, e.caller_ip
    FROM refused r
    JOIN events e ON e.principal_id = r.principal_id AND e.vault_name = r.vault_name AND e.object_type = r.object_type AND e.object_name = r.object_name
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND (e.outcome = 'success' OR (e.outcome = 'denied' AND coalesce(e.denial_reason, 'unknown') IN ('rbac', 'access_policy', 'unknown')))
),
turns AS (
    SELECT *, date_bin($every, time) + $every AS window_end, date_trunc('day', date_bin($every, time) + $every - $window) AS base_day
    FROM (
        SELECT *, lag(outcome) OVER w AS outcome_before, lag(time) OVER w AS refused_at,
               max(CASE WHEN outcome = 'success' THEN time END) OVER (
                   PARTITION BY principal_id, vault_name, object_type, object_name ORDER BY time, outcome DESC
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS allowed_before
        FROM calls
        -- Of two at one instant the refusal comes last, and so is none before.
        WINDOW w AS (PARTITION BY principal_id, vault_name, object_type, object_name ORDER BY time, outcome DESC)
    )
    WHERE outcome = 'success' AND outcome_before = 'denied'
),
newly AS (
    -- An object that the caller read on these days before was lost and given back.
    SELECT *
    FROM turns
    WHERE (allowed_before IS NULL OR allowed_before < base_day)
      AND refused_at >= window_end - $window AND window_end > $from AND window_end <= $to
),
gained AS (
    SELECT *
    FROM newly t
    WHERE NOT EXISTS (
        SELECT 1
        FROM sightings s
        WHERE s.principal_id = t.principal_id AND s.value = t.vault_name || '/' || t.object_type || '/' || t.object_name
          AND s.day < t.base_day AND s.day >= t.base_day - $history
          AND s.kind = 'object' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
    )
),
ends AS (SELECT DISTINCT principal_id, vault_name, window_end, base_day FROM gained),
windows AS (
    SELECT e.principal_id, e.vault_name, e.window_end, e.base_day, max(c.principal_type) AS principal_type,
           count(DISTINCT c.object_type || '/' || c.object_name) FILTER (WHERE c.outcome = 'denied') AS tried,
           count(*) FILTER (WHERE c.outcome = 'denied') AS refusals,
           min(CASE WHEN c.outcome = 'denied' THEN c.time END) AS first_refused, max(c.time) AS last_time,
           array_agg(DISTINCT c.caller_ip ORDER BY c.caller_ip) AS caller_ip
    FROM ends e
    JOIN calls c ON c.principal_id = e.principal_id AND c.vault_name = e.vault_name AND c.time < e.window_end AND c.time >= e.window_end - $window
    GROUP BY e.principal_id, e.vault_name, e.window_end, e.base_day
),
let_in AS (
    SELECT e.principal_id, e.vault_name, e.window_end, count(DISTINCT g.object_type || '/' || g.object_name) AS objects, min(g.time) AS first_allowed,
           array_agg(DISTINCT g.object_name ORDER BY g.object_name) AS object_name, max(g.object_type) AS object_type
    FROM ends e
    JOIN turns g ON g.principal_id = e.principal_id AND g.vault_name = e.vault_name AND g.time < e.window_end AND g.refused_at >= e.window_end - $window
    GROUP BY e.principal_id, e.vault_name, e.window_end
),
changes AS (
    -- Who gave access to whom; a role on the group or subscription has no vault.
    SELECT time, vault_name, unnest(string_to_array(target_principal_id, ',')) AS target_principal_id, principal_id AS giver, coalesce(principal_name, principal_id) AS giver_name, change_kind
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND change_kind IN ('access_policy_added', 'access_policy_written', 'role_assigned')
      AND outcome IN ('success', 'unknown') AND target_principal_id IS NOT NULL
),
given AS (
    SELECT w.principal_id, w.vault_name, w.window_end, max(c.giver) AS giver, max(c.giver_name) AS giver_name, max(c.change_kind) AS change_kind,
           bool_or(c.giver = w.principal_id) AS by_itself, max(c.time) AS changed_at
    FROM windows w
    JOIN let_in l ON l.principal_id = w.principal_id AND l.vault_name = w.vault_name AND l.window_end = w.window_end
    JOIN changes c ON c.target_principal_id = w.principal_id AND coalesce(c.vault_name, w.vault_name) = w.vault_name
    WHERE c.time > w.first_refused AND c.time <= l.first_allowed
    GROUP BY w.principal_id, w.vault_name, w.window_end
),
people AS (SELECT DISTINCT principal_id, base_day FROM windows),
homes AS (
    -- What a caller used before: days, environments, and whether this vault was among it.
    SELECT p.principal_id, p.base_day, count(DISTINCT s.day) AS days, array_agg(DISTINCT s.value) AS vaults,
           count(DISTINCT coalesce(v.environment, environment_of(s.value))) AS environments, max(coalesce(v.environment, environment_of(s.value))) AS environment
    FROM people p
    JOIN sightings s ON s.principal_id = p.principal_id AND s.day < p.base_day AND s.day >= p.base_day - $history
    LEFT JOIN vaults v ON v.vault_name = s.value
    WHERE s.kind = 'vault' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY p.principal_id, p.base_day
),
networks AS (
    SELECT p.principal_id, p.base_day, array_agg(DISTINCT ip_network(s.value)) AS known
    FROM people p
    JOIN sightings s ON s.principal_id = p.principal_id AND s.day < p.base_day AND s.day >= p.base_day - $history
    WHERE s.kind = 'address' AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY p.principal_id, p.base_day
),
strange AS (
    SELECT a.principal_id, a.vault_name, a.window_end
    FROM (SELECT principal_id, vault_name, window_end, base_day, unnest(caller_ip) AS address FROM windows) a
    JOIN networks n ON n.principal_id = a.principal_id AND n.base_day = a.base_day
    WHERE NOT coalesce(ip_is_private(a.address), true) AND NOT array_has(n.known, ip_network(a.address))
    GROUP BY a.principal_id, a.vault_name, a.window_end
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM windows) d
    JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
names AS (
    SELECT w.principal_id, w.vault_name, w.window_end, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id
    FROM windows w
    JOIN events e ON e.principal_id = w.principal_id AND e.vault_name = w.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.time >= w.window_end - $window AND e.time < w.window_end
    GROUP BY w.principal_id, w.vault_name, w.window_end
),
judged AS (
    SELECT w.*, l.objects, l.object_name, l.object_type, l.first_allowed, g.giver, g.giver_name, g.change_kind, g.changed_at, coalesce(g.by_itself, false) AS by_itself,
           n.principal_name, n.app_id, coalesce(h.days, 0) AS days,
           coalesce(p.environment, CASE WHEN h.environments = 1 THEN h.environment END, 'unknown') AS home,
           coalesce(v.environment, environment_of(w.vault_name)) AS there,
           NOT coalesce(array_has(h.vaults, w.vault_name), false) AS new_vault,
           w.tried >= $min_tried AS searched,
           s.window_end IS NOT NULL AND array_length(k.known) <= $many_networks + h.days / 2 AS new_network,
           coalesce(h.days, 0) >= $settled_days AND 3600 * coalesce(c.hours, 0) >= extract(epoch FROM $min_coverage) AS settled
    FROM windows w
    JOIN let_in l ON l.principal_id = w.principal_id AND l.vault_name = w.vault_name AND l.window_end = w.window_end
    JOIN names n ON n.principal_id = w.principal_id AND n.vault_name = w.vault_name AND n.window_end = w.window_end
    LEFT JOIN given g ON g.principal_id = w.principal_id AND g.vault_name = w.vault_name AND g.window_end = w.window_end
    LEFT JOIN homes h ON h.principal_id = w.principal_id AND h.base_day = w.base_day
    LEFT JOIN networks k ON k.principal_id = w.principal_id AND k.base_day = w.base_day
    LEFT JOIN strange s ON s.principal_id = w.principal_id AND s.vault_name = w.vault_name AND s.window_end = w.window_end
    LEFT JOIN covered c ON c.base_day = w.base_day
    LEFT JOIN principals p ON p.principal_id = w.principal_id
    LEFT JOIN vaults v ON v.vault_name = w.vault_name
),
weighed AS (
    SELECT *, coalesce(principal_type <> 'user' AND home <> there AND home <> 'unknown' AND there <> 'unknown', false) AS other_environment,
           CASE WHEN coalesce(principal_type <> 'user' AND home <> there AND home <> 'unknown' AND there <> 'unknown', false) THEN 1 ELSE 0 END
           + CASE WHEN searched THEN 1 ELSE 0 END + CASE WHEN coalesce(new_network, false) THEN 1 ELSE 0 END
           + CASE WHEN by_itself THEN 1 ELSE 0 END AS evidence
    FROM judged
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(objects AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN NOT settled OR NOT new_vault OR change_kind IS NULL THEN 'informational'
        WHEN evidence >= 3 THEN 'high'
        WHEN evidence = 2 AND principal_type <> 'user' THEN 'medium'
        WHEN evidence = 2 THEN 'low'
        WHEN evidence = 1 AND principal_type <> 'user' AND (other_environment OR by_itself) THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' was refused ', refusals, CASE WHEN refusals = 1 THEN ' time' ELSE ' times' END, ' on ', tried,
        CASE WHEN tried = 1 THEN ' object' ELSE ' objects' END, ' of vault ', vault_name, ' from ', to_char(first_refused, '%Y-%m-%d %H:%M'),
        ' UTC and allowed on ', objects, ' of them from ', to_char(first_allowed, '%Y-%m-%d %H:%M'), '; ',
        CASE
            WHEN by_itself THEN 'in between it gave itself access'
            WHEN change_kind IS NOT NULL THEN concat('in between ', giver_name, ' gave it access')
            ELSE 'no change in between is logged, so a role may have been on its way'
        END,
        CASE WHEN days = 0 THEN '; it has no history' WHEN new_vault THEN concat('; it did not use this vault on ', days, ' active days before') ELSE '' END,
        CASE WHEN other_environment THEN concat('; the vault is of ', there, ' and the caller of ', home) ELSE '' END,
        CASE WHEN coalesce(new_network, false) THEN '; from a network new to it' ELSE '' END,
        '.'
    ) AS summary,
    refusals AS event_count,
    principal_name,
    principal_type,
    app_id,
    object_type,
    object_name,
    caller_ip,
    tried AS objects_refused,
    giver,
    giver_name,
    change_kind,
    changed_at,
    by_itself,
    evidence AS kinds_of_evidence,
    home AS caller_environment,
    there AS vault_environment,
    days AS active_days_before,
    first_refused AS first_time,
    first_allowed,
    last_time,
    'outcome IN (''denied'', ''success'') AND object_name IS NOT NULL' AS drilldown_filter
FROM weighed
