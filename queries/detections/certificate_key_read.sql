-- +++
-- title = "A certificate's private key is read by a caller that never did"
-- description = """
-- The private key of a certificate is read through the secret of the certificate's name, so it looks like any other secret. This
-- detection takes the names from the certificate operations of four weeks and tells of callers that read such a secret for the
-- first time. One first read is informational: services get new certificates. It weighs more where the caller never read any
-- certificate's key, takes several at once, and comes from a public network or with a client that it never used. Callers
-- without history are informational.
-- """
-- severity = "informational"
-- status = "experimental"
-- techniques = ["T1552.004", "T1555.006"]
-- key = ["principal_id", "vault_name"]
-- every = "10m"
-- window = "1h"
-- lookback = "2h"
-- baseline = "30d"
-- quiet_for = "1d"
-- min_coverage = "3d"
-- false_positives = ["A service that starts to serve with certificates of this vault.", "A migration of certificates to another vault."]
-- response = [
--   "Ask the owner of the caller whether it serves with this certificate.",
--   "If not: revoke and reissue the certificate, for the key can be used anywhere.",
-- ]
-- references = [
--   "https://learn.microsoft.com/azure/key-vault/certificates/about-certificates",
--   "https://attack.mitre.org/techniques/T1552/004/",
-- ]
-- false_alarm_rate = "Low and above need a caller that never read a certificate's key and a further sign."
--
-- [parameters]
-- history = { default = "28d", about = "How far back names of certificates and reads count." }
-- min_days = { default = 4, min = 3, about = "Active days of a caller from which its first read of a key says something." }
-- min_keys = { default = 3, min = 2, about = "Different certificates' keys in an hour that count as a sign." }
-- +++
WITH reads AS (
    SELECT principal_id, vault_name, object_name, date_bin($every, time) AS bin, caller_ip, client_product, max(principal_name) AS principal_name,
           max(principal_type) AS principal_type, max(app_id) AS app_id, count(*) AS calls, min(time) AS first_time, max(time) AS last_time
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND operation_name = 'SecretGet' AND outcome = 'success'
      AND principal_id IS NOT NULL AND vault_name IS NOT NULL AND object_name IS NOT NULL
      -- Names that no certificate has drop out before they are counted.
      AND vault_name || '/certificate/' || object_name IN (
          SELECT value FROM sightings
          WHERE kind = 'object' AND value LIKE '%/certificate/%' AND day >= $from - $lookback - $baseline AND day < $to
      )
    GROUP BY principal_id, vault_name, object_name, date_bin($every, time), caller_ip, client_product
),
hops AS (
    SELECT r.*, r.bin + hop.ahead AS window_end, date_trunc('day', r.bin + hop.ahead - $window) AS base_day
    FROM reads r
    CROSS JOIN (VALUES (INTERVAL '10 minutes'), (INTERVAL '20 minutes'), (INTERVAL '30 minutes'),
                       (INTERVAL '40 minutes'), (INTERVAL '50 minutes'), (INTERVAL '60 minutes')) AS hop (ahead)
    WHERE r.bin + hop.ahead > $from AND r.bin + hop.ahead <= $to
),
objects AS (
    SELECT principal_id, vault_name, split_part(value, '/', 2) AS object_type, substr(value, strpos(value, '/') + 1) AS object, day, sum(successes) AS successes
    FROM sightings
    WHERE kind = 'object' AND day >= $from - $lookback - $baseline AND day < $to
      AND vault_name || '/' || split_part(value, '/', 3) IN (SELECT vault_name || '/' || object_name FROM reads)
    GROUP BY principal_id, vault_name, value, day
),
asked AS (SELECT DISTINCT base_day, vault_name, object_name FROM hops),
certificates AS (
    -- Known as a certificate before the window's day.
    SELECT a.base_day, a.vault_name, a.object_name
    FROM asked a
    JOIN objects o ON o.vault_name = a.vault_name AND o.object = 'certificate/' || a.object_name AND o.day < a.base_day AND o.day >= a.base_day - $history
    GROUP BY a.base_day, a.vault_name, a.object_name
),
readers AS (
    -- Who read the keys of these certificates before.
    SELECT c.base_day, c.vault_name, c.object_name, o.principal_id
    FROM certificates c
    JOIN objects o ON o.vault_name = c.vault_name AND o.object = 'secret/' || c.object_name AND o.day < c.base_day AND o.day >= c.base_day - $history
    WHERE o.successes > 0 AND o.principal_id IS NOT NULL
    GROUP BY c.base_day, c.vault_name, c.object_name, o.principal_id
),
first_reads AS (
    SELECT h.*
    FROM hops h
    JOIN certificates c ON c.base_day = h.base_day AND c.vault_name = h.vault_name AND c.object_name = h.object_name
    LEFT JOIN readers r ON r.base_day = h.base_day AND r.vault_name = h.vault_name AND r.object_name = h.object_name AND r.principal_id = h.principal_id
    LEFT JOIN principals p ON p.principal_id = h.principal_id
    LEFT JOIN principals a ON a.principal_id = h.app_id
    WHERE r.principal_id IS NULL
      AND NOT coalesce(p.is_first_party OR p.is_known_scanner OR p.is_known_backup, false)
      AND NOT coalesce(a.is_first_party OR a.is_known_scanner OR a.is_known_backup, false)
),
habits AS (
    -- Networks and clients of the callers before, and on how many days they were active.
    SELECT DISTINCT w.principal_id, w.base_day, s.kind,
           -- The modules of one Azure SDK are one client.
           CASE WHEN s.kind = 'address' THEN ip_network(s.value) ELSE regexp_replace(s.value, '^(azsdk-[a-z]+)-.*$', '\1') END AS value
    FROM (SELECT DISTINCT principal_id, base_day FROM first_reads) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind IN ('address', 'client') AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
active AS (
    SELECT w.principal_id, w.base_day, count(DISTINCT s.day) AS days
    FROM (SELECT DISTINCT principal_id, base_day FROM first_reads) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    WHERE s.kind = 'vault' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY w.principal_id, w.base_day
),
networks AS (SELECT principal_id, base_day, count(*) AS networks FROM habits WHERE kind = 'address' GROUP BY principal_id, base_day),
past_reads AS (
    -- Any certificate's key, of whatever vault.
    SELECT DISTINCT w.principal_id, w.base_day
    FROM (SELECT DISTINCT principal_id, base_day FROM first_reads) w
    JOIN sightings s ON s.principal_id = w.principal_id AND s.day < w.base_day AND s.day >= w.base_day - $history
    JOIN (
        SELECT replace(value, '/certificate/', '/secret/') AS value, min(day) AS day
        FROM sightings
        WHERE kind = 'object' AND value LIKE '%/certificate/%' AND day >= $from - $lookback - $baseline AND day < $to
        GROUP BY value
    ) AS c ON c.value = s.value AND c.day < w.base_day
    WHERE s.kind = 'object' AND s.successes > 0 AND s.day >= $from - $lookback - $baseline AND s.day < $to
),
covered AS (
    SELECT d.base_day, count(DISTINCT c.hour) AS hours
    FROM (SELECT DISTINCT base_day FROM first_reads) d
    JOIN coverage c ON c.hour < d.base_day AND c.hour >= d.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY d.base_day
),
windows AS (
    SELECT f.principal_id, f.vault_name, f.window_end, f.base_day, max(f.principal_name) AS principal_name, max(f.principal_type) AS principal_type,
           count(DISTINCT f.object_name) AS keys, sum(f.calls) AS calls, min(f.first_time) AS first_time, max(f.last_time) AS last_time,
           array_agg(DISTINCT f.object_name ORDER BY f.object_name) AS object_name,
           array_agg(DISTINCT f.caller_ip ORDER BY f.caller_ip) FILTER (WHERE f.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT f.client_product ORDER BY f.client_product) FILTER (WHERE f.client_product IS NOT NULL) AS client_product,
           bool_or(n.value IS NULL AND NOT coalesce(ip_is_private(f.caller_ip), true)) AS new_network,
           bool_or(c.value IS NULL AND f.client_product IS NOT NULL) AS new_client
    FROM first_reads f
    LEFT JOIN habits n ON n.kind = 'address' AND n.principal_id = f.principal_id AND n.base_day = f.base_day AND n.value = ip_network(f.caller_ip)
    LEFT JOIN habits c ON c.kind = 'client' AND c.principal_id = f.principal_id AND c.base_day = f.base_day AND c.value = regexp_replace(f.client_product, '^(azsdk-[a-z]+)-.*$', '\1')
    GROUP BY f.principal_id, f.vault_name, f.window_end, f.base_day
),
judged AS (
    SELECT w.*, coalesce(a.days, 0) AS days, p.principal_id IS NULL AS never_any, coalesce(r.readers, 0) AS readers,
           CAST(w.keys >= $min_keys AS INT)
           -- A caller that comes from ever-changing networks says nothing by one more.
           + CAST(w.new_network AND coalesce(n.networks, 0) <= 3 + coalesce(a.days, 0) / 4 AS INT) + CAST(w.new_client AS INT) AS signs
    FROM windows w
    JOIN covered v ON v.base_day = w.base_day AND 3600 * v.hours >= extract(epoch FROM $min_coverage)
    LEFT JOIN active a ON a.principal_id = w.principal_id AND a.base_day = w.base_day
    LEFT JOIN networks n ON n.principal_id = w.principal_id AND n.base_day = w.base_day
    LEFT JOIN past_reads p ON p.principal_id = w.principal_id AND p.base_day = w.base_day
    LEFT JOIN (
        SELECT base_day, vault_name, count(DISTINCT principal_id) AS readers FROM readers GROUP BY base_day, vault_name
    ) AS r ON r.base_day = w.base_day AND r.vault_name = w.vault_name
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(keys AS DOUBLE) AS observed,
    0.0 AS expected,
    CASE
        WHEN days < $min_days OR signs = 0 OR NOT never_any AND signs < 3 THEN 'informational'
        WHEN signs = 1 THEN 'low'
        WHEN signs = 2 THEN 'medium'
        ELSE 'high'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' read the private ', CASE WHEN keys = 1 THEN 'key of certificate ' ELSE concat('keys of ', keys, ' certificates, ') END,
        array_to_string(array_slice(object_name, 1, 3), ', '), CASE WHEN keys > 3 THEN ', …' ELSE '' END, ' of vault ', vault_name,
        ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC for the first time',
        CASE WHEN days = 0 THEN '; it is new in these logs'
             WHEN never_any THEN concat('; in ', days, ' active days it never read a certificate''s key') ELSE '' END,
        CASE WHEN new_network THEN concat('; it came from a public network new to it (', array_to_string(caller_ip, ', '), ')') ELSE '' END,
        CASE WHEN new_client THEN concat('; with a client new to it (', array_to_string(client_product, ', '), ')') ELSE '' END,
        '. Others who read them before: ', readers, '.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    'secret' AS object_type,
    object_name,
    caller_ip,
    client_product,
    never_any AS never_read_a_certificate_key,
    signs,
    new_network,
    new_client,
    readers AS readers_before,
    days AS active_days_before,
    first_time,
    last_time,
    'operation_name = ''SecretGet'' AND outcome = ''success''' AS drilldown_filter
FROM judged
