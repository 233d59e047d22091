-- +++
-- title = "A caller is busy"
-- description = "Counts calls. A fixture of the engine's tests: no baseline, no tail."
-- severity = "low"
-- status = "experimental"
-- techniques = ["T1530"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "10m"
-- quiet_for = "1h"
-- false_positives = ["Everybody who works."]
-- response = "None."
-- references = []
-- false_alarm_rate = "As many as there are busy callers."
--
-- [parameters]
-- least = { default = 5, about = "Fewest calls in a window.", min = 1 }
-- +++
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    count(*) AS observed,
    0.0 AS expected,
    count(*) AS event_count,
    array_agg(DISTINCT object_name ORDER BY object_name) AS object_name,
    max(time) AS last_call
FROM (
    SELECT date_bin($every, time) + ahead AS window_end, principal_id, object_name, time
    FROM events CROSS JOIN (VALUES ($every), ($window)) AS hop (ahead)
    WHERE time >= $from - $lookback AND time < $to
)
WHERE window_end > $from AND window_end <= $to
GROUP BY window_end, principal_id
HAVING count(*) >= $least
