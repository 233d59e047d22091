-- +++
-- title = "Refusals out of line with their history"
-- description = """
-- Counts the refusals (403) of one caller in ten minutes and compares them with the caller's own busiest ten minutes of each
-- covered hour over four weeks, shrunk towards what callers in general show. A broken application's steady refusals are its
-- normal. What was refused decides how bad it is: objects and vaults that the caller never used weigh, a role that has not
-- propagated yet or was lost is loud and narrow. Refusals of many callers on one vault are told once, for the vault.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1555.006", "T1087.004"]
-- key = ["principal_id", "resource_id"]
-- every = "5m"
-- window = "10m"
-- lookback = "10m"
-- baseline = "31d"
-- quiet_for = "2h"
-- min_coverage = "3d"
-- false_positives = [
--   "A role or access policy that was removed by mistake: the caller's own objects are refused.",
--   "A firewall rule that shuts out a network: many callers are refused on one vault.",
-- ]
-- response = [
--   "Look at what was refused: objects that the caller never used speak of somebody who tries its credentials.",
--   "Look for successful reads of the same caller or address about the same time.",
--   "Revoke the caller's sessions if nobody of its owners explains the calls.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.001; refusals that are narrow or of the caller's own objects stay informational or low."
--
-- [parameters]
-- min_denied = { default = 10, min = 2, about = "Fewest refusals in ten minutes." }
-- ratio = { default = 2.0, min = 1.0, about = "How many times its own busiest ten minutes before." }
-- min_foreign = { default = 5, min = 1, about = "Refused objects, never used before, from which it is no longer narrow." }
-- uncovered_foreign = { default = 30, min = 1, about = "The same while the logs cover less than min_coverage." }
-- min_callers = { default = 4, min = 2, about = "Refused callers from which a vault is told of as a whole." }
-- alpha = { default = 0.001, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all keys tested." }
-- history = { default = "28d", about = "How far back the own history counts; at most the baseline less two days." }
-- guard = { default = "12h", about = "The last hours before a window do not count as history." }
-- prior_hours = { default = 24.0, min = 0.1, about = "Weight of callers in general against the own covered hours." }
-- +++
WITH denied AS (
    SELECT time, date_bin($every, time) AS bin, principal_id, principal_type, vault_name, resource_id,
           vault_name || '/' || coalesce(object_type || '/' || lower(object_name), operation_name) AS target,
           CASE WHEN principal_id IS NULL THEN coalesce(principal_name, caller_ip) END AS stranger
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND outcome = 'denied'
),
bins AS (
    -- Ten minutes are two steps: a burst that lasts no longer than one is whole in some window.
    SELECT bin + ahead AS window_end, principal_id, max(principal_type) AS principal_type, vault_name, lower(resource_id) AS resource_id,
           target, stranger, count(*) AS calls
    FROM denied CROSS JOIN (VALUES (INTERVAL '5 minutes'), (INTERVAL '10 minutes')) AS hop (ahead)
    GROUP BY bin + ahead, principal_id, vault_name, lower(resource_id), target, stranger
),
by_caller AS (
    SELECT window_end, principal_id, CAST(NULL AS VARCHAR) AS resource_id, principal_id AS series, max(principal_type) AS principal_type,
           sum(calls) AS calls, count(DISTINCT target) AS targets, count(DISTINCT vault_name) AS vaults, 1 AS callers,
           CAST(NULL AS VARCHAR) AS stranger
    FROM bins
    WHERE principal_id IS NOT NULL
    GROUP BY window_end, principal_id
    HAVING sum(calls) >= $min_denied
),
by_vault AS (
    -- Told for the vault only where no single caller makes most of it: that one is told of itself.
    SELECT window_end, CAST(NULL AS VARCHAR) AS principal_id, resource_id, vault_name AS series, CAST(NULL AS VARCHAR) AS principal_type,
           sum(calls) AS calls, max(targets) AS targets, 1 AS vaults, count(*) AS callers, CAST(NULL AS VARCHAR) AS stranger
    FROM (
        SELECT window_end, resource_id, vault_name, coalesce(principal_id, stranger, '') AS caller, sum(calls) AS calls, count(*) AS targets
        FROM bins WHERE resource_id IS NOT NULL AND vault_name IS NOT NULL
        GROUP BY window_end, resource_id, vault_name, coalesce(principal_id, stranger, '')
    ) AS parts
    GROUP BY window_end, resource_id, vault_name
    HAVING sum(calls) >= 2 * $min_denied AND count(*) >= $min_callers AND 2 * max(calls) <= sum(calls)
),
by_stranger AS (
    -- A firewall's refusals carry no identity: the caller is its address (or its name), the history that of the vault.
    SELECT window_end, CAST(NULL AS VARCHAR) AS principal_id, resource_id, vault_name AS series, max(principal_type) AS principal_type,
           sum(calls) AS calls, count(DISTINCT target) AS targets, 1 AS vaults, 1 AS callers, stranger
    FROM bins
    WHERE stranger IS NOT NULL AND resource_id IS NOT NULL AND vault_name IS NOT NULL
    GROUP BY window_end, resource_id, vault_name, stranger
    HAVING sum(calls) >= $min_denied
),
windows AS (
    -- The vault as a whole goes before an address on it, and of several addresses the busiest is told: they share a key.
    SELECT *, date_trunc('day', window_end - $window - $guard) AS base_day
    FROM (
        SELECT *, row_number() OVER (PARTITION BY window_end, coalesce(principal_id, ''), coalesce(resource_id, '')
                                     ORDER BY callers DESC, calls DESC, stranger) AS place
        FROM (SELECT * FROM by_caller UNION ALL SELECT * FROM by_vault UNION ALL SELECT * FROM by_stranger) AS all_kinds
    ) AS ranked
    WHERE window_end > $from AND window_end <= $to AND place = 1
),
days AS (SELECT DISTINCT base_day FROM windows),
series AS (SELECT DISTINCT series, base_day FROM windows),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
hourly AS (
    SELECT principal_id AS series, hour, CAST(sum(peak_10min) AS DOUBLE) AS peak
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND outcome = 'denied' AND principal_id IS NOT NULL
    GROUP BY principal_id, hour
    UNION ALL
    SELECT vault_name AS series, hour, CAST(sum(peak_10min) AS DOUBLE) AS peak
    FROM activity
    WHERE hour >= $from - $lookback - $baseline AND hour < $to AND outcome = 'denied' AND vault_name IS NOT NULL
    GROUP BY vault_name, hour
),
own AS (
    SELECT s.series, s.base_day, sum(h.peak) AS total, sum(h.peak * h.peak) AS squares, max(h.peak) AS peak
    FROM series s JOIN hourly h ON h.series = s.series AND h.hour < s.base_day AND h.hour >= s.base_day - $history
    GROUP BY s.series, s.base_day
),
known AS (
    -- Callers and vaults that were seen at all: what is tested, and how long a caller is known.
    SELECT s.base_day, s.principal_id, count(DISTINCT s.day) AS days
    FROM (
        SELECT d.base_day, g.principal_id, g.day
        FROM days d JOIN sightings g ON g.day < d.base_day AND g.day >= d.base_day - $history
        WHERE g.kind = 'vault' AND g.successes > 0 AND g.day >= $from - $lookback - $baseline AND g.day < $to
    ) AS s
    GROUP BY s.base_day, s.principal_id
),
tested AS (SELECT base_day, count(*) AS callers FROM known GROUP BY base_day),
moments AS (
    -- Callers in general: once in twenty hours a refusal, and rarely ten.
    SELECT w.*, coalesce(o.peak, 0) AS peak, coalesce(c.hours, 0) AS hours, coalesce(t.callers, 0) + 1 AS tests, coalesce(k.days, 0) AS days,
           (coalesce(o.total, 0) + $prior_hours * 0.05) / (coalesce(c.hours, 0) + $prior_hours) AS mean,
           (coalesce(o.squares, 0) + $prior_hours * 0.5) / (coalesce(c.hours, 0) + $prior_hours) AS square
    FROM windows w
    LEFT JOIN own o ON o.series = w.series AND o.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
    LEFT JOIN tested t ON t.base_day = w.base_day
    LEFT JOIN known k ON k.base_day = w.base_day AND k.principal_id = w.principal_id
),
fired AS (
    SELECT *
    FROM (
        SELECT *, least(1.0, tests * negative_binomial_sf(
                   CAST(calls AS DOUBLE), mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) AS p_value
        FROM moments
        WHERE calls >= $ratio * peak
    ) AS scored
    WHERE p_value <= $alpha
),
used AS (
    -- What the caller read or used before, with success.
    SELECT DISTINCT f.principal_id, f.base_day, s.kind, CASE WHEN s.kind = 'object' THEN lower(s.value) ELSE s.value END AS value
    FROM (SELECT DISTINCT principal_id, base_day FROM fired WHERE principal_id IS NOT NULL) f
    JOIN sightings s ON s.principal_id = f.principal_id AND s.day < f.base_day AND s.day >= f.base_day - $history
    WHERE s.kind IN ('object', 'vault', 'address') AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
breadth AS (
    SELECT f.principal_id, f.window_end,
           count(DISTINCT b.target) FILTER (WHERE o.value IS NULL) AS foreign_targets,
           count(DISTINCT b.vault_name) FILTER (WHERE v.value IS NULL) AS foreign_vaults
    FROM fired f
    JOIN bins b ON b.principal_id = f.principal_id AND b.window_end = f.window_end
    LEFT JOIN used o ON o.kind = 'object' AND o.principal_id = f.principal_id AND o.base_day = f.base_day AND o.value = b.target
    LEFT JOIN used v ON v.kind = 'vault' AND v.principal_id = f.principal_id AND v.base_day = f.base_day AND v.value = b.vault_name
    GROUP BY f.principal_id, f.window_end
),
detail AS (
    SELECT f.window_end, f.principal_id, f.resource_id, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.principal_id ORDER BY e.principal_id) AS refused,
           array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) AS vault_name,
           array_agg(DISTINCT e.object_name ORDER BY e.object_name) FILTER (WHERE e.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) AS caller_ip,
           array_agg(DISTINCT coalesce(e.denial_reason, 'unknown') ORDER BY coalesce(e.denial_reason, 'unknown')) AS reasons,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM fired f
    JOIN events e ON (e.principal_id = f.principal_id OR lower(e.resource_id) = f.resource_id)
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.outcome = 'denied'
      AND e.time >= f.window_end - $window AND e.time < f.window_end
      AND (f.stranger IS NULL OR e.principal_id IS NULL AND coalesce(e.principal_name, e.caller_ip) = f.stranger)
    GROUP BY f.window_end, f.principal_id, f.resource_id
),
strange AS (
    SELECT d.principal_id, d.window_end, count(u.value) = 0 AS strange_address,
           array_agg(d.address ORDER BY d.address) FILTER (WHERE u.value IS NULL) AS strange_addresses
    FROM (SELECT principal_id, window_end, unnest(caller_ip) AS address FROM detail WHERE principal_id IS NOT NULL) AS d
    JOIN fired f ON f.principal_id = d.principal_id AND f.window_end = d.window_end
    LEFT JOIN used u ON u.kind = 'address' AND u.principal_id = d.principal_id AND u.base_day = f.base_day AND u.value = d.address
    GROUP BY d.principal_id, d.window_end
),
judged AS (
    SELECT f.*, d.principal_name, d.app_id, d.refused, d.vault_name, d.object_name, d.operation_name, d.caller_ip, d.reasons,
           d.first_time, d.last_time, coalesce(b.foreign_targets, 0) AS foreign_targets, coalesce(b.foreign_vaults, 0) AS foreign_vaults,
           f.days >= 3 AND coalesce(s.strange_address, false) AS strange_address, s.strange_addresses
    FROM fired f
    JOIN detail d ON d.window_end = f.window_end
     AND coalesce(d.principal_id, '') = coalesce(f.principal_id, '') AND coalesce(d.resource_id, '') = coalesce(f.resource_id, '')
    LEFT JOIN breadth b ON b.principal_id = f.principal_id AND b.window_end = f.window_end
    LEFT JOIN strange s ON s.principal_id = f.principal_id AND s.window_end = f.window_end
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    resource_id,
    CAST(calls AS DOUBLE) AS observed,
    mean AS expected,
    p_value,
    CASE
        WHEN stranger IS NOT NULL AND 3600 * hours < extract(epoch FROM $min_coverage) THEN 'informational'
        WHEN principal_id IS NULL THEN 'low'
        WHEN 3600 * hours < extract(epoch FROM $min_coverage) AND foreign_targets < $uncovered_foreign THEN 'informational'
        WHEN foreign_targets >= $min_foreign AND (foreign_vaults >= 3 OR strange_address) THEN 'high'
        WHEN foreign_targets >= $min_foreign THEN 'medium'
        WHEN strange_address THEN 'medium'
        WHEN days >= 7 AND foreign_targets = 0 THEN 'low'
        ELSE 'informational'
    END AS severity,
    CASE
        WHEN stranger IS NOT NULL THEN concat(
            stranger, ', without an id, was refused ', calls, ' times on vault ', series, ' in the ten minutes to ',
            to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC (', array_to_string(reasons, ', '), '), on ', targets, ' targets; usual there are ',
            CAST(round(mean) AS BIGINT), ', at most ', CAST(peak AS BIGINT))
        WHEN principal_id IS NULL THEN concat(
            callers, ' callers were refused ', calls, ' times on vault ', series, ' in the ten minutes to ',
            to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC (', array_to_string(reasons, ', '), '); usual there are ',
            CAST(round(mean) AS BIGINT), ', at most ', CAST(peak AS BIGINT))
        ELSE concat(
            coalesce(principal_name, principal_id), ' was refused ', calls, ' times in the ten minutes to ',
            to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC, on ', targets, CASE WHEN targets = 1 THEN ' target of ' ELSE ' targets of ' END,
            CASE WHEN vaults = 1 THEN concat('vault ', vault_name[1]) ELSE concat(vaults, ' vaults') END,
            ' (', array_to_string(reasons, ', '), '); ',
            CASE WHEN peak = 0 THEN 'it was not refused before' ELSE concat('its busiest ten minutes before had ', CAST(peak AS BIGINT)) END,
            CASE WHEN foreign_targets = 0 THEN ', and all of it are things it used before'
                 ELSE concat(', and ', foreign_targets, ' of the targets it never used') END,
            CASE WHEN strange_address THEN concat('; from an address new to it (', array_to_string(array_slice(strange_addresses, 1, 3), ', '), ')') ELSE '' END)
    END AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    vault_name,
    object_name,
    operation_name,
    caller_ip,
    targets,
    vaults AS distinct_vaults,
    callers AS distinct_callers,
    foreign_targets,
    foreign_vaults,
    reasons,
    CASE WHEN principal_id IS NULL AND stranger IS NULL THEN refused END AS refused_callers,
    CAST(peak AS BIGINT) AS busiest_ten_minutes_before,
    hours AS covered_hours,
    tests AS callers_tested,
    first_time,
    last_time,
    'outcome = ''denied''' AS drilldown_filter
FROM judged
