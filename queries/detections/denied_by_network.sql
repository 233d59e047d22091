-- +++
-- title = "The firewall refuses a caller that usually passes"
-- description = """
-- A vault's firewall refuses a caller with a history, and the request comes from a public network that neither this caller nor
-- any other was seen at in four weeks: its credential is used from elsewhere. How improbable this is comes from how often
-- callers of its kind are refused at all and how often they come from a new network, shrunk towards each other. That the usual
-- network goes on to pass meanwhile makes it worse. A network from where the caller passed and that is refused now, or several
-- callers refused at one vault, speaks of a changed firewall and is information. A network from where the caller came on days
-- before and never passed is its habit (a platform that asks from outside first, then through the network) and says nothing.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1078.004", "T1550.001"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1h"
-- lookback = "1h"
-- baseline = "31d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = [
--   "A service that moved to another region before the firewall was told.",
--   "A person on the road without the company's network.",
-- ]
-- response = [
--   "Ask the caller's owner whether anything of theirs runs at this address.",
--   "If not, the credential is stolen: revoke it. The firewall held here; see what the address was allowed elsewhere.",
--   "If the address is the caller's usual one, look for a change of the vault's network rules.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/network-security"]
-- false_alarm_rate = "Chance of a refusal times chance of a new network, over all callers, below alpha a day: one in 2000 days if both are independent; none at low or above in 100 simulated days of 60 to 150 callers."
--
-- [parameters]
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of such a refusal in a day, over all callers." }
-- alpha_both = { default = 0.01, min = 0.0, max = 1.0, about = "The same where the usual network passes within the hour." }
-- min_days = { default = 3, min = 1, about = "Days on which a caller passed before, to be judged." }
-- min_callers = { default = 3, min = 2, about = "Callers refused at one vault within the hour from which its firewall is the matter." }
-- prior_days = { default = 7.0, min = 0.1, about = "Weight of callers of its kind against the caller's own days." }
-- history = { default = "28d", about = "How far back networks count; at most the baseline less two days." }
-- +++
WITH refused AS (
    SELECT principal_id, max(principal_type) AS principal_type, max(principal_name) AS principal_name, max(app_id) AS app_id, vault_name, object_name,
           client_product, caller_ip, ip_network(caller_ip) AS network, date_bin($every, time) AS bin, count(*) AS calls, min(time) AS first_time, max(time) AS last_time
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'denied' AND denial_reason = 'network'
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL AND caller_ip IS NOT NULL
    GROUP BY principal_id, vault_name, object_name, client_product, caller_ip, ip_network(caller_ip), date_bin($every, time)
),
spread AS (
    -- Each step lies in the twelve windows of an hour: an equality to join by, where a range would compare all with all.
    SELECT *, bin + ahead AS window_end
    FROM refused CROSS JOIN (VALUES (INTERVAL '5 minutes'), (INTERVAL '10 minutes'), (INTERVAL '15 minutes'), (INTERVAL '20 minutes'),
        (INTERVAL '25 minutes'), (INTERVAL '30 minutes'), (INTERVAL '35 minutes'), (INTERVAL '40 minutes'), (INTERVAL '45 minutes'),
        (INTERVAL '50 minutes'), (INTERVAL '55 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
),
ends AS (
    SELECT DISTINCT principal_id, bin + $every AS window_end, date_trunc('day', bin + $every - $window) AS base_day
    FROM refused WHERE bin + $every > $from AND bin + $every <= $to
),
days AS (SELECT DISTINCT base_day FROM ends),
places AS (
    -- Networks of every caller; a network counts where the caller passed.
    SELECT base_day, principal_id, ip_network(value) AS network, max(successes) AS successes
    FROM (
        SELECT d.base_day, s.principal_id, s.value, sum(s.successes) AS successes
        FROM days d
        JOIN sightings s ON s.day < d.base_day AND s.day >= d.base_day - $history
        WHERE s.kind = 'address' AND s.principal_id IS NOT NULL AND s.day >= $from - $lookback - $baseline AND s.day < $to
        GROUP BY d.base_day, s.principal_id, s.value
    )
    GROUP BY base_day, principal_id, ip_network(value)
),
at_home AS (SELECT base_day, network, count(*) AS callers FROM places WHERE successes > 0 GROUP BY base_day, network),
daily AS (
    SELECT principal_id, date_trunc('day', hour) AS day, max(principal_type) AS principal_type,
           CASE WHEN bool_or(outcome = 'denied') THEN 1.0 ELSE 0.0 END AS refused, CASE WHEN bool_or(outcome = 'success') THEN 1 ELSE 0 END AS passed
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND principal_id IS NOT NULL
    GROUP BY principal_id, date_trunc('day', hour)
),
past AS (
    SELECT d.base_day, a.principal_id, max(a.principal_type) AS principal_type, count(*) AS days, sum(a.passed) AS passed, sum(a.refused) AS refused
    FROM days d JOIN daily a ON a.day < d.base_day AND a.day >= d.base_day - $history
    GROUP BY d.base_day, a.principal_id
),
callers AS (
    SELECT p.*, coalesce(n.networks, 1) - 1.0 AS moves
    FROM past p
    LEFT JOIN (SELECT base_day, principal_id, count(*) AS networks FROM places GROUP BY base_day, principal_id) n
      ON n.base_day = p.base_day AND n.principal_id = p.principal_id
),
kinds AS (
    -- A rate is never smaller than half a day in all days seen.
    SELECT base_day, principal_type, (sum(refused) + 0.5) / (sum(days) + 1) AS refused, (sum(moves) + 0.5) / (sum(days) + 1) AS moves
    FROM callers GROUP BY base_day, principal_type
),
tested AS (SELECT base_day, count(*) AS callers FROM callers GROUP BY base_day),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
crowds AS (
    -- A vault that refuses several callers at once has changed, not they.
    SELECT e.principal_id, e.window_end, max(c.callers) AS callers
    FROM ends e
    JOIN spread r ON r.principal_id = e.principal_id AND r.window_end = e.window_end
    JOIN (
        SELECT window_end, vault_name, count(DISTINCT principal_id) AS callers FROM spread GROUP BY window_end, vault_name
    ) c ON c.window_end = e.window_end AND c.vault_name = r.vault_name
    GROUP BY e.principal_id, e.window_end
),
windows AS (
    SELECT e.principal_id, e.window_end, e.base_day, max(r.principal_type) AS principal_type, sum(r.calls) AS calls,
           bool_or(o.network IS NULL AND h.network IS NULL AND NOT coalesce(ip_is_private(r.caller_ip), true)) AS strange,
           bool_or(coalesce(o.successes, 0) > 0) AS usual, bool_and(o.network IS NOT NULL AND o.successes = 0) AS in_vain,
           coalesce(max(CASE WHEN o.network IS NULL AND h.network IS NULL AND NOT coalesce(ip_is_private(r.caller_ip), true) THEN r.caller_ip END),
                    max(r.caller_ip)) AS address,
           max(r.principal_name) AS principal_name, max(r.app_id) AS app_id, min(r.first_time) AS first_time, max(r.last_time) AS last_time,
           array_agg(DISTINCT r.vault_name ORDER BY r.vault_name) AS vault_name,
           array_agg(DISTINCT r.object_name ORDER BY r.object_name) FILTER (WHERE r.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT r.caller_ip ORDER BY r.caller_ip) AS caller_ip,
           array_agg(DISTINCT r.client_product ORDER BY r.client_product) FILTER (WHERE r.client_product IS NOT NULL) AS client_product
    FROM ends e
    JOIN spread r ON r.principal_id = e.principal_id AND r.window_end = e.window_end
    LEFT JOIN places o ON o.base_day = e.base_day AND o.principal_id = e.principal_id AND o.network = r.network
    LEFT JOIN at_home h ON h.base_day = e.base_day AND h.network = r.network
    GROUP BY e.principal_id, e.window_end, e.base_day
),
passed AS (
    -- What the caller was allowed meanwhile, from another address than the one told.
    SELECT w.principal_id, w.window_end, CAST(sum(e.calls) AS BIGINT) AS calls
    FROM windows w
    JOIN (
        SELECT principal_id, caller_ip, bin + ahead AS window_end, calls
        FROM (
            SELECT e.principal_id, e.caller_ip, date_bin($every, e.time) AS bin, count(*) AS calls
            FROM events e
            JOIN (SELECT DISTINCT principal_id FROM refused) r ON r.principal_id = e.principal_id
            WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome = 'success'
            GROUP BY e.principal_id, e.caller_ip, date_bin($every, e.time)
        ) AS steps
        CROSS JOIN (VALUES (INTERVAL '5 minutes'), (INTERVAL '10 minutes'), (INTERVAL '15 minutes'), (INTERVAL '20 minutes'),
            (INTERVAL '25 minutes'), (INTERVAL '30 minutes'), (INTERVAL '35 minutes'), (INTERVAL '40 minutes'), (INTERVAL '45 minutes'),
            (INTERVAL '50 minutes'), (INTERVAL '55 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
    ) e ON e.principal_id = w.principal_id AND e.window_end = w.window_end AND e.caller_ip <> w.address
    GROUP BY w.principal_id, w.window_end
),
judged AS (
    SELECT w.*, c.passed AS days, coalesce(v.callers, 1) AS refused_callers, t.callers AS tests, coalesce(d.calls, 0) AS passed_meanwhile,
           (c.refused + $prior_days * k.refused) / (c.days + $prior_days) AS refusal_rate,
           (c.moves + $prior_days * k.moves) / (c.days + $prior_days) AS move_rate
    FROM windows w
    JOIN callers c ON c.principal_id = w.principal_id AND c.base_day = w.base_day AND c.passed >= $min_days
    JOIN covered g ON g.base_day = w.base_day AND 3600 * g.hours >= extract(epoch FROM $min_coverage)
    JOIN kinds k ON k.base_day = w.base_day AND k.principal_type = c.principal_type
    JOIN tested t ON t.base_day = w.base_day
    LEFT JOIN passed d ON d.principal_id = w.principal_id AND d.window_end = w.window_end
    LEFT JOIN crowds v ON v.principal_id = w.principal_id AND v.window_end = w.window_end
    WHERE NOT w.in_vain
),
scored AS (
    SELECT *, least(1.0, tests * refusal_rate * CASE WHEN strange THEN least(1.0, move_rate) ELSE 1.0 END) AS p_value FROM judged
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(calls AS DOUBLE) AS observed,
    refusal_rate / 24 AS expected,
    p_value,
    CASE
        WHEN NOT strange OR refused_callers >= $min_callers THEN 'informational'
        WHEN p_value <= $alpha AND passed_meanwhile > 0 THEN 'high'
        WHEN p_value <= $alpha THEN 'medium'
        WHEN p_value <= $alpha_both AND passed_meanwhile > 0 THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        'The firewall refused ', coalesce(principal_name, principal_id), ' ', calls, CASE WHEN calls = 1 THEN ' time' ELSE ' times' END, ' at ',
        CASE WHEN array_length(vault_name) = 1 THEN concat('vault ', vault_name[1]) ELSE concat(array_length(vault_name), ' vaults') END,
        ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC; ',
        CASE
            WHEN refused_callers >= $min_callers THEN concat('it refused ', refused_callers, ' callers there, so its rules have changed')
            WHEN strange THEN concat('the request came from ', address, ', a network where nobody was seen before; on ', days, ' days before the caller passed from its own')
            WHEN usual THEN concat('the request came from ', address, ', from where it usually passes, so the rules have changed')
            ELSE concat('the request came from ', address, ', a network that others use, or a private one')
        END,
        CASE WHEN strange AND passed_meanwhile > 0 THEN concat(', and it passed ', passed_meanwhile, ' times from elsewhere in the same hour') ELSE '' END,
        '.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    vault_name,
    object_name,
    caller_ip,
    client_product,
    strange AS new_network,
    passed_meanwhile,
    refused_callers,
    refusal_rate AS days_with_refusals,
    move_rate AS new_networks_a_day,
    days AS active_days_before,
    tests AS callers_tested,
    first_time,
    last_time,
    'outcome = ''denied'' AND denial_reason = ''network''' AS drilldown_filter
FROM scored
