-- +++
-- title = "A caller that was silent for weeks reads again"
-- description = """
-- Looks three months back for callers that used to come regularly, fell silent, and now read again. The silence is weighed
-- by how often the caller came before: one that came every day and then not for two weeks was switched off, and somebody
-- found its credential; one that comes once a month keeps its rhythm. Days without logs do not count as silence. People take
-- holidays: their return is information only, unless it brings objects and an address that they never used, or comes out of
-- a public network and with a client that are both new.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1078.004", "T1555.006"]
-- key = ["principal_id"]
-- every = "15m"
-- window = "1d"
-- lookback = "2d"
-- baseline = "92d"
-- quiet_for = "3d"
-- min_coverage = "14d"
-- false_positives = [
--   "A service that is switched on again after a pause, such as a seasonal one.",
--   "A restored environment.",
-- ]
-- response = [
--   "Ask the owner whether the caller was meant to come back. Retired identities should lose their role, and their secret.",
--   "If nobody knows: disable it, and rotate what it read.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1078/004/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.0005; a caller returns once."
--
-- [parameters]
-- min_silence = { default = 10, min = 2, about = "Fewest covered days without a sign of the caller." }
-- min_days = { default = 5, min = 2, about = "Fewest active days before the silence." }
-- ratio = { default = 3.0, min = 1.0, about = "How many times the longest gap that the caller made before." }
-- alpha = { default = 0.0005, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "90d", about = "How far back a caller is remembered; at most the baseline less two days." }
-- min_new = { default = 3, min = 1, about = "Objects that it never read from which a return is worse." }
-- +++
WITH covered AS (
    SELECT DISTINCT date_trunc('day', hour) AS day
    FROM coverage
    WHERE hour >= $from - $lookback - $baseline AND hour < $to
),
seen AS (
    -- A day on which the caller was seen at all, also in vain: who is refused every day is not silent.
    SELECT principal_id, day, lag(day) OVER (PARTITION BY principal_id ORDER BY day) AS before
    FROM (
        SELECT DISTINCT principal_id, day
        FROM sightings
        WHERE kind = 'vault' AND principal_id IS NOT NULL AND day >= $from - $lookback - $baseline AND day < $to
    ) AS days
),
back AS (
    SELECT DISTINCT s.principal_id
    FROM seen s
    LEFT JOIN principals p ON p.principal_id = s.principal_id
    WHERE s.day >= date_trunc('day', $from - $lookback) AND extract(epoch FROM s.day - s.before) > 86400 * $min_silence
      AND NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
),
reads AS (
    SELECT e.principal_id, date_bin($every, e.time) AS bin, e.vault_name, e.object_type, e.object_name, e.caller_ip, e.client_product,
           max(e.principal_type) AS principal_type, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           count(*) AS calls, min(e.time) AS first_time, max(e.time) AS last_time
    FROM events e JOIN back b ON b.principal_id = e.principal_id
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class IN ('read', 'list', 'crypto') AND e.outcome = 'success'
    GROUP BY e.principal_id, date_bin($every, e.time), e.vault_name, e.object_type, e.object_name, e.caller_ip, e.client_product
),
windows AS (
    SELECT principal_id, bin + $every AS window_end, date_trunc('day', bin + $every - $window) AS base_day
    FROM reads
    WHERE bin + $every > $from AND bin + $every <= $to
    GROUP BY principal_id, bin
),
past AS (
    -- The caller's days before the window; the gap that leads to the first one of them is none of its own.
    SELECT w.principal_id, w.base_day, count(*) AS days, min(s.day) AS first_day, max(s.day) AS last_day,
           max(CASE WHEN s.before >= w.base_day - $history THEN extract(epoch FROM s.day - s.before) / 86400 ELSE 1 END) AS longest
    FROM (SELECT DISTINCT principal_id, base_day FROM windows) w
    JOIN seen s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    GROUP BY w.principal_id, w.base_day
    HAVING count(*) >= $min_days
),
silence AS (
    SELECT p.principal_id, p.base_day, p.days, p.first_day, p.last_day, p.longest,
           count(*) FILTER (WHERE c.day > p.last_day) AS silent,
           count(*) FILTER (WHERE c.day <= p.last_day AND c.day >= p.first_day) AS span, count(*) AS covered_days
    FROM past p JOIN covered c ON c.day < p.base_day AND c.day >= p.base_day - $history
    GROUP BY p.principal_id, p.base_day, p.days, p.first_day, p.last_day, p.longest
),
tested AS (
    SELECT b.base_day, count(DISTINCT s.principal_id) AS callers
    FROM (SELECT DISTINCT base_day FROM windows) b
    JOIN seen s ON s.day < b.base_day AND s.day >= b.base_day - $history
    GROUP BY b.base_day
),
fired AS (
    SELECT *
    FROM (
        -- Every silent day had the chance of a visit; the chance to stay away is never taken as zero.
        SELECT s.*, t.callers + 1 AS tests, (s.days + 0.5) / (s.span + 1.0) AS rate,
               least(1.0, (t.callers + 1) * power(1 - (s.days + 0.5) / (s.span + 1.0), s.silent)) AS p_value
        FROM silence s JOIN tested t ON t.base_day = s.base_day
        WHERE s.silent >= $min_silence AND s.silent >= $ratio * s.longest
          AND 86400 * s.covered_days >= extract(epoch FROM $min_coverage)
    ) AS scored
    WHERE p_value <= $alpha
),
used AS (
    SELECT DISTINCT f.principal_id, f.base_day, s.kind, s.value
    FROM fired f
    JOIN sightings s ON s.principal_id = f.principal_id AND s.day < f.base_day AND s.day >= f.base_day - $history
    WHERE s.kind IN ('object', 'address', 'client') AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
detail AS (
    SELECT w.principal_id, w.window_end, w.base_day, max(r.principal_type) AS principal_type, max(r.principal_name) AS principal_name, max(r.app_id) AS app_id,
           array_agg(DISTINCT r.vault_name ORDER BY r.vault_name) AS vault_name,
           array_agg(DISTINCT r.object_name ORDER BY r.object_name) FILTER (WHERE r.object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT r.caller_ip ORDER BY r.caller_ip) AS caller_ip,
           array_agg(DISTINCT r.client_product ORDER BY r.client_product) AS client_product,
           count(DISTINCT r.vault_name || '/' || r.object_type || '/' || r.object_name) AS objects,
           count(DISTINCT CASE WHEN o.value IS NULL THEN r.vault_name || '/' || r.object_type || '/' || r.object_name END) AS new_objects,
           bool_or(r.caller_ip IS NOT NULL AND a.value IS NULL) AS new_address,
           bool_or(r.caller_ip IS NOT NULL AND n.network IS NULL AND NOT coalesce(ip_is_private(r.caller_ip), true)) AS new_network,
           bool_or(r.client_product IS NOT NULL AND c.value IS NULL) AS new_client,
           sum(r.calls) AS calls, min(r.first_time) AS first_time, max(r.last_time) AS last_time
    FROM windows w
    JOIN (SELECT DISTINCT principal_id, base_day FROM fired) f ON f.principal_id = w.principal_id AND f.base_day = w.base_day
    JOIN reads r ON r.principal_id = w.principal_id AND r.bin >= w.window_end - $window AND r.bin < w.window_end
    LEFT JOIN used o ON o.kind = 'object' AND o.principal_id = w.principal_id AND o.base_day = w.base_day
     AND o.value = r.vault_name || '/' || r.object_type || '/' || r.object_name
    LEFT JOIN used a ON a.kind = 'address' AND a.principal_id = w.principal_id AND a.base_day = w.base_day AND a.value = r.caller_ip
    LEFT JOIN (
        SELECT DISTINCT principal_id, base_day, ip_network(value) AS network FROM used WHERE kind = 'address'
    ) n ON n.principal_id = w.principal_id AND n.base_day = w.base_day AND n.network = ip_network(r.caller_ip)
    LEFT JOIN used c ON c.kind = 'client' AND c.principal_id = w.principal_id AND c.base_day = w.base_day AND c.value = r.client_product
    GROUP BY w.principal_id, w.window_end, w.base_day
)
SELECT
    d.window_end - $window AS window_start,
    d.window_end,
    d.principal_id,
    CAST(f.silent AS DOUBLE) AS observed,
    1 / f.rate - 1 AS expected,
    f.p_value,
    CASE
        WHEN d.principal_type = 'user' AND d.new_objects >= $min_new AND d.new_address AND d.new_client THEN 'medium'
        WHEN d.principal_type = 'user' AND (d.new_objects >= $min_new AND d.new_address OR d.new_network AND d.new_client) THEN 'low'
        WHEN d.principal_type = 'user' THEN 'informational'
        WHEN d.new_address AND (d.new_client OR d.new_objects >= $min_new) THEN 'high'
        WHEN d.new_address OR d.new_client OR d.new_objects >= $min_new THEN 'medium'
        ELSE 'low'
    END AS severity,
    concat(
        coalesce(d.principal_name, d.principal_id), ' is back after ', f.silent, ' days of silence: ', d.calls, ' calls on ',
        d.objects, ' objects of ', array_to_string(d.vault_name, ', '), ' in the day to ', to_char(d.window_end, '%Y-%m-%d %H:%M'), ' UTC. Until ',
        to_char(f.last_day, '%Y-%m-%d'), ' it came on ', f.days, ' of ', f.span, ' days',
        CASE WHEN d.new_objects > 0 THEN concat('; ', d.new_objects, ' of the objects it had never used') ELSE '' END,
        CASE WHEN d.new_address THEN concat('; from an address new to it (', d.caller_ip[1], ')') ELSE '' END,
        CASE WHEN d.new_client THEN concat('; with a client new to it (', array_to_string(d.client_product, ', '), ')') ELSE '' END,
        CASE WHEN d.principal_type = 'user' THEN '. People take holidays.' ELSE '. A retired identity that wakes up may be in other hands.' END
    ) AS summary,
    CAST(d.calls AS BIGINT) AS event_count,
    d.principal_name,
    d.principal_type,
    d.app_id,
    d.vault_name,
    d.object_name,
    d.caller_ip,
    d.client_product,
    d.objects AS distinct_objects,
    d.new_objects,
    d.new_address,
    d.new_client,
    f.silent AS silent_days,
    f.days AS active_days_before,
    f.span AS days_of_activity,
    f.longest AS longest_gap_before,
    f.tests AS callers_tested,
    d.first_time,
    d.last_time,
    'operation_class IN (''read'', ''list'', ''crypto'') AND outcome = ''success''' AS drilldown_filter
FROM detail d
JOIN fired f ON f.principal_id = d.principal_id AND f.base_day = d.base_day
