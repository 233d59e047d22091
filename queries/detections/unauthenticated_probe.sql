-- +++
-- title = "An address asks many vaults without a token"
-- description = """
-- A client's first call has no token, is answered 401 and is repeated with one: that is normal. An address that is answered
-- 401 by many vaults within a day and shows no valid token at any of them looks which vaults there are. Counts, for one address,
-- the vaults that it never came to in four weeks and that saw no authenticated call of it within the day, whatever its result.
-- The count is compared with that of all addresses' days.
-- """
-- severity = "medium"
-- status = "experimental"
-- techniques = ["T1595.003", "T1580"]
-- key = ["caller_ip"]
-- every = "5m"
-- window = "1d"
-- lookback = "1d"
-- baseline = "31d"
-- quiet_for = "2d"
-- min_coverage = "3d"
-- false_positives = [
--   "A new availability monitor or certificate check that only asks whether the vaults answer.",
--   "A machine whose identity cannot obtain a token.",
-- ]
-- response = [
--   "Nothing was read: a 401 gives away that the vault exists, and its tenant.",
--   "Look for the address in the sign-in log and in other vaults' logs; whoever lists vaults tries credentials next.",
--   "Close public network access of vaults that need none.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses"]
-- false_alarm_rate = "alpha in each step over all addresses of a day; days that overlap are one test, so about one in 2000 days if the model holds; none at low or above in 100 simulated days of 60 to 150 callers."
--
-- [parameters]
-- min_vaults = { default = 4, min = 2, about = "Fewest vaults asked without a token within a day." }
-- uncovered_vaults = { default = 8, min = 2, about = "The vaults needed for more than information while the logs cover less than min_coverage." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all addresses tested." }
-- history = { default = "28d", about = "How far back addresses count; at most the baseline less two days." }
-- +++
WITH challenged AS (
    SELECT caller_ip, vault_name, date_bin($every, time) AS bin, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND principal_id IS NULL
      AND (outcome = 'challenge' OR denial_reason = 'authentication')
      AND caller_ip IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY caller_ip, vault_name, date_bin($every, time)
),
wide AS (
    SELECT caller_ip FROM (SELECT DISTINCT caller_ip, vault_name FROM challenged)
    GROUP BY caller_ip HAVING count(*) >= $min_vaults
),
answered AS (
    -- With a token, be it refused: the challenge did what it is for.
    SELECT e.caller_ip, e.vault_name, date_bin($every, e.time) AS bin
    FROM wide w JOIN events e ON e.caller_ip = w.caller_ip
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.principal_id IS NOT NULL AND e.vault_name IS NOT NULL
    GROUP BY e.caller_ip, e.vault_name, date_bin($every, e.time)
),
marks AS (
    SELECT c.*, lag(c.bin) OVER (PARTITION BY c.caller_ip, c.vault_name ORDER BY c.bin) AS bin_before
    FROM challenged c JOIN wide w ON w.caller_ip = c.caller_ip
),
ends AS (
    -- A trailing count grows only where a vault comes that the day did not hold yet.
    SELECT DISTINCT caller_ip, bin + $every AS window_end, date_trunc('day', bin + $every - $window) AS base_day
    FROM marks
    WHERE (bin_before IS NULL OR bin_before < bin + $every - $window) AND bin + $every > $from AND bin + $every <= $to
),
asked AS (
    SELECT e.caller_ip, e.window_end, e.base_day, m.vault_name, sum(m.calls) AS calls
    FROM ends e
    JOIN marks m ON m.caller_ip = e.caller_ip AND m.bin < e.window_end AND m.bin >= e.window_end - $window
    GROUP BY e.caller_ip, e.window_end, e.base_day, m.vault_name
),
token AS (
    SELECT DISTINCT e.caller_ip, e.window_end, a.vault_name
    FROM ends e
    JOIN answered a ON a.caller_ip = e.caller_ip AND a.bin < e.window_end AND a.bin >= e.window_end - $window
),
known AS (
    -- With a token or without: who came for days is no news.
    SELECT DISTINCT e.caller_ip, e.base_day, s.vault_name
    FROM (SELECT DISTINCT caller_ip, base_day FROM ends) e
    JOIN sightings s ON s.value = e.caller_ip AND s.day < e.base_day AND s.day >= e.base_day - $history
    WHERE s.kind = 'address' AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
windows AS (
    SELECT a.caller_ip, a.window_end, a.base_day, count(*) AS vaults, sum(a.calls) AS calls,
           array_agg(a.vault_name ORDER BY a.vault_name) AS vault_name
    FROM asked a
    LEFT JOIN token t ON t.caller_ip = a.caller_ip AND t.window_end = a.window_end AND t.vault_name = a.vault_name
    LEFT JOIN known k ON k.caller_ip = a.caller_ip AND k.base_day = a.base_day AND k.vault_name = a.vault_name
    WHERE t.vault_name IS NULL AND k.vault_name IS NULL
    GROUP BY a.caller_ip, a.window_end, a.base_day
    HAVING count(*) >= $min_vaults
),
days AS (SELECT DISTINCT base_day FROM windows),
daily AS (
    -- A row an address and day: vaults that it asked and showed no token. What is looked for excuses nobody: cut off.
    SELECT day, count(*) AS addresses, CAST(sum(least(vaults, $min_vaults)) AS DOUBLE) AS total,
           CAST(sum(power(least(vaults, $min_vaults), 2)) AS DOUBLE) AS squares
    FROM (
        SELECT day, value, count(*) FILTER (WHERE tokens = 0) AS vaults
        FROM (
            SELECT day, value, vault_name, count(principal_id) AS tokens
            FROM sightings
            WHERE kind = 'address' AND day >= $from - $lookback - $baseline AND day < $to
            GROUP BY day, value, vault_name
        )
        GROUP BY day, value
    )
    GROUP BY day
),
usual AS (
    -- A hundred addresses of which five ask one vault in vain stand in where little is known.
    SELECT b.base_day, sum(d.addresses) / count(*) AS addresses,
           (sum(d.total) + 100 * 0.05) / (sum(d.addresses) + 100) AS mean, (sum(d.squares) + 100 * 0.06) / (sum(d.addresses) + 100) AS square
    FROM days b JOIN daily d ON d.day < b.base_day AND d.day >= b.base_day - $history
    GROUP BY b.base_day
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
moments AS (
    SELECT w.*, coalesce(u.addresses, 0) + 1 AS tests, coalesce(u.mean, 0.05) AS mean, coalesce(u.square, 0.06) AS square,
           coalesce(c.hours, 0) AS covered_hours
    FROM windows w
    LEFT JOIN usual u ON u.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
),
fired AS (
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(
                   CAST(vaults AS DOUBLE), mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
    )
    WHERE p_value <= $alpha
),
detail AS (
    SELECT f.caller_ip, f.window_end,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product,
           array_slice(array_agg(DISTINCT e.object_name ORDER BY e.object_name) FILTER (WHERE e.object_name IS NOT NULL), 1, 100) AS object_name,
           bool_or(coalesce(e.object_type IN ('secret', 'key', 'certificate'), false)) AS asks_for_objects,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM fired f
    JOIN events e ON e.caller_ip = f.caller_ip
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.principal_id IS NULL
      AND (e.outcome = 'challenge' OR e.denial_reason = 'authentication')
      AND e.time >= f.window_end - $window AND e.time < f.window_end
    GROUP BY f.caller_ip, f.window_end
)
SELECT
    f.window_end - $window AS window_start,
    f.window_end,
    f.caller_ip,
    CAST(f.vaults AS DOUBLE) AS observed,
    f.mean AS expected,
    f.p_value,
    CASE
        WHEN 3600 * f.covered_hours < extract(epoch FROM $min_coverage) AND f.vaults < $uncovered_vaults THEN 'informational'
        -- A monitor asks whether the vault answers, and for nothing in it.
        WHEN coalesce(ip_is_private(f.caller_ip), false) OR NOT d.asks_for_objects THEN 'low'
        ELSE 'medium'
    END AS severity,
    concat(
        'Address ', f.caller_ip, ' asked ', f.vaults, ' vaults without a valid token in the day to ', to_char(f.window_end, '%Y-%m-%d %H:%M'),
        ' UTC (', f.calls, ' calls answered 401), came back with none, and was never seen at them before; an address usually leaves ',
        round(f.mean, 3), ' vaults so in a day. It looks which vaults exist; nothing was read.'
    ) AS summary,
    f.calls AS event_count,
    f.vault_name,
    d.object_name,
    d.asks_for_objects,
    d.client_product,
    f.tests AS addresses_tested,
    f.covered_hours,
    d.first_time,
    d.last_time,
    'outcome = ''challenge'' OR denial_reason = ''authentication''' AS drilldown_filter
FROM fired f
JOIN detail d ON d.caller_ip = f.caller_ip AND d.window_end = f.window_end
