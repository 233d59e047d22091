-- +++
-- title = "A vault throttles its callers"
-- description = """
-- Key Vault answers 429 when a vault's calls pass its limit (4,000 secret and vault transactions in ten seconds, fewer for
-- some key types), and everybody who uses the vault is refused, whoever causes it. This detection counts the 429s of a vault
-- in ten minutes, compares them with the vault's own hours before, and says who calls most and who else suffers.
--
-- Expected is the mean of the vault's covered hours in the baseline, each cut off at the 90th percentile of its hours (what
-- happens in fewer than one hour in ten is no habit), drawn towards the median vault by the weight of prior_hours. The
-- probability is a negative binomial tail whose dispersion comes from the same hours, taken as if 429s came in bursts.
-- """
-- severity = "low"
-- status = "experimental"
-- techniques = ["T1499.003"]
-- key = ["vault_name"]
-- every = "5m"
-- window = "10m"
-- lookback = "10m"
-- baseline = "14d"
-- quiet_for = "2h"
-- false_positives = [
--     "A batch that runs more rarely than one hour in ten and always meets the limit: raise min_throttled or suppress the vault.",
--     "A load test.",
-- ]
-- response = [
--     "Ask the owner of the caller named as the cause whether the load is meant. If it is not theirs, treat its credential as stolen.",
--     "See that it caches what it reads and backs off after a 429 (1, 2, 4, 8, 16 s).",
--     "Split the objects over several vaults if the load is right: the limit is a vault's.",
-- ]
-- references = [
--     "https://learn.microsoft.com/azure/key-vault/general/service-limits",
--     "https://learn.microsoft.com/azure/key-vault/general/overview-throttling",
-- ]
-- false_alarm_rate = "alpha is per step over all vaults: 0.00003 is about one false alert in 100 days if the model holds."
--
-- [parameters]
-- alpha = { default = 0.00003, about = "False alarms per step, over all vaults together.", min = 0.0, max = 1.0 }
-- min_throttled = { default = 20, about = "Fewest 429s in a window that are worth a person's time.", min = 1 }
-- min_share = { default = 0.01, about = "Smallest share of a vault's calls that is throttled.", min = 0.0, max = 1.0 }
-- severe_share = { default = 0.2, about = "Share of calls throttled from which severity rises by a step.", min = 0.0, max = 1.0 }
-- prior_rate = { default = 0.1, about = "429s per hour of a vault about which nothing is known, at least.", min = 0.0 }
-- prior_hours = { default = 24.0, about = "Hours of own history that weigh as much as the other vaults.", min = 0.0 }
-- min_dispersion = { default = 0.5, about = "Least spread of the count: its variance is mean + this * mean^2.", min = 0.0 }
-- limit_10s = { default = 4000, about = "Calls in ten seconds that a vault takes.", min = 1 }
-- +++

-- A window is two steps, so a call falls into the windows that end one and two steps behind the start of its bin.
WITH hop (ahead) AS (VALUES ($every), ($window)),

-- 1. The vaults and windows with enough 429s: a cheap pass that leaves little for all that follows.
candidate AS (
    SELECT
        vault_name,
        window_end,
        window_end - $window AS window_start,
        -- Roll-up hours that end by here end before the window starts.
        date_trunc('hour', window_end - $window) AS as_of,
        throttled
    FROM (
        SELECT vault_name, date_bin($every, time) + ahead AS window_end, count(*) AS throttled
        FROM events CROSS JOIN hop
        WHERE outcome = 'throttled' AND time >= $from - $lookback AND time < $to AND vault_name IS NOT NULL
        GROUP BY 1, 2
    )
    WHERE throttled >= $min_throttled AND window_end > $from AND window_end <= $to
),

-- 2. Who called in those windows, and how hard. Azure's own notifications are no calls.
call AS (
    SELECT h.*
    FROM (
        SELECT
            vault_name,
            date_bin($every, time) + ahead AS window_end,
            time,
            principal_id,
            coalesce(principal_name, principal_id, 'an unknown caller') AS name,
            outcome
        FROM events CROSS JOIN hop
        WHERE time >= $from - $lookback AND time < $to AND operation_class IS DISTINCT FROM 'notify'
    ) h
    JOIN candidate c ON c.vault_name = h.vault_name AND c.window_end = h.window_end
),
caller AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY vault_name, window_end ORDER BY calls DESC, throttled DESC, name, principal_id) AS place
    FROM (
        SELECT
            vault_name,
            window_end,
            principal_id,
            max(name) AS name,
            count(*) AS calls,
            sum(CASE WHEN outcome = 'throttled' THEN 1 ELSE 0 END) AS throttled
        FROM call
        GROUP BY vault_name, window_end, principal_id
    )
),
load AS (
    SELECT
        vault_name,
        window_end,
        sum(calls) AS calls,
        max(CASE WHEN place = 1 THEN principal_id END) AS cause_id,
        max(CASE WHEN place = 1 THEN name END) AS cause_name,
        max(CASE WHEN place = 1 THEN calls END) AS cause_calls,
        max(CASE WHEN place = 1 THEN throttled END) AS cause_throttled,
        sum(CASE WHEN place > 1 AND throttled > 0 THEN 1 ELSE 0 END) AS sufferers,
        array_slice(
            array_agg(name ORDER BY throttled DESC, name) FILTER (WHERE place > 1 AND throttled > 0), 1, 10
        ) AS suffering_callers
    FROM caller
    GROUP BY vault_name, window_end
),
busiest AS (
    SELECT vault_name, window_end, max(calls) AS calls
    FROM (
        SELECT vault_name, window_end, date_bin(INTERVAL '10 seconds', time) AS ten_seconds, count(*) AS calls
        FROM call
        GROUP BY 1, 2, 3
    )
    GROUP BY vault_name, window_end
),

