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
halves AS (
    -- A window of six hours lies in two halves of days, so one of them holds half of the calls it takes.
    SELECT principal_id, vault_name, date_bin(INTERVAL '12 hours', hour) AS half
    FROM activity
    WHERE hour >= $from - $lookback AND hour < $to AND vault_name IS NOT NULL AND principal_id IS NOT NULL
    GROUP BY principal_id, vault_name, date_bin(INTERVAL '12 hours', hour)
    HAVING 2 * sum(calls) >= $min_calls
),
hop (ahead) AS (
    VALUES (INTERVAL '1 hour'), (INTERVAL '2 hours'), (INTERVAL '3 hours'), (INTERVAL '4 hours'), (INTERVAL '5 hours'), (INTERVAL '6 hours')
),
eager AS (
    -- Callers with enough calls on a vault that had challenges enough; nobody else is looked up in the records.
    SELECT a.principal_id, a.vault_name, a.hour + h.ahead AS window_end
    FROM (SELECT DISTINCT principal_id, vault_name, half + later AS half
          FROM halves CROSS JOIN (VALUES (INTERVAL '-12 hours'), (INTERVAL '0 hours'), (INTERVAL '12 hours')) AS beside (later)) d
    JOIN activity a ON a.principal_id = d.principal_id AND a.vault_name = d.vault_name AND date_bin(INTERVAL '12 hours', a.hour) = d.half
    CROSS JOIN hop h
    WHERE a.hour >= $from - $lookback AND a.hour < $to
    GROUP BY a.principal_id, a.vault_name, a.hour + h.ahead
    HAVING sum(a.calls) >= $min_calls
),
asked AS (
    SELECT e.principal_id, e.vault_name, e.window_end
    FROM eager e
    JOIN picked p ON p.vault_name = e.vault_name AND p.window_end = e.window_end
),
hours AS (
    SELECT DISTINCT a.vault_name, a.window_end, a.window_end - h.ahead AS hour
    FROM asked a CROSS JOIN hop h
),
seen AS (
    SELECT date_trunc('hour', e.time) AS hour, e.vault_name, coalesce(e.caller_ip, '') AS caller_ip, e.principal_id,
           max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type, max(e.app_id) AS app_id,
           count(*) AS calls, sum(CASE WHEN e.outcome = 'challenge' THEN 1 ELSE 0 END) AS challenges,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM (SELECT DISTINCT vault_name, hour FROM hours) h
    JOIN events e ON e.vault_name = h.vault_name AND date_trunc('hour', e.time) = h.hour
    WHERE e.time >= $from - $lookback AND e.time < $to AND (e.principal_id IS NOT NULL OR e.outcome = 'challenge')
    GROUP BY date_trunc('hour', e.time), e.vault_name, coalesce(e.caller_ip, ''), e.principal_id
),
places AS (
    -- All that one address did on a vault in a window.
    SELECT h.window_end, s.vault_name, s.caller_ip, sum(CASE WHEN s.principal_id IS NULL THEN s.challenges ELSE 0 END) AS challenges,
           sum(CASE WHEN s.principal_id IS NULL THEN 0 ELSE s.calls END) AS calls
    FROM hours h
    JOIN seen s ON s.vault_name = h.vault_name AND s.hour = h.hour
    GROUP BY h.window_end, s.vault_name, s.caller_ip
),
trailing AS (
    SELECT a.window_end, s.vault_name, s.caller_ip, s.principal_id, max(s.principal_name) AS principal_name,
           max(s.principal_type) AS principal_type, max(s.app_id) AS app_id, sum(s.calls) AS calls,
           min(s.first_time) AS first_time, max(s.last_time) AS last_time
    FROM (SELECT principal_id, vault_name, window_end, window_end - ahead AS hour FROM asked CROSS JOIN hop) a
    JOIN seen s ON s.principal_id = a.principal_id AND s.vault_name = a.vault_name AND s.hour = a.hour
    GROUP BY a.window_end, s.vault_name, s.caller_ip, s.principal_id
),
shared AS (
    SELECT t.*, p.challenges * CAST(t.calls AS DOUBLE) / nullif(p.calls, 0) AS share_of_challenges
    FROM trailing t
    JOIN places p ON p.window_end = t.window_end AND p.vault_name = t.vault_name AND p.caller_ip = t.caller_ip
),
callers AS (
    SELECT window_end, vault_name, principal_id, max(principal_name) AS principal_name, max(principal_type) AS principal_type,
           max(app_id) AS app_id, sum(calls) AS calls, sum(least(share_of_challenges, CAST(calls AS DOUBLE))) AS challenges,
           count(*) AS addresses, array_slice(array_agg(caller_ip ORDER BY calls DESC, caller_ip), 1, 10) AS caller_ip,
           min(first_time) AS first_time, max(last_time) AS last_time
    FROM shared
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
    last_time,
    -- A challenge names nobody: those of the caller's addresses on the vault are shown beside its calls.
    concat('OR principal_id IS NULL AND outcome = ''challenge'' AND vault_name = ''', replace(vault_name, '''', ''''''),
           ''' AND coalesce(caller_ip, '''') IN (SELECT coalesce(caller_ip, '''') FROM events WHERE vault_name = ''', replace(vault_name, '''', ''''''),
           ''' AND principal_id = ''', replace(principal_id, '''', ''''''), ''')') AS drilldown_filter
FROM callers
