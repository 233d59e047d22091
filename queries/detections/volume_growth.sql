-- +++
-- title = "Billed operations grow"
-- description = """
-- Counts the billed operations of a caller, and of a vault, on a day (answered calls of operations that are billed for certain)
-- and looks for two shapes. A step: several times the busiest day of four weeks. A climb: the last seven days are well above
-- the seven before, and those above the seven before them, whole weeks each, so that weekends do not matter. A vault is told
-- only for what is left without the callers that are told themselves. The sentence says what it costs in a month at public
-- prices: operations, and about as much again for logging them to an analytics workspace.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1496"]
-- key = ["principal_id", "vault_name"]
-- every = "1d"
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
-- min_extra = { default = 20000, min = 1, about = "Fewest operations a day above the busiest day before, or above the first of three weeks' daily mean." }
-- ratio = { default = 3.0, min = 1.0, about = "How many times the busiest day before makes a step." }
-- climb = { default = 1.3, min = 1.0, about = "How many times the week before, twice in a row, makes a climb." }
-- low_extra = { default = 500000, min = 1, about = "Operations a day more from which it is low." }
-- price = { default = 0.03, min = 0.0, about = "Dollars for ten thousand operations." }
-- log_price = { default = 0.028, min = 0.0, about = "Dollars for ten thousand log records in a workspace." }
-- +++
WITH daily AS (
    SELECT a.principal_id, a.vault_name, date_trunc('day', a.hour) AS day, max(a.principal_name) AS principal_name,
           max(a.principal_type) AS principal_type, sum(a.calls) AS calls
    FROM activity a
    JOIN operations o ON o.operation_name = a.operation_name
    WHERE a.hour >= date_trunc('day', $from - $lookback - $baseline) AND a.hour < $to AND a.outcome = 'success' AND o.billed
      AND a.vault_name IS NOT NULL
    GROUP BY a.principal_id, a.vault_name, date_trunc('day', a.hour)
),
callers AS (
    SELECT principal_id, CAST(NULL AS VARCHAR) AS vault_name, principal_id AS series, day, max(principal_name) AS principal_name,
           max(principal_type) AS principal_type, sum(calls) AS calls,
           first_value(vault_name ORDER BY calls DESC, vault_name) AS main, max(calls) AS main_calls
    FROM daily
    WHERE principal_id IS NOT NULL
    GROUP BY principal_id, day
),
told_callers AS (
    SELECT * FROM (
        SELECT *, count(*) OVER before AS days, max(calls) OVER before AS busiest,
               sum(calls) OVER w1 AS week1, sum(calls) OVER w2 AS week2, sum(calls) OVER w3 AS week3, count(*) OVER w3 AS days3
        FROM callers
        WINDOW before AS (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 day' PRECEDING),
               w1 AS (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW),
               w2 AS (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL '13 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
               w3 AS (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL '20 days' PRECEDING AND INTERVAL '14 days' PRECEDING)
    ) AS framed
    WHERE 86400 * days >= extract(epoch FROM $min_coverage)
      AND ((calls >= $ratio * busiest AND calls - busiest >= $min_extra)
        OR (days3 >= 5 AND week1 >= $climb * week2 AND week2 >= $climb * week3 AND week1 - week3 >= 7 * $min_extra))
),
vaults_alone AS (
    SELECT CAST(NULL AS VARCHAR) AS principal_id, d.vault_name, d.vault_name AS series, d.day, CAST(NULL AS VARCHAR) AS principal_name,
           CAST(NULL AS VARCHAR) AS principal_type, sum(d.calls) AS calls,
           sum(CASE WHEN t.principal_id IS NULL THEN d.calls ELSE 0 END) AS untold,
           first_value(coalesce(d.principal_name, d.principal_id) ORDER BY d.calls DESC, d.principal_id) AS main, max(d.calls) AS main_calls
    FROM daily d
    LEFT JOIN (SELECT DISTINCT principal_id, day FROM told_callers) t ON t.principal_id = d.principal_id AND t.day = d.day
    GROUP BY d.vault_name, d.day
),
told_vaults AS (
    SELECT * FROM (
        SELECT *, count(*) OVER before AS days, max(calls) OVER before AS busiest,
               sum(calls) OVER w1 AS week1, sum(untold) OVER w1 AS untold1, sum(calls) OVER w2 AS week2, sum(calls) OVER w3 AS week3,
               count(*) OVER w3 AS days3
        FROM vaults_alone
        WINDOW before AS (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '1 day' PRECEDING),
               w1 AS (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL '6 days' PRECEDING AND CURRENT ROW),
               w2 AS (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL '13 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
               w3 AS (PARTITION BY series ORDER BY day RANGE BETWEEN INTERVAL '20 days' PRECEDING AND INTERVAL '14 days' PRECEDING)
    ) AS framed
    WHERE 86400 * days >= extract(epoch FROM $min_coverage)
      AND ((untold >= $ratio * busiest AND untold - busiest >= $min_extra)
        OR (days3 >= 5 AND untold1 >= $climb * week2 AND week2 >= $climb * week3 AND untold1 - week3 >= 7 * $min_extra))
),
told AS (
    SELECT principal_id, vault_name, series, day, principal_name, principal_type, calls, main, main_calls, days, busiest, week1, week2, week3
    FROM told_callers
    UNION ALL
    SELECT principal_id, vault_name, series, day, principal_name, principal_type, calls, main, main_calls, days, busiest, week1, week2, week3
    FROM told_vaults
),
judged AS (
    SELECT *, calls >= $ratio * busiest AND calls - busiest >= $min_extra AS is_step,
           CASE WHEN calls >= $ratio * busiest AND calls - busiest >= $min_extra THEN CAST(calls - busiest AS DOUBLE)
                ELSE (week1 - week3) / 7.0 END AS extra
    FROM told
    WHERE day >= $from AND day + $window <= $to
)
SELECT
    day AS window_start,
    day + $window AS window_end,
    principal_id,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    CASE WHEN is_step THEN CAST(busiest AS DOUBLE) ELSE week3 / 7.0 END AS expected,
    CASE WHEN extra >= $low_extra THEN 'low' ELSE 'informational' END AS severity,
    concat(
        CASE WHEN principal_id IS NULL THEN concat('Vault ', series, ' answered ') ELSE concat(coalesce(principal_name, principal_id), ' made ') END,
        calls, ' billed operations on ', to_char(day, '%Y-%m-%d'),
        CASE WHEN is_step THEN concat('; its busiest of ', days, ' days before had ', busiest)
             ELSE concat('; it made ', week1, ' in seven days, ', week2, ' in the seven before and ', week3, ' in the seven before them') END,
        '. Most of it is ', CASE WHEN principal_id IS NULL THEN 'of ' ELSE 'on vault ' END, main, ' (', main_calls, '). What came on top costs about $',
        CAST(CAST(extra * 30 * $price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' a month in operations and $',
        CAST(CAST(extra * 30 * $log_price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' to log in a workspace.'
    ) AS summary,
    calls AS event_count,
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
    days AS days_before,
    'outcome = ''success''' AS drilldown_filter
FROM judged
