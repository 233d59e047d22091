-- +++
-- title = "Many objects are polled on a fixed interval"
-- description = """
-- A caller reads the same set of objects of a vault all day and night at an even rate, more often than values change: a poll,
-- whose calls are pods times objects times the rounds of a day. The CSI driver's rotation poll and configuration refreshes do
-- so. Even means that the hours of the day differ little, every hour has calls, and each object is read about alike. It tells
-- the interval, as if every address were one reader, and what the calls cost. Chronic by nature: one alert a caller and vault in
-- a month.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1496"]
-- key = ["principal_id", "vault_name"]
-- every = "1d"
-- window = "1d"
-- lookback = "1d"
-- baseline = "1d"
-- quiet_for = "30d"
-- false_positives = ["A service that is asked evenly all day and reads a secret for each request: see chatty_caller."]
-- response = [
--   "Poll less often (the CSI driver's rotationPollInterval), or only for objects that rotate.",
--   "Let one reader a node or cluster fetch the values, or react to Event Grid's notices in place of polling.",
-- ]
-- references = ["https://learn.microsoft.com/azure/aks/csi-secrets-store-configuration-options"]
-- false_alarm_rate = "Always informational: a matter of the bill."
--
-- [parameters]
-- min_calls = { default = 10000, min = 24, about = "Fewest reads of a caller on a vault in a day." }
-- min_objects = { default = 3, min = 1, about = "Fewest objects." }
-- min_rounds = { default = 48, min = 1, about = "How often a day an object is read at least, on average." }
-- max_spread = { default = 0.25, min = 0.0, about = "Standard deviation of the hours of the day, as a share of their mean." }
-- price = { default = 0.03, min = 0.0, about = "Dollars for ten thousand operations." }
-- log_price = { default = 0.028, min = 0.0, about = "Dollars for ten thousand log records in a workspace." }
-- +++
WITH hourly AS (
    SELECT principal_id, vault_name, hour, max(principal_name) AS principal_name, max(principal_type) AS principal_type,
           CAST(sum(calls) AS DOUBLE) AS calls, min(first_time) AS first_time, max(last_time) AS last_time
    FROM activity
    WHERE hour >= $from AND hour < $to AND operation_class = 'read' AND outcome = 'success' AND distinct_objects > 0
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY principal_id, vault_name, hour
),
daily AS (
    SELECT principal_id, vault_name, date_trunc('day', hour) AS day, max(principal_name) AS principal_name,
           max(principal_type) AS principal_type, sum(calls) AS calls,
           sqrt(greatest(sum(calls * calls) / 24 - power(sum(calls) / 24, 2), 0.0)) / (sum(calls) / 24) AS spread,
           min(first_time) AS first_time, max(last_time) AS last_time
    FROM hourly
    GROUP BY principal_id, vault_name, date_trunc('day', hour)
    HAVING count(*) = 24 AND sum(calls) >= $min_calls
),
steady AS (
    SELECT * FROM daily WHERE spread <= $max_spread AND day >= $from AND day + $window <= $to
),
things AS (
    SELECT s.principal_id, s.vault_name, s.day,
           count(DISTINCT CASE WHEN g.kind = 'object' AND g.successes > 0 THEN g.value END) AS objects,
           count(DISTINCT CASE WHEN g.kind = 'address' THEN g.value END) AS addresses,
           max(CASE WHEN g.kind = 'object' THEN g.successes ELSE 0 END) AS most_read,
           array_slice(array_agg(g.value ORDER BY g.calls DESC, g.value) FILTER (WHERE g.kind = 'object' AND g.successes > 0), 1, 10) AS polled,
           array_slice(array_agg(g.value ORDER BY g.calls DESC, g.value) FILTER (WHERE g.kind = 'address'), 1, 10) AS caller_ip,
           array_slice(array_agg(g.value ORDER BY g.calls DESC, g.value) FILTER (WHERE g.kind = 'client'), 1, 3) AS client_product
    FROM steady s
    JOIN sightings g ON g.principal_id = s.principal_id AND g.vault_name = s.vault_name AND g.day = s.day
    WHERE g.day >= $from AND g.day < $to AND g.kind IN ('object', 'address', 'client')
    GROUP BY s.principal_id, s.vault_name, s.day
)
SELECT
    s.day AS window_start,
    s.day + $window AS window_end,
    s.principal_id,
    s.vault_name,
    s.calls AS observed,
    CAST($min_rounds * t.objects AS DOUBLE) AS expected,
    concat(
        coalesce(s.principal_name, s.principal_id), ' read ', t.objects, ' objects of vault ', s.vault_name, ' ', CAST(s.calls AS BIGINT),
        ' times on ', to_char(s.day, '%Y-%m-%d'), ' from ', t.addresses, CASE WHEN t.addresses = 1 THEN ' address' ELSE ' addresses' END,
        ', day and night at an even rate: each of them polls about every ',
        CAST(round(86400.0 * t.objects * greatest(t.addresses, 1) / s.calls) AS BIGINT), ' seconds. This costs about $',
        CAST(CAST(s.calls * 30 * $price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' a month in operations and $',
        CAST(CAST(s.calls * 30 * $log_price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' to log in a workspace.'
    ) AS summary,
    CAST(s.calls AS BIGINT) AS event_count,
    s.principal_name,
    s.principal_type,
    t.caller_ip,
    t.client_product,
    t.objects AS distinct_objects,
    t.addresses AS distinct_addresses,
    t.polled AS most_polled,
    round(86400.0 * t.objects * greatest(t.addresses, 1) / s.calls) AS interval_seconds,
    s.spread AS spread_of_hours,
    s.first_time,
    s.last_time,
    'operation_class = ''read'' AND outcome = ''success''' AS drilldown_filter
FROM steady s
JOIN things t ON t.principal_id = s.principal_id AND t.vault_name = s.vault_name AND t.day = s.day
WHERE t.objects >= $min_objects AND s.calls >= $min_rounds * t.objects AND t.most_read * t.objects <= 3 * s.calls
