-- +++
-- title = "A vault answers slowly"
-- description = """
-- Compares the mean service time of a vault's operation in an hour with the hours of the two weeks before: it must be several
-- times their mean and twice the worst of them, and long enough for callers to feel. Only answered calls count, and hours with
-- enough of them on both sides. The time is the service's own, so the network has no part in it; near a limit, during an
-- outage of the region, or when a key of another type is used, it grows.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1499.003"]
-- key = ["vault_name", "operation_name"]
-- every = "1h"
-- window = "1h"
-- lookback = "1h"
-- baseline = "15d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["A change to longer keys or to keys in hardware.", "An incident at Azure."]
-- response = [
--   "Look at Azure's service health for the region, and at throttling and near_limit for the vault.",
--   "Let callers cache what they read: then they do not wait.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/alert", "https://attack.mitre.org/techniques/T1499/003/"]
-- false_alarm_rate = "Always informational; an hour twice as slow as the worst of two weeks is about one in a year of a steady vault."
--
-- [parameters]
-- min_calls = { default = 10, min = 1, about = "Fewest calls in an hour, for the hour itself and for those that it is compared with." }
-- min_mean_ms = { default = 100, min = 1, about = "Shortest mean service time that is told, in milliseconds." }
-- ratio = { default = 5.0, min = 1.0, about = "How many times the mean of the hours before." }
-- worst_ratio = { default = 2.0, min = 1.0, about = "How many times the worst hour before." }
-- +++
WITH hourly AS (
    SELECT vault_name, operation_name, hour, sum(calls) AS calls, sum(duration_sum_ms) AS total_ms, max(duration_max_ms) AS max_ms,
           count(DISTINCT principal_id) AS callers,
           CAST(sum(duration_sum_ms) AS DOUBLE) / sum(calls) AS mean_ms
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND outcome = 'success' AND operation_class <> 'notify'
      AND vault_name IS NOT NULL AND operation_name IS NOT NULL AND duration_sum_ms IS NOT NULL
    GROUP BY vault_name, operation_name, hour
    HAVING sum(calls) >= $min_calls
),
compared AS (
    SELECT vault_name, operation_name, hour, calls, max_ms, callers, mean_ms,
           count(*) OVER w AS hours_before, max(mean_ms) OVER w AS worst_ms,
           CAST(sum(total_ms) OVER w AS DOUBLE) / sum(calls) OVER w AS usual_ms
    FROM hourly
    WINDOW w AS (PARTITION BY vault_name, operation_name ORDER BY hour
                 RANGE BETWEEN INTERVAL '14 days' PRECEDING AND INTERVAL '1 hour' PRECEDING)
)
SELECT
    hour AS window_start,
    hour + $window AS window_end,
    vault_name,
    operation_name,
    mean_ms AS observed,
    usual_ms AS expected,
    concat(
        operation_name, ' on vault ', vault_name, ' took ', CAST(round(mean_ms) AS BIGINT), ' ms on average in the hour to ',
        to_char(hour + $window, '%Y-%m-%d %H:%M'), ' UTC (', calls, ' calls of ', callers, CASE WHEN callers = 1 THEN ' caller' ELSE ' callers' END,
        '); usual are ', CAST(round(usual_ms) AS BIGINT), ' ms, and the worst of ', hours_before, ' hours before had ',
        CAST(round(worst_ms) AS BIGINT), '.'
    ) AS summary,
    calls AS event_count,
    max_ms AS longest_ms,
    worst_ms AS worst_hour_before_ms,
    hours_before,
    callers AS distinct_callers,
    'outcome = ''success''' AS drilldown_filter
FROM compared
WHERE hour >= $from AND hour + $window <= $to
  AND 3600 * hours_before >= extract(epoch FROM $min_coverage)
  AND mean_ms >= $min_mean_ms AND mean_ms >= $ratio * usual_ms AND mean_ms >= $worst_ratio * worst_ms
