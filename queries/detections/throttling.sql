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

-- A window is two steps long, so a call falls into the windows that end one and two steps behind the start of its bin.
WITH hop (ahead) AS (VALUES ($every), ($window)),

-- 1. The vaults and windows with enough 429s: a cheap pass that leaves little for all that follows.
candidate AS (
    SELECT vault_name, window_end, date_trunc('hour', window_end - $window) AS as_of
    FROM (
        SELECT vault_name, date_bin($every, time) + ahead AS window_end
        FROM events CROSS JOIN hop
        WHERE outcome = 'throttled' AND time >= $from - $lookback AND time < $to AND vault_name IS NOT NULL
    )
    WHERE window_end > $from AND window_end <= $to
    GROUP BY 1, 2, 3
    HAVING count(*) >= $min_throttled
),

-- 2. Who called in those windows, and how hard. Azure's own notifications are no calls.
call AS (
    SELECT
        h.*,
        c.as_of,
        count(*) OVER (PARTITION BY h.vault_name, h.window_end, date_bin(INTERVAL '10 seconds', h.time)) AS in_10s
    FROM (
        SELECT
            vault_name,
            date_bin($every, time) + ahead AS window_end,
            time,
            principal_id,
            coalesce(principal_name, principal_id, 'an unknown caller') AS name,
            CASE WHEN outcome = 'throttled' THEN 1 ELSE 0 END AS throttled
        FROM events CROSS JOIN hop
        WHERE time >= $from - $lookback AND time < $to AND coalesce(operation_class, '') NOT IN ('notify', 'policy')
    ) h
    JOIN candidate c ON c.vault_name = h.vault_name AND c.window_end = h.window_end
),
caller AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY vault_name, window_end ORDER BY calls DESC, throttled DESC, name, principal_id
        ) AS place
    FROM (
        SELECT
            vault_name, window_end, as_of, principal_id,
            max(name) AS name, count(*) AS calls, sum(throttled) AS throttled, max(in_10s) AS in_10s
        FROM call
        GROUP BY vault_name, window_end, as_of, principal_id
    )
),
load AS (
    SELECT
        vault_name,
        window_end,
        as_of,
        sum(calls) AS calls,
        sum(throttled) AS throttled,
        max(in_10s) AS busiest_10s_calls,
        max(CASE WHEN place = 1 THEN principal_id END) AS cause_id,
        max(CASE WHEN place = 1 THEN name END) AS cause_name,
        max(CASE WHEN place = 1 THEN calls END) AS cause_calls,
        max(CASE WHEN place = 1 THEN throttled END) AS cause_throttled,
        sum(CASE WHEN place > 1 AND throttled > 0 THEN 1 ELSE 0 END) AS sufferers,
        array_slice(
            array_agg(name ORDER BY throttled DESC, name) FILTER (WHERE place > 1 AND throttled > 0), 1, 10
        ) AS suffering_callers
    FROM caller
    GROUP BY vault_name, window_end, as_of
),

-- 3. What every vault's covered hours looked like when those windows began: roll-up hours that end by as_of.
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
    SELECT
        m.as_of,
        v.vault_name,
        v.throttled,
        cume_dist() OVER (PARTITION BY m.as_of, v.vault_name ORDER BY v.throttled) AS share_below
    FROM (SELECT DISTINCT as_of FROM candidate) m
    JOIN (
        SELECT c.vault_name, c.hour, CAST(coalesce(t.throttled, 0) AS DOUBLE) AS throttled
        FROM covered c LEFT JOIN throttled_hour t ON t.vault_name = c.vault_name AND t.hour = c.hour
    ) v ON v.hour >= m.as_of - $baseline AND v.hour + INTERVAL '1 hour' <= m.as_of
),
history AS (
    SELECT
        as_of,
        vault_name,
        count(*) AS hours,
        avg(capped) AS per_hour,
        greatest(avg(capped * capped) - avg(capped) * avg(capped), 0.0) AS variance
    FROM (
        SELECT
            as_of,
            vault_name,
            least(throttled, min(CASE WHEN share_below >= 0.9 THEN throttled END) OVER (PARTITION BY as_of, vault_name)) AS capped
        FROM past
    )
    GROUP BY as_of, vault_name
),
fleet AS (
    SELECT as_of, count(*) AS vaults, median(per_hour) AS per_hour FROM history GROUP BY as_of
),

-- 4. Observed against expected.
model AS (
    SELECT
        l.*,
        coalesce(h.hours, 0) AS baseline_hours,
        greatest(coalesce(f.vaults, 0), 1) AS vaults_tested,
        -- Per window, with the others' rate as if it had been seen for prior_hours.
        (coalesce(h.hours * h.per_hour, 0.0) + $prior_hours * greatest(coalesce(f.per_hour, 0.0), $prior_rate))
            / greatest(coalesce(h.hours, 0) + $prior_hours, 1.0)
            * extract(epoch FROM $window) / 3600 AS expected,
        -- From the spread of hours to that of windows: bursts within an hour do not know of each other.
        greatest(
            $min_dispersion,
            coalesce((h.variance - h.per_hour) / nullif(h.per_hour * h.per_hour, 0.0), 0.0) * 3600 / extract(epoch FROM $window)
        ) AS dispersion
    FROM load l
    LEFT JOIN history h ON h.as_of = l.as_of AND h.vault_name = l.vault_name
    LEFT JOIN fleet f ON f.as_of = l.as_of
),
judged AS (
    SELECT *, negative_binomial_sf(throttled, expected, dispersion) AS p_value FROM model
)
SELECT
    window_end - $window AS window_start,
    window_end,
    vault_name,
    throttled AS observed,
    expected,
    p_value,
    CASE
        WHEN sufferers > 0 AND throttled >= $severe_share * calls THEN 'high'
        WHEN sufferers > 0 OR throttled >= $severe_share * calls THEN 'medium'
        ELSE 'low'
    END AS severity,
    concat(
        'Vault ', vault_name, ' answered 429 to ', throttled, ' of ', calls, ' calls (', round(100.0 * throttled / calls, 1),
        ' %) from ', to_char(window_end - $window, '%H:%M'), ' to ', to_char(window_end, '%H:%M'), ' UTC on ',
        to_char(window_end - $window, '%Y-%m-%d'), ', where ', round(expected, 1), ' were expected. Most calls came from ',
        cause_name, ' (', cause_calls, ', ', CAST(round(100.0 * cause_calls / calls) AS BIGINT), ' %).',
        CASE
            WHEN sufferers = 0 THEN ' No other caller was throttled.'
            WHEN sufferers = 1 THEN concat(' Throttled beside it: ', suffering_callers[1], '.')
            ELSE concat(' Throttled beside it: ', sufferers, ' callers, among them ',
                array_to_string(array_slice(suffering_callers, 1, 3), ', '), '.')
        END
    ) AS summary,
    throttled AS event_count,
    -- Whoever calls most is the one to talk to.
    cause_id AS principal_id,
    CASE WHEN cause_name <> cause_id THEN cause_name END AS principal_name,
    calls AS total_calls,
    1.0 * throttled / calls AS throttled_share,
    cause_calls,
    1.0 * cause_calls / calls AS cause_share,
    cause_throttled,
    sufferers AS suffering_caller_count,
    suffering_callers,
    busiest_10s_calls,
    $limit_10s AS limit_10s,
    1.0 * busiest_10s_calls / $limit_10s AS busiest_10s_share_of_limit,
    dispersion,
    baseline_hours,
    vaults_tested
FROM judged
WHERE p_value * vaults_tested <= $alpha AND throttled >= $min_share * calls
