-- +++
-- title = "A vault stopped logging while others go on"
-- description = """
-- A vault whose log never paused for long has been silent for three times its longest pause of three weeks, and at least eight
-- hours, while other vaults' records keep arriving. Its diagnostic setting may be gone, or its firewall may shut out everybody.
-- A vault that rests at night or at weekends has such pauses in its history and is given three times as long. It is evaluated
-- as time passes, since silence brings no records, and tells a silence once, when it crosses the bound. Where several vaults
-- fall silent at once, and few go on, the way of the logs is at fault and not the vaults: informational.
-- """
-- severity = "low"
-- status = "stable"
-- techniques = ["T1562.008"]
-- key = ["vault_name"]
-- every = "1h"
-- window = "8h"
-- lookback = "8d"
-- baseline = "62d"
-- quiet_for = "7d"
-- on = "clock"
-- min_coverage = "7d"
-- false_positives = [
--   "A service that was switched off or moved to another vault: with one caller in the day before it is informational.",
--   "A delay in the delivery of one subscription's logs.",
-- ]
-- response = [
--   "Look whether the vault still has a diagnostic setting, and in the Activity log who changed it (diagnostics_removed).",
--   "Ask the owners of its callers whether they still use it, and read its metrics: they count calls without logs.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1562/008/", "https://learn.microsoft.com/azure/key-vault/general/howto-logging"]
-- false_alarm_rate = "A steady vault with fifty pauses in its history exceeds three times the longest by less than chance; what remains are vaults given up by several callers on one day."
--
-- [parameters]
-- ratio = { default = 3.0, min = 1.0, about = "How many times the longest pause before." }
-- min_hours = { default = 8, min = 1, about = "Shortest silence in hours." }
-- max_hours = { default = 168, min = 1, about = "Longest silence in hours that is waited for; vaults with longer pauses are none that always log." }
-- min_active = { default = 60, min = 1, about = "Fewest hours with records in the history." }
-- min_callers = { default = 3, min = 1, about = "Callers in the last day before the silence from which it is no matter of one service." }
-- others_share = { default = 0.5, min = 0.0, max = 1.0, about = "Share of the vaults active in the day before that must go on." }
-- +++
WITH hours AS (
    SELECT vault_name, hour
    FROM coverage
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND vault_name IS NOT NULL AND category = 'AuditEvent'
    GROUP BY vault_name, hour
),
pauses AS (
    SELECT vault_name, hour,
           lead(hour) OVER w AS next_hour,
           -- What lies further back than the baseline surely reads is no pause but another life.
           CASE WHEN hour - lag(hour) OVER w <= INTERVAL '30 days' THEN extract(epoch FROM hour - lag(hour) OVER w) / 3600 - 1 END AS pause
    FROM hours
    WINDOW w AS (PARTITION BY vault_name ORDER BY hour)
),
history AS (
    SELECT vault_name, hour, next_hour,
           max(pause) OVER w AS longest, count(*) OVER w AS active_hours, min(hour) OVER w AS first_hour
    FROM pauses
    WINDOW w AS (PARTITION BY vault_name ORDER BY hour RANGE BETWEEN INTERVAL '21 days' PRECEDING AND CURRENT ROW)
),
bounds AS (
    SELECT vault_name, hour, next_hour, longest, active_hours, first_hour,
           CAST(ceil(greatest($ratio * coalesce(longest, 0), $min_hours)) AS BIGINT) AS bound
    FROM history
    WHERE active_hours >= $min_active
),
silences AS (
    -- The silence begins behind the last hour with records, and is told when it is as long as the bound.
    SELECT *, hour + INTERVAL '1 hour' AS silent_from, hour + INTERVAL '1 hour' + CAST(concat(bound, ' hours') AS INTERVAL) AS window_end
    FROM bounds
    WHERE bound <= $max_hours
),
told AS (
    SELECT * FROM silences
    WHERE window_end > $from AND window_end <= $to AND (next_hour IS NULL OR next_hour >= window_end)
      AND first_hour <= hour - $min_coverage
),
neighbours AS (
    -- Vaults active in the day before, and those of them whose records are found in the second half of the silence.
    SELECT t.vault_name, t.window_end, o.vault_name AS other,
           max(CASE WHEN o.hour < t.silent_from THEN 1 ELSE 0 END) AS before,
           max(CASE WHEN o.hour >= t.silent_from AND o.hour + INTERVAL '1 hour' <= t.window_end
                     AND 2 * extract(epoch FROM t.window_end - o.hour) <= extract(epoch FROM t.window_end - t.silent_from) THEN 1 ELSE 0 END) AS after
    FROM told t
    JOIN hours o ON o.vault_name <> t.vault_name AND o.hour >= t.silent_from - INTERVAL '1 day' AND o.hour < t.window_end
    GROUP BY t.vault_name, t.window_end, o.vault_name
),
others AS (
    SELECT vault_name, window_end, sum(before) AS active, sum(before * after) AS going_on
    FROM neighbours
    GROUP BY vault_name, window_end
),
callers AS (
    SELECT t.vault_name, t.window_end, count(DISTINCT a.principal_id) AS callers,
           array_agg(DISTINCT coalesce(a.principal_name, a.principal_id) ORDER BY coalesce(a.principal_name, a.principal_id)) AS names
    FROM told t
    JOIN activity a ON a.vault_name = t.vault_name AND a.hour < t.silent_from AND a.hour >= t.silent_from - INTERVAL '1 day'
    WHERE a.hour >= $from - $lookback - $baseline AND a.hour < $to AND a.principal_id IS NOT NULL AND a.outcome = 'success'
    GROUP BY t.vault_name, t.window_end
),
changes AS (
    -- What the Activity log tells about it: a setting deleted is the reason, a vault removed an excuse.
    SELECT t.vault_name, t.window_end,
           max(CASE WHEN e.change_kind = 'diagnostics_removed' THEN 1 ELSE 0 END) AS setting_removed,
           max(CASE WHEN e.change_kind IN ('vault_deleted', 'vault_purged', 'hsm_deleted', 'hsm_purged') THEN 1 ELSE 0 END) AS vault_removed
    FROM told t
    JOIN events e ON e.vault_name = t.vault_name AND e.time >= t.silent_from - INTERVAL '1 day' AND e.time < t.window_end
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.operation_class IN ('control', 'delete', 'purge') AND e.outcome = 'success'
    GROUP BY t.vault_name, t.window_end
),
judged AS (
    SELECT t.*, o.active, o.going_on, coalesce(c.callers, 0) AS callers, c.names, coalesce(g.setting_removed, 0) AS setting_removed,
           coalesce(g.vault_removed, 0) AS vault_removed
    FROM told t
    JOIN others o ON o.vault_name = t.vault_name AND o.window_end = t.window_end
    LEFT JOIN callers c ON c.vault_name = t.vault_name AND c.window_end = t.window_end
    LEFT JOIN changes g ON g.vault_name = t.vault_name AND g.window_end = t.window_end
    WHERE o.going_on >= 1
)
SELECT
    silent_from AS window_start,
    window_end,
    vault_name,
    CAST(bound AS DOUBLE) AS observed,
    CAST(coalesce(longest, 0) AS DOUBLE) AS expected,
    CASE
        WHEN vault_removed = 1 THEN 'informational'
        WHEN setting_removed = 1 THEN 'high'
        WHEN going_on < $others_share * active OR callers < $min_callers THEN 'informational'
        ELSE 'low'
    END AS severity,
    concat(
        'Vault ', vault_name, ' has logged nothing for ', bound, ' hours since ', to_char(silent_from, '%Y-%m-%d %H:%M'),
        ' UTC, while ', going_on, ' of ', active, ' other vaults go on; in ', active_hours,
        ' hours with records over three weeks its longest pause was ', CAST(coalesce(longest, 0) AS BIGINT), ' hours. ',
        CASE
            WHEN vault_removed = 1 THEN 'The vault was removed about that time.'
            WHEN setting_removed = 1 THEN 'Its diagnostic setting was deleted about that time.'
            WHEN callers = 0 THEN 'Nobody was answered in the day before.'
            ELSE concat(callers, CASE WHEN callers = 1 THEN ' caller' ELSE ' callers' END, ' used it in the day before: ',
                        array_to_string(array_slice(names, 1, 3), ', '), '.')
        END
    ) AS summary,
    0 AS event_count,
    bound AS silent_hours,
    CAST(coalesce(longest, 0) AS BIGINT) AS longest_pause_hours,
    active_hours AS hours_with_records,
    active AS other_vaults,
    going_on AS other_vaults_going_on,
    callers AS callers_in_the_day_before,
    setting_removed = 1 AS diagnostic_setting_deleted,
    hour + INTERVAL '1 hour' AS last_time
FROM judged
