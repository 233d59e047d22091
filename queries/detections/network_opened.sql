-- +++
-- title = "A vault's firewall opens"
-- description = """
-- A write sets the firewall's default action to Allow where the vault's last known state (its writes and what reads of its
-- settings show) was Deny, or lets a range of public addresses pass. A range of 65,536 addresses or more counts as open. A
-- single address weighs by who knows it: information where callers of the logs come from its network, where a trusted list
-- has it, or where the caller does so as a habit (a pipeline that lets its runner pass).
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1562.007"]
-- key = ["vault_name"]
-- every = "5m"
-- window = "1h"
-- lookback = "31d"
-- baseline = "31d"
-- quiet_for = "6h"
-- min_coverage = "3d"
-- false_positives = ["Somebody works from another place and lets his own address pass.", "A vault that is meant to be reachable from everywhere."]
-- response = [
--   "Ask who changed it; close it again (az keyvault update --default-action Deny, az keyvault network-rule remove).",
--   "Look for calls on the vault from networks that it did not see before.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/network-security", "https://attack.mitre.org/techniques/T1562/007/"]
-- false_alarm_rate = "A rare act by itself; habits, known networks and new vaults are information or silent."
--
-- [parameters]
-- wide_bits = { default = 16, min = 0, max = 32, about = "A range with so many leading bits or fewer counts as open." }
-- habit_days = { default = 2, min = 1, about = "Days of the history on which the caller opened a firewall, from which it is a habit." }
-- standing_days = { default = 3, min = 1, about = "Days with changes of any kind in the history from which a caller is an administrator of long standing." }
-- history = { default = "30d", about = "How far back state and habits count; at most the look-back less a day." }
-- +++
WITH states AS (
    SELECT time, vault_name, principal_id, principal_name, principal_type, app_id, caller_ip, client_product, operation_name, resource_group,
           subscription_id, network_default_action, added_ip_rule, change_kind
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND vault_name IS NOT NULL
      AND (network_default_action IS NOT NULL OR added_ip_rule IS NOT NULL)
),
settings AS (
    SELECT *, lower(network_default_action) = 'allow' AS open,
           lag(lower(network_default_action)) OVER w AS action_before, lag(time) OVER w AS time_before
    FROM states
    WHERE network_default_action IS NOT NULL
    WINDOW w AS (PARTITION BY vault_name ORDER BY time, operation_name, principal_id)
),
openings AS (
    SELECT time, vault_name, principal_id, principal_name, principal_type, app_id, caller_ip, client_product, operation_name, resource_group,
           subscription_id, CAST(NULL AS VARCHAR) AS added_rule, 0 AS bits
    FROM settings
    WHERE change_kind IS NOT NULL AND open AND action_before = 'deny' AND time_before >= time - $history
    UNION ALL
    SELECT time, vault_name, principal_id, principal_name, principal_type, app_id, caller_ip, client_product, operation_name, resource_group,
           subscription_id, added_ip_rule, CASE WHEN strpos(added_ip_rule, '/') > 0 THEN TRY_CAST(split_part(added_ip_rule, '/', 2) AS INT) ELSE 32 END
    FROM states
    WHERE change_kind = 'ip_rule_added' AND NOT coalesce(ip_is_private(split_part(added_ip_rule, '/', 1)), false)
),
rules AS (
    SELECT *, added_rule IS NULL OR coalesce(bits, 32) <= $wide_bits AS wide, split_part(added_rule, '/', 1) AS address,
           date_bin($every, time) + $every AS window_end
    FROM openings
),
inside AS (
    SELECT *, date_trunc('day', window_end - $window) AS base_day FROM rules WHERE window_end > $from AND window_end <= $to
),
homes AS (
    -- Networks from which anybody came before with success.
    SELECT DISTINCT i.base_day, i.address
    FROM (SELECT DISTINCT base_day, address FROM inside WHERE address IS NOT NULL) i
    JOIN (
        SELECT DISTINCT day, ip_network(value) AS network FROM sightings
        WHERE kind = 'address' AND successes > 0 AND day >= $from - $lookback - $baseline AND day < $to
          AND (SELECT count(*) FROM inside WHERE address IS NOT NULL) > 0
    ) s ON s.network = ip_network(i.address) AND s.day < i.base_day AND s.day >= i.base_day - $history
),
listed AS (
    SELECT a.address, bool_or(l.is_trusted) AS trusted, bool_or(NOT l.is_trusted) AS bad
    FROM (SELECT DISTINCT address FROM inside WHERE address IS NOT NULL) a
    CROSS JOIN (SELECT DISTINCT prefix_length FROM address_lists) n
    JOIN address_lists l ON l.cidr = ip_network(a.address, n.prefix_length)
    GROUP BY a.address
),
habit AS (
    SELECT i.principal_id, i.base_day, count(DISTINCT date_trunc('day', r.time)) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM inside) i
    JOIN rules r ON r.principal_id = i.principal_id AND r.time < i.base_day AND r.time >= i.base_day - $history
    GROUP BY 1, 2
),
standing AS (
    SELECT i.principal_id, i.base_day, count(*) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM inside) i
    JOIN (
        SELECT DISTINCT principal_id, date_trunc('day', hour) AS day FROM activity
        WHERE operation_class = 'control' AND outcome = 'success' AND principal_id IS NOT NULL
          AND hour >= $from - $lookback - $baseline AND hour < $to
    ) a ON a.principal_id = i.principal_id AND a.day < i.base_day AND a.day >= i.base_day - $history
    GROUP BY 1, 2
),
logs AS (
    SELECT i.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM inside) i JOIN coverage c ON c.hour < i.base_day AND c.hour >= i.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY 1
),
judged AS (
    SELECT i.*, coalesce(h.days, 0) AS same_days, coalesce(s.days, 0) AS change_days, m.address IS NOT NULL AS known_network,
           coalesce(l.trusted, false) AS trusted, coalesce(l.bad, false) AS bad, coalesce(i.address = i.caller_ip, false) AS own_address,
           coalesce(g.hours, 0) AS covered_hours, 3600 * coalesce(g.hours, 0) < extract(epoch FROM $min_coverage) AS uncovered,
           coalesce(v.environment, environment_of(i.vault_name, i.resource_group, u.environment, u.name)) AS environment
    FROM inside i
    LEFT JOIN habit h ON h.principal_id = i.principal_id AND h.base_day = i.base_day
    LEFT JOIN standing s ON s.principal_id = i.principal_id AND s.base_day = i.base_day
    LEFT JOIN homes m ON m.address = i.address AND m.base_day = i.base_day
    LEFT JOIN listed l ON l.address = i.address
    LEFT JOIN logs g ON g.base_day = i.base_day
    LEFT JOIN vaults v ON v.vault_name = i.vault_name
    LEFT JOIN subscriptions u ON u.subscription_id = i.subscription_id
),
graded AS (
    SELECT *,
        CASE
            WHEN bad THEN 4
            WHEN trusted OR same_days >= $habit_days THEN 1
            WHEN wide AND environment IN ('development', 'test') THEN 2
            WHEN wide AND environment = 'production' AND change_days = 0 AND NOT uncovered THEN 4
            WHEN wide THEN 3
            WHEN known_network OR uncovered THEN 1
            WHEN own_address OR change_days >= $standing_days OR environment IN ('development', 'test') THEN 2
            ELSE 3
        END AS grade
    FROM judged
),
ranked AS (
    SELECT *, count(*) OVER (PARTITION BY vault_name, window_end) AS calls,
           row_number() OVER (PARTITION BY vault_name, window_end ORDER BY grade DESC, time, added_rule, principal_id) AS place
    FROM graded
)
SELECT
    window_end - $window AS window_start,
    window_end,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE grade WHEN 4 THEN 'high' WHEN 3 THEN 'medium' WHEN 2 THEN 'low' ELSE 'informational' END AS severity,
    concat(
        coalesce(principal_name, principal_id, 'an unknown caller'),
        CASE WHEN added_rule IS NULL THEN concat(' opened the firewall of vault ', vault_name, ' to every network')
             ELSE concat(' let ', added_rule, ' through the firewall of vault ', vault_name) END,
        ' at ', to_char(time, '%Y-%m-%d %H:%M'), ' UTC',
        CASE WHEN added_rule IS NULL THEN '; it was closed by default before'
             WHEN bad THEN '; the address is on a list of bad ones'
             WHEN known_network THEN '; callers came from that network before'
             WHEN own_address THEN '; it is the address that it calls from, and nobody came from there before'
             ELSE '; nobody came from that network before' END,
        CASE WHEN same_days > 0 THEN concat('. It did the like on ', same_days, ' days before')
             WHEN change_days = 0 THEN '. It changed nothing before' ELSE '' END
    ) AS summary,
    calls AS event_count,
    principal_id,
    principal_name,
    principal_type,
    app_id,
    subscription_id,
    operation_name,
    caller_ip,
    client_product,
    added_rule,
    known_network,
    own_address,
    trusted AS on_trusted_list,
    bad AS on_bad_list,
    environment,
    same_days AS days_of_the_same_before,
    change_days AS days_with_changes_before,
    covered_hours,
    time AS first_time,
    time AS last_time,
    '(network_default_action IS NOT NULL OR added_ip_rule IS NOT NULL) AND change_kind IS NOT NULL' AS drilldown_filter
FROM ranked
WHERE place = 1
