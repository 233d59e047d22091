-- +++
-- title = "A client speaks an outdated TLS version"
-- description = """
-- Counts a caller's records with a TLS version below 1.2 on a day. Azure retires these versions, so such clients will stop
-- working; and what they send can be read or changed by whoever stands between. Old clients are chronic: one alert a caller
-- tells it, and it ends a month after the last such call.
-- """
-- severity = "informational"
-- status = "stable"
-- techniques = ["T1557", "T1040"]
-- key = ["principal_id"]
-- every = "1d"
-- window = "1d"
-- lookback = "1d"
-- quiet_for = "30d"
-- false_positives = ["A scan of the vault's ciphers."]
-- response = ["Update the client's runtime or SDK: the version is the operating system's or the runtime's choice."]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/security-features", "https://attack.mitre.org/techniques/T1557/"]
-- false_alarm_rate = "None: the version is logged. Always informational."
--
-- [parameters]
-- min_calls = { default = 1, min = 1, about = "Fewest calls of a caller in a day." }
-- +++
WITH odd AS (
    -- Every record is looked at, for its version alone; the modern ones in their usual spelling are most and drop out.
    SELECT tls_version, regexp_replace(regexp_replace(lower(tls_version), '[^0-9._]', '', 'g'), '_', '.') AS version,
           lower(tls_version) LIKE 'ssl%' AS is_ssl
    FROM (
        SELECT DISTINCT tls_version FROM events
        WHERE time >= $from AND time < $to AND tls_version IS NOT NULL
    ) AS versions
    WHERE tls_version NOT IN ('TLS1_2', 'TLS1_3')
),
calls AS (
    SELECT date_bin($every, e.time) + $every AS window_end, e.principal_id, e.vault_name, e.caller_ip, e.client_product, e.tls_version,
           count(*) AS calls, max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type, max(e.app_id) AS app_id,
           min(e.time) AS first_time, max(e.time) AS last_time
    FROM odd o
    JOIN events e ON e.tls_version = o.tls_version
    WHERE e.time >= $from AND e.time < $to
      AND (o.is_ssl OR o.version IN ('1', '1.0', '1.1', '10', '11', '3', '3.0', '2', '2.0'))
    GROUP BY date_bin($every, e.time), e.principal_id, e.vault_name, e.caller_ip, e.client_product, e.tls_version
),
found AS (
    SELECT window_end, principal_id, max(principal_name) AS principal_name, max(principal_type) AS principal_type, max(app_id) AS app_id,
           array_agg(DISTINCT vault_name ORDER BY vault_name) FILTER (WHERE vault_name IS NOT NULL) AS vault_name,
           array_agg(DISTINCT caller_ip ORDER BY caller_ip) FILTER (WHERE caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT client_product ORDER BY client_product) FILTER (WHERE client_product IS NOT NULL) AS client_product,
           array_agg(DISTINCT tls_version ORDER BY tls_version) AS tls_versions,
           sum(calls) AS calls, min(first_time) AS first_time, max(last_time) AS last_time
    FROM calls
    WHERE window_end > $from AND window_end <= $to
    GROUP BY window_end, principal_id
    HAVING sum(calls) >= $min_calls
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(calls AS DOUBLE) AS observed,
    0.0 AS expected,
    concat(
        coalesce(principal_name, principal_id, 'A caller without identity'), ' called ', calls, CASE WHEN calls = 1 THEN ' time' ELSE ' times' END,
        ' on ', to_char(window_end - $window, '%Y-%m-%d'), ' with ', array_to_string(tls_versions, ', '), ' on ',
        CASE WHEN cardinality(vault_name) = 1 THEN concat('vault ', vault_name[1]) ELSE concat(cardinality(vault_name), ' vaults') END,
        CASE WHEN client_product IS NULL THEN '' ELSE concat(' (', array_to_string(array_slice(client_product, 1, 3), ', '), ')') END,
        '; these versions are retired, and the client will stop working.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    vault_name,
    caller_ip,
    client_product,
    tls_versions,
    first_time,
    last_time,
    'tls_version NOT IN (''TLS1_2'', ''TLS1_3'')' AS drilldown_filter
FROM found
