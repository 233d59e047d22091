-- +++
-- title = "Billed operations grow"
-- description = """
-- Counts the billed operations of a caller, and of a vault, in a trailing day (answered calls of operations that are billed for certain)
-- and looks for two shapes. A step: more than twice the busiest day of four weeks, which twice the
-- pods of a service do not reach. A climb: the last seven days are well above
-- the seven before, and those above the seven before them, whole weeks each, so that weekends do not matter. A vault is told
-- only for what is left without the callers that are told themselves. The sentence says what it costs in a month at public
-- prices: operations, and about as much again for logging them to an analytics workspace.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1496"]
-- key = ["principal_id", "vault_name"]
-- every = "6h"
-- window = "1d"
-- lookback = "1d"
-- baseline = "31d"
-- quiet_for = "14d"
-- min_coverage = "7d"
-- false_positives = ["A business that grows, a load test, a batch at the month's end."]
-- response = [
--   "Tell the caller's owner; see chatty_caller, client_per_call and poll_fan_out for the usual reasons.",
--   "Cache what is read for some minutes.",
-- ]
-- references = ["https://azure.microsoft.com/pricing/details/key-vault/"]
-- false_alarm_rate = "A matter of the bill: informational, and low from half a million operations a day more than ever."
--
-- [parameters]
-- min_extra = { default = 1000, min = 1, about = "Fewest operations a day above the busiest day before, or above the first of three weeks' daily mean." }
-- ratio = { default = 2.2, min = 1.0, about = "How many times the busiest day before makes a step." }
-- climb = { default = 1.3, min = 1.0, about = "How many times the week before, twice in a row, makes a climb." }
-- low_extra = { default = 500000, min = 1, about = "Operations a day more from which it is low." }
-- price = { default = 0.03, min = 0.0, about = "Dollars for ten thousand operations." }
-- log_price = { default = 0.028, min = 0.0, about = "Dollars for ten thousand log records in a workspace." }
-- +++
WITH parts AS (
    SELECT a.principal_id, a.vault_name, date_bin($every, a.hour) AS bin, max(a.principal_name) AS principal_name,
           max(a.principal_type) AS principal_type, sum(a.calls) AS calls
    FROM activity a
    JOIN operations o ON o.operation_name = a.operation_name
    WHERE a.hour >= $from - $lookback - $baseline AND a.hour < $to AND a.outcome = 'success' AND o.billed
      AND a.vault_name IS NOT NULL
    GROUP BY a.principal_id, a.vault_name, date_bin($every, a.hour)
),
callers AS (
    SELECT principal_id, CAST(NULL AS VARCHAR) AS vault_name, principal_id AS series, bin, max(principal_name) AS principal_name,
           max(principal_type) AS principal_type, sum(calls) AS part,
           first_value(vault_name ORDER BY calls DESC, vault_name) AS main, max(calls) AS main_calls
    FROM parts
    WHERE principal_id IS NOT NULL
    GROUP BY principal_id, bin
),
told_callers AS (
    SELECT * FROM (
        SELECT *, extract(epoch FROM bin - min(bin) OVER before) AS known, max(calls) OVER before AS busiest,
               sum(part) OVER w1 AS week1, sum(part) OVER w2 AS week2, sum(part) OVER w3 AS week3,
               extract(epoch FROM bin - min(bin) OVER w3) AS known3
        FROM (
            SELECT *, sum(part) OVER (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '18 hours' PRECEDING AND CURRENT ROW) AS calls
            FROM callers
        ) AS trailing
        WINDOW before AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '672 hours' PRECEDING AND INTERVAL '24 hours' PRECEDING),
               w1 AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '162 hours' PRECEDING AND CURRENT ROW),
               w2 AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '330 hours' PRECEDING AND INTERVAL '168 hours' PRECEDING),
               w3 AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '498 hours' PRECEDING AND INTERVAL '336 hours' PRECEDING)
    ) AS framed
    WHERE known >= extract(epoch FROM $min_coverage)
      AND ((calls >= $ratio * busiest AND calls - busiest >= $min_extra)
        OR (known3 >= 86400 * 18 AND week1 >= $climb * week2 AND week2 >= $climb * week3 AND week1 - week3 >= 7 * $min_extra))
),
vaults_alone AS (
    SELECT CAST(NULL AS VARCHAR) AS principal_id, d.vault_name, d.vault_name AS series, d.bin, CAST(NULL AS VARCHAR) AS principal_name,
           CAST(NULL AS VARCHAR) AS principal_type, sum(d.calls) AS part,
           sum(CASE WHEN t.principal_id IS NULL THEN d.calls ELSE 0 END) AS untold_part,
           first_value(coalesce(d.principal_name, d.principal_id) ORDER BY d.calls DESC, d.principal_id) AS main, max(d.calls) AS main_calls
    FROM parts d
    LEFT JOIN (SELECT DISTINCT principal_id, bin FROM told_callers) t ON t.principal_id = d.principal_id AND t.bin = d.bin
    GROUP BY d.vault_name, d.bin
),
told_vaults AS (
    SELECT * FROM (
        SELECT *, extract(epoch FROM bin - min(bin) OVER before) AS known, max(calls) OVER before AS busiest,
               sum(part) OVER w1 AS week1, sum(untold_part) OVER w1 AS untold1, sum(part) OVER w2 AS week2, sum(part) OVER w3 AS week3,
               extract(epoch FROM bin - min(bin) OVER w3) AS known3
        FROM (
            SELECT *, sum(part) OVER w AS calls, sum(untold_part) OVER w AS untold
            FROM vaults_alone
            WINDOW w AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '18 hours' PRECEDING AND CURRENT ROW)
        ) AS trailing
        WINDOW before AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '672 hours' PRECEDING AND INTERVAL '24 hours' PRECEDING),
               w1 AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '162 hours' PRECEDING AND CURRENT ROW),
               w2 AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '330 hours' PRECEDING AND INTERVAL '168 hours' PRECEDING),
               w3 AS (PARTITION BY series ORDER BY bin RANGE BETWEEN INTERVAL '498 hours' PRECEDING AND INTERVAL '336 hours' PRECEDING)
    ) AS framed
    WHERE known >= extract(epoch FROM $min_coverage)
      AND ((untold >= $ratio * busiest AND untold - busiest >= $min_extra)
        OR (known3 >= 86400 * 18 AND untold1 >= $climb * week2 AND week2 >= $climb * week3 AND untold1 - week3 >= 7 * $min_extra))
),
told AS (
    SELECT principal_id, vault_name, series, bin, principal_name, principal_type, calls, main, main_calls, known, busiest, week1, week2, week3
    FROM told_callers
    UNION ALL
    SELECT principal_id, vault_name, series, bin, principal_name, principal_type, calls, main, main_calls, known, busiest, week1, week2, week3
    FROM told_vaults
),
judged AS (
    SELECT *, calls >= $ratio * busiest AND calls - busiest >= $min_extra AS is_step,
           CASE WHEN calls >= $ratio * busiest AND calls - busiest >= $min_extra THEN CAST(calls - busiest AS DOUBLE)
                ELSE (week1 - week3) / 7.0 END AS extra
    FROM told
    WHERE bin >= $from AND bin + $every <= $to
),
leading AS (
    -- The operation that most of the day is.
    SELECT series, bin, of_vault, first_value(operation_name ORDER BY calls DESC, operation_name) AS operation, max(calls) AS calls
    FROM (
        SELECT j.series, j.bin, a.of_vault, a.operation_name, CAST(sum(a.calls) AS BIGINT) AS calls
        FROM judged j
        JOIN (
            SELECT principal_id AS series, hour, operation_name, false AS of_vault, calls
            FROM activity
            WHERE hour >= $from - $lookback AND hour < $to AND outcome = 'success' AND principal_id IS NOT NULL AND vault_name IS NOT NULL
            UNION ALL
            SELECT vault_name, hour, operation_name, true, calls
            FROM activity
            WHERE hour >= $from - $lookback AND hour < $to AND outcome = 'success' AND vault_name IS NOT NULL
        ) AS a ON a.series = j.series AND a.of_vault = (j.principal_id IS NULL)
        JOIN operations o ON o.operation_name = a.operation_name
        WHERE a.hour >= j.bin + $every - $window AND a.hour < j.bin + $every AND o.billed
        GROUP BY j.series, j.bin, a.of_vault, a.operation_name
    ) AS parts_of_the_day
    GROUP BY series, bin, of_vault
)
SELECT
    j.bin + $every - $window AS window_start,
    j.bin + $every AS window_end,
    j.principal_id,
    j.vault_name,
    CAST(j.calls AS DOUBLE) AS observed,
    CASE WHEN is_step THEN CAST(busiest AS DOUBLE) ELSE week3 / 7.0 END AS expected,
    CASE WHEN extra >= $low_extra THEN 'low' ELSE 'informational' END AS severity,
    concat(
        CASE WHEN j.principal_id IS NULL THEN concat('Vault ', j.series, ' answered ') ELSE concat(coalesce(j.principal_name, j.principal_id), ' made ') END,
        j.calls, ' billed operations in the day to ', to_char(j.bin + $every, '%Y-%m-%d %H:%M'), ' UTC',
        CASE WHEN is_step THEN concat('; its busiest of ', CAST(round(known / 86400) AS BIGINT), ' days before had ', busiest)
             ELSE concat('; it made ', week1, ' in seven days, ', week2, ' in the seven before and ', week3, ' in the seven before them') END,
        '. ', CASE WHEN l.calls = j.calls THEN concat('All of them are ', l.operation)
                   ELSE concat(l.operation, ' makes ', l.calls, ' of the day''s ', j.calls) END,
        '. Most of the last six hours is ', CASE WHEN j.principal_id IS NULL THEN 'of ' ELSE 'on vault ' END, main, ' (', main_calls, '). What came on top costs about $',
        CAST(CAST(extra * 30 * $price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' a month in operations and $',
        CAST(CAST(extra * 30 * $log_price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' to log in a workspace.'
    ) AS summary,
    j.calls AS event_count,
    principal_name,
    principal_type,
    CASE WHEN is_step THEN 'step' ELSE 'climb' END AS shape,
    extra AS extra_operations_a_day,
    busiest AS busiest_day_before,
    week1 AS last_seven_days,
    week2 AS seven_days_before,
    week3 AS seven_days_before_those,
    main AS largest_part,
    main_calls AS largest_part_calls,
    l.operation AS leading_operation,
    l.calls AS leading_calls,
    round(known / 86400, 1) AS days_before,
    'outcome = ''success''' AS drilldown_filter
FROM judged j
JOIN leading l ON l.series = j.series AND l.bin = j.bin AND l.of_vault = (j.principal_id IS NULL)
