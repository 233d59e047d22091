-- +++
-- title = "Nearly every call is preceded by a challenge"
-- description = """
-- A Key Vault client asks once without a token, is told by a 401 where to get one, and keeps it. A caller whose calls nearly
-- all have such a 401 beside them builds its client anew on each call: this doubles the calls, the log and the latency. A
-- challenge names nobody, so those of an address are shared out over the callers of that address and vault in proportion to
-- their calls in the six hours. Chronic by nature: one alert a caller and vault in a month.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1496"]
-- key = ["principal_id", "vault_name"]
-- every = "1h"
-- window = "6h"
-- lookback = "6h"
-- baseline = "6h"
-- quiet_for = "30d"
-- false_positives = ["Short jobs and functions that start, read one secret and end: each is a client of its own.", "Several callers behind one address, of which another one causes the challenges."]
-- response = [
--   "Let the application build one client (and one credential) at its start and keep it.",
--   "In functions, keep the client in a static field.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/authentication", "https://learn.microsoft.com/azure/key-vault/general/overview-throttling"]
-- false_alarm_rate = "Always informational. A client that keeps its token has one challenge an hour at most; it takes 100 calls in six hours and a share of 0.8."
--
-- [parameters]
-- min_calls = { default = 100, min = 1, about = "Fewest calls of a caller on a vault in six hours." }
-- min_share = { default = 0.8, min = 0.0, about = "Challenges for each call." }
-- price = { default = 0.028, min = 0.0, about = "Dollars for ten thousand log records in a workspace." }
-- +++
WITH busy AS (
    -- Hours of vaults with challenges beside the calls, from the roll-up; all others need no look at the records.
    SELECT vault_name, hour, sum(CASE WHEN outcome = 'challenge' THEN calls ELSE 0 END) AS challenges
    FROM activity
    WHERE hour >= $from - $lookback AND hour < $to AND vault_name IS NOT NULL
    GROUP BY vault_name, hour
),
picked AS (
    SELECT vault_name, hour + $every AS window_end
    FROM (
        SELECT vault_name, hour, sum(challenges) OVER w AS challenges
        FROM busy
        WINDOW w AS (PARTITION BY vault_name ORDER BY hour RANGE BETWEEN INTERVAL '5 hours' PRECEDING AND CURRENT ROW)
    ) AS trailing
    WHERE challenges >= $min_share * $min_calls AND hour >= $from AND hour + $every <= $to
),
seen AS (
    SELECT date_trunc('hour', e.time) AS hour, e.vault_name, coalesce(e.caller_ip, '') AS caller_ip, e.principal_id,
           max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type, max(e.app_id) AS app_id,
           count(*) AS calls, sum(CASE WHEN e.outcome = 'challenge' THEN 1 ELSE 0 END) AS challenges,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM events e
    JOIN (SELECT DISTINCT vault_name FROM picked) p ON p.vault_name = e.vault_name
    WHERE e.time >= $from - $lookback AND e.time < $to AND (e.principal_id IS NOT NULL OR e.outcome = 'challenge')
    GROUP BY date_trunc('hour', e.time), e.vault_name, coalesce(e.caller_ip, ''), e.principal_id
),
trailing AS (
    SELECT p.window_end, s.vault_name, s.caller_ip, s.principal_id, max(s.principal_name) AS principal_name,
           max(s.principal_type) AS principal_type, max(s.app_id) AS app_id, sum(s.calls) AS calls, sum(s.challenges) AS challenges,
           min(s.first_time) AS first_time, max(s.last_time) AS last_time
    FROM picked p
    JOIN seen s ON s.vault_name = p.vault_name AND s.hour < p.window_end AND s.hour >= p.window_end - $window
    GROUP BY p.window_end, s.vault_name, s.caller_ip, s.principal_id
),
shared AS (
    SELECT *,
           sum(CASE WHEN principal_id IS NULL THEN challenges ELSE 0 END) OVER place * CAST(calls AS DOUBLE)
               / nullif(sum(CASE WHEN principal_id IS NULL THEN 0 ELSE calls END) OVER place, 0) AS share_of_challenges
    FROM trailing
    WINDOW place AS (PARTITION BY window_end, vault_name, caller_ip)
),
callers AS (
    SELECT window_end, vault_name, principal_id, max(principal_name) AS principal_name, max(principal_type) AS principal_type,
           max(app_id) AS app_id, sum(calls) AS calls, sum(least(share_of_challenges, CAST(calls AS DOUBLE))) AS challenges,
           count(*) AS addresses, array_slice(array_agg(caller_ip ORDER BY calls DESC, caller_ip), 1, 10) AS caller_ip,
           min(first_time) AS first_time, max(last_time) AS last_time
    FROM shared
    WHERE principal_id IS NOT NULL
    GROUP BY window_end, vault_name, principal_id
    HAVING sum(calls) >= $min_calls AND sum(least(share_of_challenges, CAST(calls AS DOUBLE))) >= $min_share * sum(calls)
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    round(challenges) AS observed,
    6.0 * addresses AS expected,
    concat(
        coalesce(principal_name, principal_id), ' made ', calls, ' calls on vault ', vault_name, ' in the six hours to ',
        to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC, and its ', addresses, CASE WHEN addresses = 1 THEN ' address' ELSE ' addresses' END,
        ' caused ', CAST(round(challenges) AS BIGINT),
        ' challenges (401) beside them; a client that keeps its token needs one an hour. Built once, it would halve its calls and save about $',
        CAST(CAST(challenges * 4 * 30 * $price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' a month of logging.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    caller_ip,
    calls,
    challenges / calls AS challenges_a_call,
    addresses AS distinct_addresses,
    first_time,
    last_time
FROM callers
