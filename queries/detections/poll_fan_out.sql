-- +++
-- title = "Many objects are polled on a fixed interval"
-- description = """
-- A caller reads the same set of objects of a vault again and again, hour by hour at an even rate: a poll, whose calls are pods
-- times objects times rounds. The CSI driver's rotation poll and configuration refreshes do so. Even means that four hours in a
-- row differ little, each object is read about alike, and every address reads nearly every object; behind one address (a NAT)
-- only many calls are told. It says the interval of one reader and what the calls cost. Chronic by nature: one alert a caller
-- and vault in a month.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1496"]
-- key = ["principal_id", "vault_name"]
-- every = "1h"
-- window = "4h"
-- lookback = "4h"
-- baseline = "4h"
-- quiet_for = "30d"
-- false_positives = ["A service that is asked evenly all day and reads its secrets for each request: see chatty_caller."]
-- response = [
--   "Poll less often (the CSI driver's rotationPollInterval), or only for objects that rotate.",
--   "Let one reader a node or cluster fetch the values, or react to Event Grid's notices in place of polling.",
-- ]
-- references = ["https://learn.microsoft.com/azure/aks/csi-secrets-store-configuration-options"]
-- false_alarm_rate = "Always informational: a matter of the bill."
--
-- [parameters]
-- min_calls = { default = 800, min = 4, about = "Fewest reads of a caller on a vault in four hours." }
-- min_calls_alone = { default = 3000, min = 4, about = "The same where they come from fewer addresses than min_addresses." }
-- min_addresses = { default = 3, min = 1, about = "Addresses from which the reads are those of several pods." }
-- min_objects = { default = 3, min = 1, about = "Fewest objects." }
-- min_rounds = { default = 3, min = 1, about = "How often an address reads each object in four hours, on average." }
-- max_spread = { default = 0.25, min = 0.0, about = "Standard deviation of the four hours, as a share of their mean." }
-- min_pairs = { default = 0.7, min = 0.0, max = 1.0, about = "Share of the pairs of address and object that occur." }
-- price = { default = 0.03, min = 0.0, about = "Dollars for ten thousand operations." }
-- log_price = { default = 0.028, min = 0.0, about = "Dollars for ten thousand log records in a workspace." }
-- +++
WITH hourly AS (
    SELECT principal_id, vault_name, hour, CAST(sum(calls) AS DOUBLE) AS calls
    FROM activity
    WHERE hour >= $from - $lookback AND hour < $to AND operation_class = 'read' AND outcome = 'success' AND distinct_objects > 0
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY principal_id, vault_name, hour
),
even AS (
    SELECT principal_id, vault_name, hour + $every AS window_end,
           sqrt(greatest(squares / 4 - power(calls / 4, 2), 0.0)) / (calls / 4) AS spread
    FROM (
        SELECT principal_id, vault_name, hour, count(*) OVER w AS hours, sum(calls) OVER w AS calls, sum(calls * calls) OVER w AS squares
        FROM hourly
        WINDOW w AS (PARTITION BY principal_id, vault_name ORDER BY hour RANGE BETWEEN INTERVAL '3 hours' PRECEDING AND CURRENT ROW)
    ) AS trailing
    WHERE hours = 4 AND calls >= $min_calls AND hour >= $from AND hour + $every <= $to
),
reads AS (
    SELECT date_trunc('hour', e.time) AS hour, e.principal_id, e.vault_name, coalesce(e.caller_ip, '') AS caller_ip,
           concat(e.object_type, '/', e.object_name) AS object, max(e.principal_name) AS principal_name,
           max(e.principal_type) AS principal_type, max(e.app_id) AS app_id, max(e.client_product) AS client_product,
           count(*) AS calls, min(e.time) AS first_time, max(e.time) AS last_time
    FROM events e
    JOIN (SELECT DISTINCT principal_id, vault_name FROM even WHERE spread <= $max_spread) s
      ON s.principal_id = e.principal_id AND s.vault_name = e.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_name IS NOT NULL
    GROUP BY date_trunc('hour', e.time), e.principal_id, e.vault_name, coalesce(e.caller_ip, ''), concat(e.object_type, '/', e.object_name)
),
pairs AS (
    SELECT v.principal_id, v.vault_name, v.window_end, v.spread, r.caller_ip, r.object, max(r.principal_name) AS principal_name,
           max(r.principal_type) AS principal_type, max(r.app_id) AS app_id, max(r.client_product) AS client_product,
           sum(r.calls) AS calls, min(r.first_time) AS first_time, max(r.last_time) AS last_time
    FROM even v
    JOIN reads r ON r.principal_id = v.principal_id AND r.vault_name = v.vault_name AND r.hour < v.window_end AND r.hour >= v.window_end - $window
    WHERE v.spread <= $max_spread
    GROUP BY v.principal_id, v.vault_name, v.window_end, v.spread, r.caller_ip, r.object
),
polls AS (
    SELECT principal_id, vault_name, window_end, max(spread) AS spread, max(principal_name) AS principal_name,
           max(principal_type) AS principal_type, max(app_id) AS app_id, max(client_product) AS client_product,
           sum(calls) AS calls, count(*) AS pairs, count(DISTINCT object) AS objects, count(DISTINCT caller_ip) AS addresses,
           max(calls) AS busiest_pair,
           array_slice(array_agg(DISTINCT object ORDER BY object), 1, 10) AS polled,
           array_slice(array_agg(DISTINCT caller_ip ORDER BY caller_ip), 1, 10) AS caller_ip,
           min(first_time) AS first_time, max(last_time) AS last_time
    FROM pairs
    GROUP BY principal_id, vault_name, window_end
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    CAST(pairs AS DOUBLE) AS expected,
    concat(
        coalesce(principal_name, principal_id), ' read ', objects, ' objects of vault ', vault_name, ' ', calls, ' times in the four hours to ',
        to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC from ', addresses, CASE WHEN addresses = 1 THEN ' address' ELSE ' addresses' END,
        ', hour by hour at an even rate: each of them polls about every ', CAST(round(14400.0 * pairs / calls) AS BIGINT),
        ' seconds. This costs about $', CAST(CAST(calls * 6 * 30 * $price / 10000 AS DECIMAL(14, 2)) AS VARCHAR),
        ' a month in operations and $', CAST(CAST(calls * 6 * 30 * $log_price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' to log in a workspace.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    caller_ip,
    client_product,
    objects AS distinct_objects,
    addresses AS distinct_addresses,
    polled,
    round(14400.0 * pairs / calls) AS interval_seconds,
    spread AS spread_of_hours,
    first_time,
    last_time,
    'operation_class = ''read'' AND outcome = ''success''' AS drilldown_filter
FROM polls
WHERE objects >= $min_objects AND calls >= $min_rounds * pairs AND pairs >= $min_pairs * objects * addresses
  AND busiest_pair * pairs <= 3 * calls
  AND (addresses >= $min_addresses OR calls >= $min_calls_alone)
