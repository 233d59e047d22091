-- +++
-- title = "A caller answers throttling with more calls"
-- description = """
-- A vault that answers 429 asks its callers to wait 1, 2, 4, 8, 16 seconds. A caller that calls again within a second each
-- time stays throttled and throttles others. Counts, in ten minutes, the 429s of one caller at one vault that were followed by
-- its next call for the same object from the same address within a second. Fires where this is the rule, where most of the
-- caller's calls for those objects were answered 429, and where it is out of line with the caller's own busiest ten minutes of
-- 429s before.
-- """
-- severity = "low"
-- status = "experimental"
-- techniques = ["T1499.003"]
-- key = ["principal_id", "vault_name"]
-- every = "5m"
-- window = "10m"
-- lookback = "10m"
-- baseline = "15d"
-- quiet_for = "12h"
-- false_positives = ["A load test.", "A batch that meets the limit once a month and retries too fast each time."]
-- response = [
--   "Tell the owner of the caller to back off after a 429: 1, 2, 4, 8, 16 s; the SDKs do so unless told otherwise.",
--   "Look whether the load itself is meant: a loop over one object needs a cache, many keys another vault.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/overview-throttling"]
-- false_alarm_rate = "A client that backs off cannot reach it; a chronic storm is informational after its first day; none at low or above in 100 simulated days of 60 to 150 callers."
--
-- [parameters]
-- min_throttled = { default = 60, min = 10, about = "Fewest 429s in ten minutes." }
-- min_share = { default = 0.5, min = 0.0, max = 1.0, about = "Least share of the caller's calls for those objects that was answered 429." }
-- min_hasty = { default = 0.7, min = 0.0, max = 1.0, about = "Least share of the 429s that were followed by a call within a second." }
-- ratio = { default = 2.0, min = 1.0, about = "How many times the caller's own busiest ten minutes of 429s, else it is chronic." }
-- history = { default = "14d", about = "How far back the own 429s count; at most the baseline less a day." }
-- +++
WITH throttled AS (
    SELECT principal_id, vault_name, date_bin($every, time) AS bin, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'throttled' AND principal_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY principal_id, vault_name, date_bin($every, time)
),
candidates AS (
    -- Ten minutes are two steps.
    SELECT principal_id, vault_name, window_end, date_trunc('hour', window_end - $window) AS as_of
    FROM (
        SELECT principal_id, vault_name, calls, bin + ahead AS window_end
        FROM throttled CROSS JOIN (VALUES ($every), ($window)) AS hop (ahead)
    )
    WHERE window_end > $from AND window_end <= $to
    GROUP BY principal_id, vault_name, window_end
    HAVING sum(calls) >= $min_throttled
),
calls AS (
    SELECT e.principal_id, e.vault_name, e.time, e.outcome, e.principal_type, e.principal_name, e.app_id, e.operation_name, e.object_name, e.caller_ip,
           e.client_product, e.object_type
    FROM (SELECT DISTINCT principal_id, vault_name FROM candidates) c
    JOIN events e ON e.principal_id = c.principal_id AND e.vault_name = c.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to
),
followed AS (
    -- Within a window only what it holds counts: the call after its last is none of it.
    SELECT c.window_end, c.as_of, e.*,
           lead(e.time) OVER (
               PARTITION BY c.window_end, e.principal_id, e.vault_name, e.caller_ip, e.object_type, e.object_name, e.operation_name ORDER BY e.time
           ) AS next_time
    FROM candidates c
    JOIN calls e ON e.principal_id = c.principal_id AND e.vault_name = c.vault_name
     AND e.time >= c.window_end - $window AND e.time < c.window_end
),
objects AS (
    SELECT principal_id, vault_name, window_end, max(as_of) AS as_of, caller_ip, object_type, object_name, operation_name,
           max(principal_type) AS principal_type, max(principal_name) AS principal_name, max(app_id) AS app_id, max(client_product) AS client_product,
           count(*) AS calls, count(*) FILTER (WHERE outcome = 'throttled') AS throttled,
           count(*) FILTER (WHERE outcome = 'throttled' AND next_time < time + INTERVAL '1 second') AS hasty,
           min(time) AS first_time, max(time) AS last_time
    FROM followed
    GROUP BY principal_id, vault_name, window_end, caller_ip, object_type, object_name, operation_name
    HAVING count(*) FILTER (WHERE outcome = 'throttled') > 0
),
storms AS (
    SELECT principal_id, vault_name, window_end, max(as_of) AS as_of, max(principal_type) AS principal_type, max(principal_name) AS principal_name,
           max(app_id) AS app_id, sum(calls) AS calls, sum(throttled) AS throttled, sum(hasty) AS hasty,
           array_agg(DISTINCT caller_ip ORDER BY caller_ip) AS caller_ip, array_agg(DISTINCT operation_name ORDER BY operation_name) AS operation_name,
           array_agg(DISTINCT object_name ORDER BY object_name) FILTER (WHERE object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT client_product ORDER BY client_product) AS client_product, min(first_time) AS first_time, max(last_time) AS last_time
    FROM objects
    GROUP BY principal_id, vault_name, window_end
    HAVING sum(throttled) >= $min_throttled AND sum(throttled) >= $min_share * sum(calls) AND sum(hasty) >= $min_hasty * sum(throttled)
),
past AS (
    SELECT s.principal_id, s.vault_name, s.window_end, max(a.peak) AS peak
    FROM storms s
    JOIN (
        SELECT principal_id, vault_name, hour, CAST(sum(peak_10min) AS DOUBLE) AS peak
        FROM activity
        WHERE outcome = 'throttled' AND hour >= $from - $lookback - $baseline AND hour < $to
        GROUP BY principal_id, vault_name, hour
    ) a ON a.principal_id = s.principal_id AND a.vault_name = s.vault_name AND a.hour >= s.as_of - $history
    -- The day before a window is the storm itself, or its start: it excuses nothing.
    WHERE a.hour + INTERVAL '1 day' <= s.as_of
    GROUP BY s.principal_id, s.vault_name, s.window_end
),
others AS (
    SELECT s.principal_id, s.vault_name, s.window_end, count(DISTINCT t.principal_id) AS callers
    FROM storms s
    JOIN throttled t ON t.vault_name = s.vault_name AND t.principal_id <> s.principal_id AND t.bin >= s.window_end - $window AND t.bin < s.window_end
    GROUP BY s.principal_id, s.vault_name, s.window_end
)
SELECT
    s.window_end - $window AS window_start,
    s.window_end,
    s.principal_id,
    s.vault_name,
    CAST(s.hasty AS DOUBLE) AS observed,
    coalesce(p.peak, 0.0) AS expected,
    CASE
        WHEN s.throttled < $ratio * coalesce(p.peak, 0) THEN 'informational'
        WHEN coalesce(o.callers, 0) > 0 THEN 'medium'
        ELSE 'low'
    END AS severity,
    concat(
        coalesce(s.principal_name, s.principal_id), ' was answered 429 ', s.throttled, ' times of ', s.calls, ' calls at vault ', s.vault_name,
        ' in the ten minutes to ', to_char(s.window_end, '%Y-%m-%d %H:%M'), ' UTC and called again within a second after ', s.hasty,
        ' of them in place of waiting; ',
        CASE WHEN p.peak IS NULL THEN 'it was not throttled in the two weeks before'
             ELSE concat('its busiest ten minutes of 429s before had ', CAST(p.peak AS BIGINT)) END,
        CASE WHEN coalesce(o.callers, 0) = 0 THEN '' WHEN o.callers = 1 THEN '; another caller was throttled beside it'
             ELSE concat('; ', o.callers, ' other callers were throttled beside it') END,
        '.'
    ) AS summary,
    s.throttled AS event_count,
    s.principal_name,
    s.principal_type,
    s.app_id,
    s.operation_name,
    s.object_name,
    s.caller_ip,
    s.client_product,
    s.throttled AS throttled_calls,
    s.calls AS total_calls,
    1.0 * s.hasty / s.throttled AS hasty_share,
    coalesce(o.callers, 0) AS suffering_callers,
    s.first_time,
    s.last_time,
    'outcome = ''throttled''' AS drilldown_filter
FROM storms s
LEFT JOIN past p ON p.principal_id = s.principal_id AND p.vault_name = s.vault_name AND p.window_end = s.window_end
LEFT JOIN others o ON o.principal_id = s.principal_id AND o.vault_name = s.vault_name AND o.window_end = s.window_end
