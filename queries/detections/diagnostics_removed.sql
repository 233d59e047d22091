-- +++
-- title = "A diagnostic setting was deleted"
-- description = """
-- The Activity log tells that somebody deleted a diagnostic setting of a vault or of a scope that holds vaults: from then on
-- what happens there may leave no log. Deployments delete and write settings anew, so a setting that is written again
-- within the step, the removal of the vault itself, and a caller that has deleted settings on other days before are less. What
-- else the caller changed in the same time (policies, roles, network) makes it worse. Attempts that failed are informational.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1562.008"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "10m"
-- lookback = "31d"
-- quiet_for = "1d"
-- false_positives = [
--   "A deployment tool that replaces the setting by another of a different name, slower than the window.",
--   "The decommissioning of a workspace or of a vault.",
-- ]
-- response = [
--   "Write the setting again, then look at what the caller did before and after, in the Activity log too: it goes on.",
--   "See log_silence: when did the vault's own log end?",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1562/008/", "https://learn.microsoft.com/azure/azure-monitor/platform/diagnostic-settings"]
-- false_alarm_rate = "None of chance: each finding is a deletion. Those of tools that delete regularly are informational."
--
-- [parameters]
-- habit_days = { default = 2, min = 1, about = "Days with deletions by the caller in the look-back from which it is a habit." }
-- guard = { default = "1h", about = "Deletions this shortly before do not count as a habit." }
-- +++
WITH changes AS (
    -- The control plane is a small part of the log. Of the records of one change (begin, end) only the end has an outcome.
    SELECT time, principal_id, principal_name, principal_type, app_id, vault_name, resource_id, subscription_id, caller_ip,
           client_product, operation_name, change_kind, outcome, coalesce(correlation_id, CAST(time AS VARCHAR)) AS change_id
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_class IN ('control', 'delete', 'purge')
      AND change_kind IS NOT NULL AND outcome <> 'unknown'
),
steps AS (
    -- Told at once, since the next record may never come; and once more a step later, with what followed.
    SELECT DISTINCT date_bin($every, time) + ahead AS window_end, principal_id, vault_name
    FROM changes CROSS JOIN (VALUES (INTERVAL '5 minutes'), (INTERVAL '10 minutes')) AS hop (ahead)
    WHERE change_kind = 'diagnostics_removed'
),
found AS (
    SELECT s.window_end, s.principal_id, s.vault_name,
           max(c.principal_name) AS principal_name, max(c.principal_type) AS principal_type, max(c.app_id) AS app_id,
           max(c.subscription_id) AS subscription_id,
           array_agg(DISTINCT lower(c.resource_id)) FILTER (WHERE c.change_kind = 'diagnostics_removed' AND c.resource_id IS NOT NULL) AS settings,
           array_agg(DISTINCT c.caller_ip ORDER BY c.caller_ip) FILTER (WHERE c.caller_ip IS NOT NULL) AS caller_ip,
           count(DISTINCT CASE WHEN c.change_kind = 'diagnostics_removed' AND c.outcome = 'success' THEN c.change_id END) AS removed,
           count(DISTINCT CASE WHEN c.change_kind = 'diagnostics_removed' THEN c.change_id END) AS tried,
           count(*) FILTER (WHERE c.change_kind = 'diagnostics_removed') AS event_count,
           min(c.time) FILTER (WHERE c.change_kind = 'diagnostics_removed') AS first_time,
           max(c.time) FILTER (WHERE c.change_kind = 'diagnostics_removed') AS last_time
    FROM steps s
    JOIN changes c ON (c.principal_id IS NOT DISTINCT FROM s.principal_id) AND (c.vault_name IS NOT DISTINCT FROM s.vault_name)
     AND c.time >= s.window_end - $window AND c.time < s.window_end
    WHERE s.window_end > $from AND s.window_end <= $to
    GROUP BY s.window_end, s.principal_id, s.vault_name
),
around AS (
    -- By whomever: the setting written again, the vault itself removed. By the caller: what else it changed.
    SELECT f.window_end, f.principal_id, f.vault_name,
           sum(CASE WHEN c.change_kind = 'diagnostics_written' AND c.time >= f.first_time
                     AND (c.vault_name IS NOT DISTINCT FROM f.vault_name) THEN 1 ELSE 0 END) AS written_again,
           sum(CASE WHEN c.change_kind IN ('vault_deleted', 'hsm_deleted', 'vault_purged', 'hsm_purged')
                     AND c.vault_name = f.vault_name THEN 1 ELSE 0 END) AS vault_removed,
           sum(CASE WHEN c.principal_id = f.principal_id AND c.change_kind IN ('role_assigned', 'access_policy_added', 'access_policy_written',
                     'ip_rule_added', 'vault_written', 'hsm_written') THEN 1 ELSE 0 END) AS other_changes
    FROM found f
    JOIN changes c ON c.time >= f.window_end - $window AND c.time < f.window_end AND c.outcome = 'success'
    GROUP BY f.window_end, f.principal_id, f.vault_name
),
habit AS (
    SELECT f.window_end, f.principal_id, f.vault_name, count(DISTINCT date_trunc('day', c.time)) AS days
    FROM found f
    JOIN changes c ON c.principal_id = f.principal_id AND c.change_kind = 'diagnostics_removed' AND c.outcome = 'success'
     AND c.time < f.window_end - $window - $guard AND c.time >= f.window_end - $lookback
    GROUP BY f.window_end, f.principal_id, f.vault_name
),
judged AS (
    SELECT f.*, coalesce(a.written_again, 0) AS written_again, coalesce(a.vault_removed, 0) AS vault_removed,
           coalesce(a.other_changes, 0) AS other_changes, coalesce(h.days, 0) AS days_before
    FROM found f
    LEFT JOIN around a ON a.window_end = f.window_end AND (a.principal_id IS NOT DISTINCT FROM f.principal_id)
     AND (a.vault_name IS NOT DISTINCT FROM f.vault_name)
    LEFT JOIN habit h ON h.window_end = f.window_end AND (h.principal_id IS NOT DISTINCT FROM f.principal_id)
     AND (h.vault_name IS NOT DISTINCT FROM f.vault_name)
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(tried AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN removed = 0 OR written_again > 0 OR vault_removed > 0 THEN 'informational'
        WHEN days_before >= $habit_days AND principal_type IS DISTINCT FROM 'user' THEN 'informational'
        WHEN days_before >= $habit_days THEN 'low'
        WHEN other_changes > 0 THEN 'high'
        ELSE 'medium'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id, 'Somebody'), CASE WHEN removed = 0 THEN ' tried in vain to delete ' ELSE ' deleted ' END,
        CASE WHEN tried = 1 THEN 'a diagnostic setting' ELSE concat(tried, ' diagnostic settings') END,
        CASE WHEN vault_name IS NULL THEN ' of a scope that holds vaults' ELSE concat(' of vault ', vault_name) END,
        CASE
            WHEN removed = 0 THEN '; it still logs.'
            WHEN vault_removed > 0 THEN '; the vault itself was removed in the same minutes.'
            WHEN written_again > 0 THEN '; a setting was written again within minutes.'
            ELSE concat('; from now on what happens there may leave no log.',
                CASE WHEN other_changes > 0 THEN concat(' In the same minutes it changed access or network ', other_changes, ' times.') ELSE '' END,
                CASE WHEN days_before = 0 THEN ' It never did so in the month before.' ELSE concat(' It did so on ', days_before, ' days of the month before.') END)
        END
    ) AS summary,
    event_count,
    principal_name,
    principal_type,
    app_id,
    subscription_id,
    array_sort(settings) AS resource_id,
    caller_ip,
    written_again,
    vault_removed,
    other_changes,
    days_before AS days_with_deletions_before,
    first_time,
    last_time,
    'change_kind = ''diagnostics_removed''' AS drilldown_filter
FROM judged