-- 3. What every vault's covered hours looked like when those windows began.
covered AS (
    SELECT vault_name, hour
    FROM coverage
    WHERE category = 'AuditEvent' AND hour >= $from - $lookback - $baseline - INTERVAL '1 hour' AND hour < $to
    GROUP BY vault_name, hour
),
throttled_hour AS (
    SELECT vault_name, hour, sum(calls) AS throttled
    FROM activity
    WHERE outcome = 'throttled' AND hour >= $from - $lookback - $baseline - INTERVAL '1 hour' AND hour < $to
    GROUP BY vault_name, hour
),
past AS (
    SELECT m.as_of, v.vault_name, coalesce(t.throttled, 0) AS throttled
    FROM (SELECT DISTINCT as_of FROM candidate) m
    JOIN covered v ON v.hour >= m.as_of - $baseline AND v.hour + INTERVAL '1 hour' <= m.as_of
    LEFT JOIN throttled_hour t ON t.vault_name = v.vault_name AND t.hour = v.hour
),
ceiling AS (
    SELECT as_of, vault_name, percentile_cont(0.9) WITHIN GROUP (ORDER BY CAST(throttled AS DOUBLE)) AS most
    FROM past
    GROUP BY as_of, vault_name
),
history AS (
    SELECT
        as_of,
        vault_name,
        count(*) AS hours,
        avg(throttled) AS per_hour,
        greatest(avg(throttled * throttled) - avg(throttled) * avg(throttled), 0.0) AS variance
    FROM (
        SELECT p.as_of, p.vault_name, least(CAST(p.throttled AS DOUBLE), c.most) AS throttled
        FROM past p JOIN ceiling c ON c.as_of = p.as_of AND c.vault_name = p.vault_name
    )
    GROUP BY as_of, vault_name
),
fleet AS (
    SELECT as_of, count(*) AS vaults, greatest(median(per_hour), $prior_rate) AS per_hour
    FROM history
    GROUP BY as_of
),

-- 4. Observed against expected.
model AS (
    SELECT
        c.*,
        coalesce(h.hours, 0) AS baseline_hours,
        greatest(coalesce(f.vaults, 0), 1) AS vaults_tested,
        -- Per window, with the others' rate as if it had been seen for prior_hours.
        (coalesce(h.hours * h.per_hour, 0.0) + $prior_hours * coalesce(f.per_hour, $prior_rate))
            / (coalesce(h.hours, 0) + $prior_hours)
            * extract(epoch FROM $window) / 3600 AS expected,
        -- From the spread of hours to that of windows: bursts within an hour do not know of each other.
        greatest(
            $min_dispersion,
            coalesce((h.variance - h.per_hour) / nullif(h.per_hour * h.per_hour, 0.0), 0.0) * 3600 / extract(epoch FROM $window)
        ) AS dispersion
    FROM candidate c
    LEFT JOIN history h ON h.as_of = c.as_of AND h.vault_name = c.vault_name
    LEFT JOIN fleet f ON f.as_of = c.as_of
),
judged AS (
    SELECT *, negative_binomial_sf(throttled, expected, dispersion) AS p_value FROM model
)
SELECT
    j.window_start,
    j.window_end,
    j.vault_name,
    j.throttled AS observed,
    j.expected,
    j.p_value,
    CASE
        WHEN l.sufferers > 0 AND j.throttled >= $severe_share * l.calls THEN 'high'
        WHEN l.sufferers > 0 OR j.throttled >= $severe_share * l.calls THEN 'medium'
        ELSE 'low'
    END AS severity,
    concat(
        'Vault ', j.vault_name, ' answered 429 to ', j.throttled, ' of ', l.calls, ' calls (',
        round(100.0 * j.throttled / l.calls, 1), ' %) from ', to_char(j.window_start, '%H:%M'), ' to ',
        to_char(j.window_end, '%H:%M'), ' UTC on ', to_char(j.window_start, '%Y-%m-%d'), ', where ', round(j.expected, 2),
        ' were expected. Most calls came from ', l.cause_name, ' (', l.cause_calls, ', ',
        round(100.0 * l.cause_calls / l.calls, 0), ' %).',
        CASE
            WHEN l.sufferers = 0 THEN ' No other caller was throttled.'
            WHEN l.sufferers = 1 THEN concat(' Throttled beside it: ', l.suffering_callers[1], '.')
            ELSE concat(' Throttled beside it: ', l.sufferers, ' callers, among them ',
                array_to_string(array_slice(l.suffering_callers, 1, 3), ', '), '.')
        END
    ) AS summary,
    j.throttled AS event_count,
    -- Whoever calls most is the one to talk to.
    l.cause_id AS principal_id,
    l.cause_name AS principal_name,
    l.calls AS total_calls,
    1.0 * j.throttled / l.calls AS throttled_share,
    l.cause_calls,
    1.0 * l.cause_calls / l.calls AS cause_share,
    l.cause_throttled,
    l.sufferers AS suffering_caller_count,
    l.suffering_callers,
    b.calls AS busiest_10s_calls,
    $limit_10s AS limit_10s,
    1.0 * b.calls / $limit_10s AS busiest_10s_share_of_limit,
    j.dispersion,
    j.baseline_hours,
    j.vaults_tested
FROM judged j
JOIN load l ON l.vault_name = j.vault_name AND l.window_end = j.window_end
JOIN busiest b ON b.vault_name = j.vault_name AND b.window_end = j.window_end
WHERE j.p_value * j.vaults_tested <= $alpha AND j.throttled >= $min_share * l.calls
