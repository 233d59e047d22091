-- +++
-- title = "Many reads by one caller"
-- description = "Say what it looks for, why that matters, and what it compares with."
-- severity = "low"
-- status = "experimental"
-- techniques = ["T1555.006"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "10m"
-- lookback = "10m"
-- quiet_for = "1h"
-- false_positives = ["What looks like it and is none."]
-- response = ["What to do when it fires."]
-- references = []
-- false_alarm_rate = "Not measured yet."
--
-- [parameters]
-- least = { default = 50, about = "Fewest reads in a window.", min = 1 }
-- +++
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    max(principal_name) AS principal_name,
    count(*) AS observed,
    0.0 AS expected,
    count(*) AS event_count,
    coalesce(max(principal_name), principal_id) || ' read ' || count(*) || ' secrets in ten minutes' AS summary
FROM (
    -- Each record belongs to the windows that end at the next step and at the one after it.
    SELECT date_bin($every, time) + ahead AS window_end, principal_id, principal_name
    FROM events CROSS JOIN (VALUES ($every), ($window)) AS hop (ahead)
    WHERE time >= $from - $lookback AND time < $to AND operation_name = 'SecretGet' AND outcome = 'success'
        AND principal_id IS NOT NULL
)
WHERE window_end > $from AND window_end <= $to
GROUP BY window_end, principal_id
HAVING count(*) >= $least
