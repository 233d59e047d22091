-- +++
-- title = "A vault answers with server errors"
-- description = """
-- Counts a vault's answers of 500 and above in three hours and compares their share with the vault's two weeks before: a
-- beta-binomial tail, since errors come in clusters, corrected for all vaults tested. A vault that always fails a little
-- has that as its normal. Errors of many callers speak of the service, of one caller for its requests. It is low only where a
-- fifth of all calls of several callers fails.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1499"]
-- key = ["vault_name"]
-- every = "1h"
-- window = "3h"
-- lookback = "3h"
-- baseline = "15d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["An incident at Azure, which is told by its service health as well."]
-- response = [
--   "Look at Azure's service health for the region, and whether the errors are of one operation or key.",
--   "Let callers retry with a back-off, and cache what they read.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/rest-error-codes", "https://attack.mitre.org/techniques/T1499/"]
-- false_alarm_rate = "A chance of 0.0005 in a step over all vaults, and a fifth of the calls of three callers before it is low."
--
-- [parameters]
-- min_errors = { default = 10, min = 1, about = "Fewest errors in three hours." }
-- min_share = { default = 0.02, min = 0.0, max = 1.0, about = "Smallest share of the calls." }
-- low_share = { default = 0.2, min = 0.0, max = 1.0, about = "Share from which it is low." }
-- low_callers = { default = 2, min = 1, about = "Callers with errors from which it is low: one alone may send what the service cannot answer." }
-- usual_share = { default = 0.0005, min = 0.0, max = 1.0, about = "Share of a vault about which nothing is known." }
-- prior_calls = { default = 2000.0, min = 1.0, about = "Calls that this weighs." }
-- concentration = { default = 30.0, min = 1.0, about = "How steady the share is: the beta distribution's alpha + beta." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in a step, over all vaults." }
-- +++
WITH failing AS (
    -- Most vaults have no errors; of them nothing but their number counts.
    SELECT vault_name FROM activity
    WHERE hour >= $from - $lookback AND hour < $to AND outcome = 'server_error'
    GROUP BY vault_name
    HAVING sum(calls) >= $min_errors
),
tested AS (
    SELECT hour, count(DISTINCT vault_name) AS tests FROM coverage WHERE hour >= $from AND hour < $to GROUP BY hour
),
hourly AS (
    SELECT vault_name, hour, sum(calls) AS calls, sum(CASE WHEN outcome = 'server_error' THEN calls ELSE 0 END) AS errors,
           count(DISTINCT CASE WHEN outcome = 'server_error' THEN coalesce(principal_id, '') END) AS callers
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND operation_class NOT IN ('notify', 'policy')
      AND vault_name IN (SELECT vault_name FROM failing)
    GROUP BY vault_name, hour
),
compared AS (
    SELECT vault_name, hour, calls, errors, callers,
           count(*) OVER w AS hours_before, coalesce(sum(hour_errors) OVER w, 0) AS errors_before,
           coalesce(sum(hour_calls) OVER w, 0) AS calls_before, coalesce(max(errors) OVER w, 0) AS worst
    FROM (
        SELECT vault_name, hour, calls AS hour_calls, errors AS hour_errors,
               sum(calls) OVER w AS calls, sum(errors) OVER w AS errors, max(callers) OVER w AS callers
        FROM hourly
        WINDOW w AS (PARTITION BY vault_name ORDER BY hour RANGE BETWEEN INTERVAL '2 hours' PRECEDING AND CURRENT ROW)
    ) AS trailing
    WINDOW w AS (PARTITION BY vault_name ORDER BY hour RANGE BETWEEN INTERVAL '14 days' PRECEDING AND INTERVAL '3 hours' PRECEDING)
),
scored AS (
    SELECT c.*, t.tests, CAST(c.errors AS DOUBLE) / c.calls AS share,
           (c.errors_before + $prior_calls * $usual_share) / (c.calls_before + $prior_calls) AS usual
    FROM compared c
    JOIN tested t ON t.hour = c.hour
    WHERE c.errors >= $min_errors AND c.hour >= $from AND c.hour + $every <= $to
      AND 3600 * hours_before >= extract(epoch FROM $min_coverage)
),
judged AS (
    SELECT *, least(1.0, tests * beta_binomial_sf(CAST(errors AS DOUBLE), CAST(calls AS DOUBLE), usual * $concentration,
                                                  (1.0 - usual) * $concentration)) AS p_value
    FROM scored
    WHERE share >= $min_share AND errors > worst
),
detail AS (
    SELECT j.vault_name, j.hour,
           array_agg(DISTINCT a.operation_name ORDER BY a.operation_name) AS operation_name,
           array_agg(DISTINCT a.principal_id ORDER BY a.principal_id) FILTER (WHERE a.principal_id IS NOT NULL) AS principal_id,
           min(a.first_time) AS first_time, max(a.last_time) AS last_time
    FROM judged j
    JOIN activity a ON a.vault_name = j.vault_name AND a.hour <= j.hour AND a.hour > j.hour - $window
    WHERE a.hour >= $from - $lookback AND a.hour < $to AND a.outcome = 'server_error' AND j.p_value <= $alpha
    GROUP BY j.vault_name, j.hour
)
SELECT
    j.hour + $every - $window AS window_start,
    j.hour + $every AS window_end,
    j.vault_name,
    CAST(j.errors AS DOUBLE) AS observed,
    j.usual * j.calls AS expected,
    j.p_value,
    CASE WHEN j.share >= $low_share AND j.callers >= $low_callers THEN 'low' ELSE 'informational' END AS severity,
    concat(
        'Vault ', j.vault_name, ' answered ', j.errors, ' of ', j.calls, ' calls (', CAST(round(100 * j.share) AS BIGINT),
        ' %) with a server error in the three hours to ', to_char(j.hour + $every, '%Y-%m-%d %H:%M'), ' UTC, of ', j.callers,
        CASE WHEN j.callers = 1 THEN ' caller' ELSE ' callers' END, ' (', array_to_string(array_slice(d.operation_name, 1, 3), ', '),
        '); usual are ', round(j.usual * j.calls, 1), ', and the worst three of ', j.hours_before, ' hours before had ', j.worst, '.'
    ) AS summary,
    j.errors AS event_count,
    d.operation_name,
    d.principal_id,
    j.share AS share_of_calls,
    j.callers AS distinct_callers,
    j.worst AS worst_three_hours_before,
    j.hours_before,
    j.tests AS vaults_tested,
    d.first_time,
    d.last_time,
    'outcome = ''server_error''' AS drilldown_filter
FROM judged j
JOIN detail d ON d.vault_name = j.vault_name AND d.hour = j.hour
WHERE j.p_value <= $alpha
