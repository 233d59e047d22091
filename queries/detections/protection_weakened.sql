-- +++
-- title = "A vault's protection against deletion weakens"
-- description = """
-- A write of a vault asks for no purge protection where the vault's last known state had it, or shortens the time for which
-- deleted objects are kept. It is the step before a deletion that nobody can undo. A vault whose writes never named purge
-- protection, though its settings have it, is written by a tool that leaves it out, and silent. A vault that is made without
-- protection is information.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1562.001", "T1490"]
-- key = ["vault_name"]
-- every = "5m"
-- window = "1h"
-- lookback = "38d"
-- baseline = "38d"
-- quiet_for = "1d"
-- false_positives = ["A template with other settings is rolled out over an old vault."]
-- response = [
--   "Ask who changed it, and set protection and retention again.",
--   "Look for deletions in the vault since, and recover what was deleted.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview", "https://attack.mitre.org/techniques/T1490/"]
-- false_alarm_rate = "A rare act by itself: it needs a known state before that was stronger."
--
-- [parameters]
-- short_days = { default = 30, min = 7, about = "A retention of so many days or more is long enough, shortened or not." }
-- many_vaults = { default = 3, min = 2, about = "Vaults that one caller weakens within a day, and is no administrator of long standing, from which it is high." }
-- standing_days = { default = 3, min = 1, about = "Days with changes of any kind in the history from which a caller is an administrator of long standing." }
-- history = { default = "35d", about = "How far back state and habits count; at most the look-back less two days." }
-- +++
WITH states AS (
    -- Records that show the settings: reads of a vault's settings, and writes of the audit log.
    SELECT time, vault_name, principal_id, principal_name, principal_type, app_id, caller_ip, client_product, operation_name, subscription_id,
           change_kind IS NOT NULL AS is_write, coalesce(purge_protection, false) AS protected, soft_delete_days
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND vault_name IS NOT NULL
      AND (soft_delete_days IS NOT NULL OR purge_protection IS NOT NULL)
),
steps AS (
    SELECT *, lag(protected) OVER w AS protected_before, lag(soft_delete_days) OVER w AS days_before, lag(time) OVER w AS time_before
    FROM states
    WINDOW w AS (PARTITION BY vault_name ORDER BY time, operation_name, principal_id)
),
weakened AS (
    SELECT *, date_bin($every, time) + $every AS window_end,
           known AND protected_before AND NOT protected AS unprotected,
           known AND coalesce(soft_delete_days < days_before AND soft_delete_days < $short_days, false) AS shortened,
           NOT known AND NOT protected AS made_without
    FROM (SELECT *, coalesce(time_before >= time - $history, false) AS known FROM steps WHERE is_write) AS writes
),
inside AS (
    SELECT *, date_trunc('day', window_end - $window) AS base_day
    FROM weakened
    WHERE window_end > $from AND window_end <= $to AND (unprotected OR shortened OR made_without)
),
habit AS (
    -- A tool that leaves purge protection out: earlier writes of the vault did, and reads show that it has it.
    SELECT i.vault_name, i.base_day, bool_or(s.is_write AND NOT s.protected) AND bool_or(NOT s.is_write AND s.protected) AS leaves_out
    FROM (SELECT DISTINCT vault_name, base_day FROM inside WHERE unprotected) i
    JOIN states s ON s.vault_name = i.vault_name AND s.time < i.base_day AND s.time >= i.base_day - $history
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
alike AS (
    -- Other vaults that the same caller weakened within the day before.
    SELECT i.vault_name, i.window_end, count(DISTINCT o.vault_name) AS vaults
    FROM (SELECT DISTINCT vault_name, window_end, principal_id FROM inside) i
    JOIN weakened o ON o.principal_id = i.principal_id AND (o.unprotected OR o.shortened)
     AND o.time < i.window_end AND o.time >= i.window_end - INTERVAL '1 day'
    GROUP BY 1, 2
),
judged AS (
    SELECT i.*, coalesce(h.leaves_out, false) AS leaves_out, coalesce(s.days, 0) AS change_days, coalesce(a.vaults, 0) AS vaults
    FROM inside i
    LEFT JOIN habit h ON h.vault_name = i.vault_name AND h.base_day = i.base_day
    LEFT JOIN standing s ON s.principal_id = i.principal_id AND s.base_day = i.base_day
    LEFT JOIN alike a ON a.vault_name = i.vault_name AND a.window_end = i.window_end
),
graded AS (
    SELECT *,
        CASE
            WHEN made_without THEN 1
            WHEN vaults >= $many_vaults AND change_days < $standing_days THEN 4
            WHEN unprotected AND NOT leaves_out AND shortened THEN 3
            WHEN change_days >= $standing_days THEN 2
            WHEN unprotected AND NOT leaves_out THEN 3
            ELSE 2
        END AS grade
    FROM judged
    WHERE shortened OR made_without OR NOT leaves_out
),
ranked AS (
    SELECT *, count(*) OVER (PARTITION BY vault_name, window_end) AS calls,
           row_number() OVER (PARTITION BY vault_name, window_end ORDER BY grade DESC, time, operation_name, principal_id) AS place
    FROM graded
)
SELECT
    window_end - $window AS window_start,
    window_end,
    vault_name,
    CASE WHEN unprotected THEN 1.0 ELSE 0.0 END + CASE WHEN shortened THEN 1.0 ELSE 0.0 END + CASE WHEN made_without THEN 1.0 ELSE 0.0 END AS observed,
    0.0 AS expected,
    CASE grade WHEN 4 THEN 'high' WHEN 3 THEN 'medium' WHEN 2 THEN 'low' ELSE 'informational' END AS severity,
    concat(
        coalesce(principal_name, principal_id, 'an unknown caller'), ' wrote vault ', vault_name, ' at ', to_char(time, '%Y-%m-%d %H:%M'), ' UTC ',
        CASE WHEN made_without THEN 'without purge protection; nothing is known of its settings before'
             WHEN unprotected AND shortened THEN concat('without the purge protection that it had, and deleted objects are kept for ', soft_delete_days, ' days in place of ', days_before)
             WHEN unprotected THEN 'without the purge protection that it had'
             ELSE concat('so that deleted objects are kept for ', soft_delete_days, ' days in place of ', days_before) END,
        CASE WHEN made_without THEN '' WHEN change_days = 0 THEN '; it changed nothing before' ELSE concat('; it changed vaults on ', change_days, ' days before') END,
        CASE WHEN vaults > 1 THEN concat('. It weakened ', vaults, ' vaults within a day') ELSE '' END
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
    unprotected AS purge_protection_gone,
    shortened AS retention_shortened,
    soft_delete_days AS retention_days,
    days_before AS retention_days_before,
    vaults AS vaults_weakened_within_a_day,
    change_days AS days_with_changes_before,
    time AS first_time,
    time AS last_time,
    '(soft_delete_days IS NOT NULL OR purge_protection IS NOT NULL)' AS drilldown_filter
FROM ranked
WHERE place = 1
