-- +++
-- title = "A caller guesses the names of secrets"
-- description = """
-- Counts over a trailing day the names that one caller asked for, that were not found, and that nobody ever used: neither in
-- four weeks of history nor within the day. A name that was there before, or that is made right after (a template asks before
-- it sets), is no guess, and neither is one that this caller misses all the time. The count is compared with that of the
-- caller's own days, shrunk towards the days of callers of its kind.
-- """
-- severity = "medium"
-- status = "experimental"
-- techniques = ["T1555.006", "T1580", "T1110.001"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1d"
-- lookback = "2d"
-- baseline = "31d"
-- quiet_for = "2d"
-- min_coverage = "3d"
-- false_positives = [
--   "A new application that asks for optional settings by name.",
--   "Configuration that points to a vault that is not filled yet.",
-- ]
-- response = [
--   "Read the list of names: settings of one application have a common prefix, guesses are words that any company would use.",
--   "Look for names that were hit between the misses, and rotate those.",
--   "Whoever may read but not list has to guess: ask who holds this credential.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "alpha in each step over all callers; days that overlap are one test, so about one in 2000 days if the model holds; none at low or above in 100 simulated days of 60 to 150 callers."
--
-- [parameters]
-- min_names = { default = 10, min = 3, about = "Fewest different names within a day." }
-- newcomer_names = { default = 30, min = 3, about = "Fewest names of a caller without history for more than information." }
-- uncovered_names = { default = 50, min = 3, about = "The same while the logs cover less than min_coverage." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "28d", about = "How far back the own days count; at most the baseline less two days." }
-- prior_days = { default = 7.0, min = 0.1, about = "Weight of callers of its kind against the caller's own days." }
-- +++
WITH missed AS (
    SELECT principal_id, max(principal_type) AS principal_type, vault_name, object_type, object_name,
           vault_name || '/' || object_type || '/' || object_name AS target, date_bin($every, time) AS bin, count(*) AS calls
    FROM events
    WHERE time >= $from - $window AND time < $to AND outcome = 'not_found'
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL AND object_type IS NOT NULL AND object_name IS NOT NULL
    GROUP BY principal_id, vault_name, object_type, object_name, vault_name || '/' || object_type || '/' || object_name, date_bin($every, time)
),
wide AS (
    SELECT principal_id
    FROM (SELECT DISTINCT principal_id, target FROM missed)
    GROUP BY principal_id
    HAVING count(*) >= $min_names
),
marks AS (
    SELECT m.*, lag(m.bin) OVER (PARTITION BY m.principal_id, m.target ORDER BY m.bin) AS bin_before
    FROM missed m JOIN wide w ON w.principal_id = m.principal_id
),
ends AS (
    -- A trailing count grows only where a name comes that the day did not hold yet.
    SELECT DISTINCT principal_id, bin + $every AS window_end, date_trunc('day', bin + $every - $window) AS base_day
    FROM marks
    WHERE (bin_before IS NULL OR bin_before < bin + $every - $window) AND bin + $every > $from AND bin + $every <= $to
),
names AS (
    SELECT e.principal_id, e.window_end, e.base_day, m.vault_name, m.object_name, m.target, sum(m.calls) AS calls,
           max(m.principal_type) AS principal_type
    FROM ends e
    JOIN marks m ON m.principal_id = e.principal_id AND m.bin < e.window_end AND m.bin >= e.window_end - $window
    GROUP BY e.principal_id, e.window_end, e.base_day, m.vault_name, m.object_name, m.target
),
sought AS (SELECT DISTINCT vault_name, object_type, object_name, target FROM marks),
existing AS (
    -- Who asks before it makes, and who asks for what was deleted a while ago, does not guess.
    SELECT DISTINCT n.principal_id, n.window_end, n.target
    FROM names n
    JOIN (
        SELECT t.target, date_bin($every, e.time) AS bin
        FROM sought t
        JOIN events e ON e.vault_name = t.vault_name AND e.object_type = t.object_type AND e.object_name = t.object_name
        WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome = 'success'
        GROUP BY t.target, date_bin($every, e.time)
    ) made ON made.target = n.target AND made.bin < n.window_end AND made.bin >= n.base_day
),
used AS (
    SELECT DISTINCT b.base_day, s.value
    FROM (SELECT DISTINCT base_day FROM ends) b
    JOIN (
        SELECT s.value, s.day FROM sought t JOIN sightings s ON s.value = t.target
        WHERE s.kind = 'object' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
    ) s ON s.day < b.base_day AND s.day >= b.base_day - $history
),
missed_before AS (
    SELECT DISTINCT e.principal_id, e.base_day, s.value
    FROM (SELECT DISTINCT principal_id, base_day FROM ends) e
    JOIN sightings s ON s.principal_id = e.principal_id AND s.day < e.base_day AND s.day >= e.base_day - $history
    WHERE s.kind = 'object' AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
windows AS (
    SELECT n.principal_id, n.window_end, n.base_day, max(n.principal_type) AS principal_type, count(*) AS names, sum(n.calls) AS calls,
           array_agg(DISTINCT n.vault_name ORDER BY n.vault_name) AS vault_name,
           array_slice(array_agg(DISTINCT n.object_name ORDER BY n.object_name), 1, 100) AS object_name
    FROM names n
    LEFT JOIN missed_before m ON m.principal_id = n.principal_id AND m.base_day = n.base_day AND m.value = n.target
    LEFT JOIN used u ON u.base_day = n.base_day AND u.value = n.target
    LEFT JOIN existing x ON x.principal_id = n.principal_id AND x.window_end = n.window_end AND x.target = n.target
    WHERE m.value IS NULL AND u.value IS NULL AND x.target IS NULL
    GROUP BY n.principal_id, n.window_end, n.base_day
    HAVING count(*) >= $min_names
),
days AS (SELECT DISTINCT base_day FROM windows),
daily AS (
    -- A row a caller and day: objects that it asked for and never got.
    SELECT d.principal_id, d.day, CAST(coalesce(f.objects, 0) AS DOUBLE) AS objects
    FROM (
        SELECT DISTINCT principal_id, day FROM sightings
        WHERE kind = 'vault' AND principal_id IS NOT NULL AND day >= $from - $lookback - $baseline AND day < $to
    ) d
    LEFT JOIN (
        SELECT principal_id, day, count(*) AS objects FROM sightings
        WHERE kind = 'object' AND successes = 0 AND day >= $from - $lookback - $baseline AND day < $to
        GROUP BY principal_id, day
    ) f ON f.principal_id = d.principal_id AND f.day = d.day
),
past AS (
    SELECT b.base_day, d.principal_id, count(*) AS days, sum(d.objects) AS total, sum(d.objects * d.objects) AS squares, max(d.objects) AS peak,
           sum(least(d.objects, $min_names)) AS cut_total, sum(power(least(d.objects, $min_names), 2)) AS cut_squares
    FROM days b JOIN daily d ON d.day < b.base_day AND d.day >= b.base_day - $history
    GROUP BY b.base_day, d.principal_id
),
peers AS (
    -- A hundred days with few misses stand in where there are few callers. What is looked for excuses no other caller: days
    -- count up to min_names.
    SELECT base_day, count(*) AS callers, (sum(cut_total) + 100 * 0.1) / (sum(days) + 100) AS mean, (sum(cut_squares) + 100 * 0.4) / (sum(days) + 100) AS square
    FROM past GROUP BY base_day
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
moments AS (
    SELECT w.*, coalesce(o.days, 0) AS days, coalesce(o.peak, 0) AS peak, coalesce(p.callers, 0) + 1 AS tests, coalesce(c.hours, 0) AS covered_hours,
           (coalesce(o.total, 0) + $prior_days * coalesce(p.mean, 0.1)) / (coalesce(o.days, 0) + $prior_days) AS mean,
           (coalesce(o.squares, 0) + $prior_days * coalesce(p.square, 0.4)) / (coalesce(o.days, 0) + $prior_days) AS square
    FROM windows w
    LEFT JOIN past o ON o.principal_id = w.principal_id AND o.base_day = w.base_day
    LEFT JOIN peers p ON p.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
),
fired AS (
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(
                   CAST(names AS DOUBLE), mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
    )
    WHERE p_value <= $alpha
),
detail AS (
    SELECT f.principal_id, f.window_end, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM fired f
    JOIN events e ON e.principal_id = f.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome = 'not_found'
      AND e.time >= f.window_end - $window AND e.time < f.window_end
    GROUP BY f.principal_id, f.window_end
)
SELECT
    f.window_end - $window AS window_start,
    f.window_end,
    f.principal_id,
    CAST(f.names AS DOUBLE) AS observed,
    f.mean AS expected,
    f.p_value,
    CASE
        WHEN 3600 * f.covered_hours < extract(epoch FROM $min_coverage) AND f.names < $uncovered_names THEN 'informational'
        WHEN coalesce(p.is_known_scanner, false) OR coalesce(a.is_known_scanner, false) THEN 'informational'
        WHEN f.days < 3 AND f.names < $newcomer_names THEN 'informational'
        WHEN f.days >= 3 AND f.names >= $newcomer_names THEN 'high'
        ELSE 'medium'
    END AS severity,
    concat(
        coalesce(d.principal_name, f.principal_id), ' asked for ', f.names, ' names in ',
        CASE WHEN array_length(f.vault_name) = 1 THEN concat('vault ', f.vault_name[1]) ELSE concat(array_length(f.vault_name), ' vaults') END,
        ' in the day to ', to_char(f.window_end, '%Y-%m-%d %H:%M'), ' UTC that do not exist and that nobody ever used, among them ',
        array_to_string(array_slice(f.object_name, 1, 3), ', '), '; ',
        CASE WHEN f.days = 0 THEN 'it has no history'
             ELSE concat('in ', f.days, ' days before it missed at most ', CAST(f.peak AS BIGINT), ' names a day') END,
        '. It guesses.'
    ) AS summary,
    f.calls AS event_count,
    d.principal_name,
    f.principal_type,
    d.app_id,
    f.vault_name,
    f.object_name,
    d.caller_ip,
    d.client_product,
    CAST(f.peak AS BIGINT) AS most_missed_in_a_day_before,
    f.days AS days_before,
    f.tests AS callers_tested,
    f.covered_hours,
    d.first_time,
    d.last_time,
    'outcome = ''not_found''' AS drilldown_filter
FROM fired f
JOIN detail d ON d.principal_id = f.principal_id AND d.window_end = f.window_end
LEFT JOIN principals p ON p.principal_id = f.principal_id
LEFT JOIN principals a ON a.principal_id = d.app_id
