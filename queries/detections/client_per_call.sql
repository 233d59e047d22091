-- +++
-- title = "Nearly every call is preceded by a challenge"
-- description = """
-- A Key Vault client asks once without a token, is told by a 401 where to get one, and keeps it. A caller whose calls nearly
-- all have such a 401 beside them builds its client anew on each call: this doubles the calls, the log and the latency. A
-- challenge names nobody, so those of an address are shared out over the callers of that address and vault in proportion to
-- their calls of the day. Chronic by nature: one alert a caller and vault in a month.
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
-- false_positives = ["Short jobs and functions that start, read one secret and end: each is a client of its own.", "Several callers behind one address, of which another one causes the challenges."]
-- response = [
--   "Let the application build one client (and one credential) at its start and keep it.",
--   "In functions, keep the client in a static field.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/authentication", "https://learn.microsoft.com/azure/key-vault/general/overview-throttling"]
-- false_alarm_rate = "Always informational. A client that keeps its token has one challenge an hour at most; it takes 500 calls and a share of 0.8."
--
-- [parameters]
-- min_calls = { default = 500, min = 1, about = "Fewest calls of a caller on a vault in a day." }
-- min_share = { default = 0.8, min = 0.0, about = "Challenges for each call." }
-- price = { default = 0.028, min = 0.0, about = "Dollars for ten thousand log records in a workspace." }
-- +++
WITH seen AS (
    SELECT day, vault_name, value AS caller_ip, principal_id, sum(calls) AS calls, sum(successes) AS successes
    FROM sightings
    WHERE kind = 'address' AND day >= $from AND day + $window <= $to AND vault_name IS NOT NULL
    GROUP BY day, vault_name, value, principal_id
),
nobody AS (
    -- What comes without a caller and never succeeds is the challenge.
    SELECT day, vault_name, caller_ip, sum(calls - successes) AS challenges FROM seen WHERE principal_id IS NULL
    GROUP BY day, vault_name, caller_ip
),
shared AS (
    SELECT s.day, s.vault_name, s.caller_ip, s.principal_id, s.calls,
           coalesce(n.challenges, 0) * CAST(s.calls AS DOUBLE) / sum(s.calls) OVER (PARTITION BY s.day, s.vault_name, s.caller_ip) AS challenges
    FROM seen s
    LEFT JOIN nobody n ON n.day = s.day AND n.vault_name = s.vault_name AND n.caller_ip = s.caller_ip
    WHERE s.principal_id IS NOT NULL
),
callers AS (
    SELECT day, vault_name, principal_id, sum(calls) AS calls, sum(least(challenges, CAST(calls AS DOUBLE))) AS challenges,
           count(*) AS addresses, array_slice(array_agg(caller_ip ORDER BY calls DESC, caller_ip), 1, 10) AS caller_ip
    FROM shared
    GROUP BY day, vault_name, principal_id
    HAVING sum(calls) >= $min_calls AND sum(least(challenges, CAST(calls AS DOUBLE))) >= $min_share * sum(calls)
),
names AS (
    SELECT c.day, c.vault_name, c.principal_id, max(a.principal_name) AS principal_name, max(a.principal_type) AS principal_type,
           min(a.first_time) AS first_time, max(a.last_time) AS last_time
    FROM callers c
    JOIN activity a ON a.principal_id = c.principal_id AND a.vault_name = c.vault_name AND a.hour >= c.day AND a.hour < c.day + $window
    WHERE a.hour >= $from AND a.hour < $to
    GROUP BY c.day, c.vault_name, c.principal_id
)
SELECT
    c.day AS window_start,
    c.day + $window AS window_end,
    c.principal_id,
    c.vault_name,
    round(c.challenges) AS observed,
    24.0 * c.addresses AS expected,
    concat(
        coalesce(n.principal_name, c.principal_id), ' made ', c.calls, ' calls on vault ', c.vault_name, ' on ', to_char(c.day, '%Y-%m-%d'),
        ', and its ', c.addresses, CASE WHEN c.addresses = 1 THEN ' address' ELSE ' addresses' END, ' caused ', CAST(round(c.challenges) AS BIGINT),
        ' challenges (401) beside them; a client that keeps its token needs one an hour. Built once, it would halve its calls and save about $',
        CAST(CAST(c.challenges * 30 * $price / 10000 AS DECIMAL(14, 2)) AS VARCHAR), ' a month of logging.'
    ) AS summary,
    c.calls AS event_count,
    n.principal_name,
    n.principal_type,
    c.caller_ip,
    c.calls,
    c.challenges / c.calls AS challenges_a_call,
    c.addresses AS distinct_addresses,
    n.first_time,
    n.last_time
FROM callers c
LEFT JOIN names n ON n.day = c.day AND n.vault_name = c.vault_name AND n.principal_id = c.principal_id
