-- +++
-- title = "Objects deleted or purged out of line"
-- description = """
-- Counts the different secrets, keys, certificates and vaults that one caller deletes or purges in a day, ending at each of
-- its deletions, and compares the count with the caller's own days over five weeks and with those of callers who delete
-- seldom. What the caller wrote itself within the window and nobody used before is its own litter (a test's objects) and does
-- not count. A purge of what was deleted within the window, and the deletion of what others read these days, weigh; a lone
-- deletion by somebody who seldom deletes is information.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1485", "T1490"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1d"
-- lookback = "1d"
-- baseline = "38d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = [
--   "A vault that is retired: its objects are deleted by the owner, and nobody reads them any more.",
--   "A cleaning job that runs for the first time.",
-- ]
-- response = [
--   "Ask the owner of the caller at once; what is only deleted can be recovered until its retention ends.",
--   "If nobody explains it: revoke the caller's sessions and roles, then recover the objects (az keyvault secret recover).",
--   "What was purged is lost: restore it from a backup, or issue it anew.",
-- ]
-- references = [
--   "https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview",
--   "https://attack.mitre.org/techniques/T1485/",
-- ]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.0005; low and above needs a burst that passes it, or a deletion of several objects in use."
--
-- [parameters]
-- min_burst = { default = 5, min = 2, about = "Fewest different objects in a day that are a burst." }
-- uncovered_burst = { default = 10, min = 2, about = "The same while the logs cover less than min_coverage." }
-- many_purged = { default = 10, min = 2, about = "Purged objects in a day from which a burst is critical." }
-- min_in_use = { default = 2, min = 1, about = "Fewest deleted objects that others still use, from which no burst is needed." }
-- ratio = { default = 2.0, min = 1.0, about = "How many times the own busiest day." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "35d", about = "How far back days count; at most the baseline less two days." }
-- in_use = { default = "7d", about = "An object is in use that another caller had on two or more of these days." }
-- seldom_days = { default = 5, min = 1, about = "Days with deletions in the history up to which a caller counts as one who deletes seldom." }
-- prior_days = { default = 7.0, min = 0.1, about = "Weight of those who delete seldom against the caller's own days." }
-- +++
WITH acts AS (
    -- Both planes tell of a vault's end: one target, however often it is told.
    SELECT principal_id, date_bin($every, time) AS bin, vault_name, operation_class,
           CASE WHEN object_type IN ('secret', 'key', 'certificate') THEN object_type ELSE 'vault' END AS object_type,
           concat(coalesce(vault_name, ''), '/', CASE WHEN object_type IN ('secret', 'key', 'certificate')
                  THEN concat(object_type, '/', object_name) ELSE coalesce(object_name, '') END) AS target,
           count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to
      AND operation_class IN ('delete', 'purge') AND outcome = 'success' AND principal_id IS NOT NULL
      AND operation_name NOT LIKE 'CertificatePending%' AND operation_name NOT LIKE 'CertificateContacts%'
      AND operation_name NOT LIKE 'CertificateIssuer%' AND lower(operation_name) NOT LIKE '%privateendpoint%'
    GROUP BY 1, 2, 3, 4, 5, 6
),
ends AS (
    SELECT principal_id, window_end, date_trunc('day', window_end - $window) AS base_day
    FROM (SELECT DISTINCT principal_id, bin + $every AS window_end FROM acts) AS bins
    WHERE window_end > $from AND window_end <= $to
),
days AS (SELECT DISTINCT base_day FROM ends),
inside AS (
    SELECT e.principal_id, e.window_end, e.base_day, a.target, max(a.object_type) AS object_type, sum(a.calls) AS calls,
           bool_or(a.operation_class = 'delete') AS deleted, bool_or(a.operation_class = 'purge') AS purged
    FROM ends e
    JOIN acts a ON a.principal_id = e.principal_id AND a.bin >= e.window_end - $window AND a.bin < e.window_end
    GROUP BY 1, 2, 3, 4
),
seen AS (
    -- Who had the targets before: nobody's are litter, those of others may be in use.
    SELECT t.target, t.base_day, s.principal_id, count(DISTINCT s.day) FILTER (WHERE s.day >= t.base_day - $in_use) AS late_days
    FROM (SELECT DISTINCT target, base_day FROM inside WHERE object_type <> 'vault') t
    JOIN sightings s ON s.value = t.target AND s.day < t.base_day AND s.day >= t.base_day - $history
    WHERE s.kind = 'object' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY 1, 2, 3
),
keepers AS (
    -- Who takes backups touches everything and uses nothing.
    SELECT DISTINCT d.base_day, b.principal_id
    FROM days d
    JOIN (
        SELECT DISTINCT principal_id, date_trunc('day', hour) AS day FROM activity
        WHERE operation_class = 'backup' AND principal_id IS NOT NULL AND hour >= $from - $lookback - $baseline AND hour < $to
    ) b ON b.day < d.base_day AND b.day >= d.base_day - $history
),
used AS (
    SELECT i.principal_id, i.base_day, i.target, bool_or(s.principal_id <> i.principal_id AND s.late_days >= 2 AND k.principal_id IS NULL
           AND NOT coalesce(p.is_known_scanner OR p.is_known_backup, false)) AS in_use
    FROM (SELECT DISTINCT principal_id, base_day, target FROM inside) i
    JOIN seen s ON s.target = i.target AND s.base_day = i.base_day
    LEFT JOIN keepers k ON k.principal_id = s.principal_id AND k.base_day = i.base_day
    LEFT JOIN principals p ON p.principal_id = s.principal_id
    GROUP BY 1, 2, 3
),
written AS (
    SELECT DISTINCT w.principal_id, w.target, w.bin
    FROM (
        SELECT principal_id, concat(coalesce(vault_name, ''), '/', object_type, '/', object_name) AS target, date_bin($every, time) AS bin
        FROM events
        WHERE time >= $from - $lookback AND time < $to AND operation_class = 'write' AND outcome = 'success'
    ) w
    JOIN (SELECT DISTINCT principal_id, target FROM acts) a ON a.principal_id = w.principal_id AND a.target = w.target
),
litter AS (
    SELECT DISTINCT i.principal_id, i.window_end, i.target
    FROM inside i JOIN written w ON w.principal_id = i.principal_id AND w.target = i.target AND w.bin >= i.window_end - $window AND w.bin < i.window_end
),
windows AS (
    SELECT i.principal_id, i.window_end, i.base_day, count(*) AS targets, sum(i.calls) AS calls,
           sum(CASE WHEN i.purged THEN 1 ELSE 0 END) AS purged,
           sum(CASE WHEN i.purged AND i.deleted THEN 1 ELSE 0 END) AS purged_soon,
           sum(CASE WHEN i.object_type = 'vault' THEN 1 ELSE 0 END) AS vaults_gone,
           sum(CASE WHEN u.in_use THEN 1 ELSE 0 END) AS in_use
    FROM inside i
    LEFT JOIN litter l ON l.principal_id = i.principal_id AND l.window_end = i.window_end AND l.target = i.target
    LEFT JOIN used u ON u.principal_id = i.principal_id AND u.base_day = i.base_day AND u.target = i.target
    WHERE l.target IS NULL OR u.target IS NOT NULL
    GROUP BY 1, 2, 3
),
daily AS (
    SELECT principal_id, date_trunc('day', hour) AS day, CAST(sum(calls) AS DOUBLE) AS calls
    FROM activity
    WHERE operation_class IN ('delete', 'purge') AND outcome = 'success' AND principal_id IS NOT NULL
      AND hour >= $from - $lookback - $baseline AND hour < $to
    GROUP BY 1, 2
),
own AS (
    SELECT d.base_day, h.principal_id, count(*) AS days, sum(h.calls) AS total, sum(h.calls * h.calls) AS squares, max(h.calls) AS peak
    FROM days d JOIN daily h ON h.day < d.base_day AND h.day >= d.base_day - $history
    GROUP BY 1, 2
),
seldom AS (
    SELECT base_day, sum(total) AS total, sum(squares) AS squares FROM own WHERE days <= $seldom_days GROUP BY base_day
),
callers AS (
    SELECT base_day, count(*) AS callers, sum(days) AS caller_days
    FROM (
        SELECT d.base_day, s.principal_id, count(DISTINCT s.day) AS days
        FROM days d JOIN sightings s ON s.day < d.base_day AND s.day >= d.base_day - $history
        WHERE s.kind = 'vault' AND s.day >= $from - $lookback - $baseline AND s.day < $to AND s.principal_id IS NOT NULL
        GROUP BY 1, 2
    ) AS known
    GROUP BY base_day
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM days d JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
moments AS (
    SELECT w.*, coalesce(o.days, 0) AS days, coalesce(o.peak, 0) AS peak, coalesce(c.hours, 0) AS hours, coalesce(k.callers, 0) + 1 AS tests,
           (coalesce(o.total, 0) + $prior_days * (coalesce(s.total, 0) + 0.5) / (coalesce(k.caller_days, 0) + 1))
               / (coalesce(c.hours, 0) / 24.0 + $prior_days) AS mean,
           (coalesce(o.squares, 0) + $prior_days * (coalesce(s.squares, 0) + 0.5) / (coalesce(k.caller_days, 0) + 1))
               / (coalesce(c.hours, 0) / 24.0 + $prior_days) AS square
    FROM windows w
    LEFT JOIN own o ON o.principal_id = w.principal_id AND o.base_day = w.base_day
    LEFT JOIN seldom s ON s.base_day = w.base_day
    LEFT JOIN callers k ON k.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
),
scored AS (
    SELECT *, least(1.0, tests * negative_binomial_sf(
               CAST(targets AS DOUBLE), mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) AS p_value
    FROM moments
    -- Who deletes often and not more than usual is no news.
    WHERE targets >= $ratio * peak AND (days <= $seldom_days OR targets >= $min_burst)
),
judged AS (
    SELECT *, p_value <= $alpha AND targets >= CASE WHEN 3600 * hours < extract(epoch FROM $min_coverage) THEN $uncovered_burst ELSE $min_burst END AS burst
    FROM scored
),
detail AS (
    SELECT f.principal_id, f.window_end, max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) FILTER (WHERE e.vault_name IS NOT NULL) AS vault_name,
           array_agg(DISTINCT e.object_name ORDER BY e.object_name) FILTER (WHERE e.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) FILTER (WHERE e.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) FILTER (WHERE e.client_product IS NOT NULL) AS client_product,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM judged f
    JOIN events e ON e.principal_id = f.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to AND e.operation_class IN ('delete', 'purge') AND e.outcome = 'success'
      AND e.time >= f.window_end - $window AND e.time < f.window_end
    GROUP BY 1, 2
)
SELECT
    f.window_end - $window AS window_start,
    f.window_end,
    f.principal_id,
    CAST(f.targets AS DOUBLE) AS observed,
    f.mean AS expected,
    f.p_value,
    CASE
        WHEN f.burst AND f.purged >= $many_purged THEN 'critical'
        WHEN f.burst AND (f.purged > 0 OR f.in_use > 0 OR f.vaults_gone >= 3) THEN 'high'
        WHEN f.burst THEN 'medium'
        WHEN f.in_use >= $min_in_use AND f.purged_soon > 0 THEN 'medium'
        WHEN f.in_use >= $min_in_use AND f.days = 0 THEN 'low'
        ELSE 'informational'
    END AS severity,
    concat(
        coalesce(d.principal_name, f.principal_id), ' deleted or purged ', f.targets,
        CASE WHEN f.targets = 1 THEN ' object' ELSE ' objects' END, ' of ',
        CASE WHEN cardinality(d.vault_name) = 1 THEN concat('vault ', d.vault_name[1]) ELSE concat(coalesce(cardinality(d.vault_name), 0), ' vaults') END,
        ' in the day to ', to_char(f.window_end, '%Y-%m-%d %H:%M'), ' UTC; ',
        CASE WHEN f.days = 0 THEN 'it deleted nothing before' ELSE concat('its busiest day before had ', CAST(f.peak AS BIGINT), ' deletions') END,
        CASE WHEN f.purged > 0 THEN concat('. ', f.purged, CASE WHEN f.purged = 1 THEN ' is' ELSE ' are' END, ' purged and cannot be recovered') ELSE '' END,
        CASE WHEN f.in_use > 0 THEN concat('. ', f.in_use, CASE WHEN f.in_use = 1 THEN ' was' ELSE ' were' END, ' in use by others these days') ELSE '' END
    ) AS summary,
    f.calls AS event_count,
    d.principal_name,
    d.principal_type,
    d.app_id,
    d.vault_name,
    d.object_name,
    d.operation_name,
    d.caller_ip,
    d.client_product,
    f.purged,
    f.purged_soon AS purged_soon_after_deletion,
    f.in_use AS in_use_by_others,
    f.vaults_gone,
    CAST(f.peak AS BIGINT) AS busiest_day_before,
    f.days AS days_with_deletions_before,
    f.hours AS covered_hours,
    f.tests AS callers_tested,
    d.first_time,
    d.last_time,
    'operation_class IN (''delete'', ''purge'') AND outcome = ''success''' AS drilldown_filter
FROM judged f
JOIN detail d ON d.principal_id = f.principal_id AND d.window_end = f.window_end
