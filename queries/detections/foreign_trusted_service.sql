-- +++
-- title = "A trusted service passed with another tenant's token"
-- description = """
-- A vault's firewall let a call pass since it came from a service that Azure trusts, and the call's token was issued by a
-- tenant that is not the vault's. A service of somebody else's tenant can so be made to read a vault (a confused deputy). The
-- vault's tenant is the one that issued most tokens of its answered calls of the day before and of the hour, else most of all
-- vaults' together; callers that come as trusted services do not vote. Microsoft's own tenants and its services are silent.
-- """
-- severity = "medium"
-- status = "stable"
-- techniques = ["T1199", "T1550.001"]
-- key = ["principal_id", "vault_name"]
-- every = "1h"
-- window = "1h"
-- lookback = "25h"
-- quiet_for = "30d"
-- false_positives = ["A managed service provider whose tenant runs services against a customer's vault.", "A vault that moved to another tenant within the day."]
-- response = [
--   "Find out whose tenant the issuer is, and whether a contract with it exists.",
--   "Take away the caller's rights on the vault, or switch off the firewall's exception for trusted services.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/overview-vnet-service-endpoints", "https://attack.mitre.org/techniques/T1199/"]
-- false_alarm_rate = "None of chance: a tenant is foreign or not. One alert a caller and vault in a month."
--
-- [parameters]
-- microsoft_tenants = { default = "f8cdef31-a31e-4b4a-93e4-5f571e91255a,72f988bf-86f1-41af-91ab-2d7cd011db47,33e01921-4d64-4f8c-a055-5bdaffd5e33d,975f013f-7f24-47e8-a7d3-abc4752bf346", about = "Tenants of Microsoft's own services, comma-separated." }
-- min_votes = { default = 20, min = 1, about = "Fewest calls of a day from which a vault's tenant is told by its own log." }
-- +++
WITH passed AS (
    SELECT time, date_bin($every, time) + $every AS window_end, principal_id, principal_name, principal_type, app_id, vault_name,
           subscription_id, caller_ip, object_name, operation_name, trusted_service, split_part(lower(token_issuer), '/', 4) AS tenant
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND trusted_service IS NOT NULL AND outcome = 'success'
      AND token_issuer IS NOT NULL AND vault_name IS NOT NULL
),
windows AS (
    SELECT DISTINCT window_end FROM passed
    WHERE window_end > $from AND window_end <= $to AND tenant <> '' AND NOT array_has(string_to_array($microsoft_tenants, ','), tenant)
),
votes AS (
    SELECT h.hour, h.vault_name, split_part(lower(h.token_issuer), '/', 4) AS tenant, h.calls
    FROM (
        SELECT date_trunc('hour', time) AS hour, vault_name, token_issuer, count(*) AS calls
        FROM events
        WHERE time >= $from - $lookback AND time < $to AND outcome = 'success' AND trusted_service IS NULL
          AND token_issuer IS NOT NULL AND vault_name IS NOT NULL
          AND EXISTS (SELECT 1 FROM windows)
        GROUP BY date_trunc('hour', time), vault_name, token_issuer
    ) h
),
elected AS (
    -- By vault, and in a row without one by all vaults together.
    SELECT window_end, vault_name, sum(calls) AS calls,
           first_value(tenant ORDER BY calls DESC, tenant) AS tenant
    FROM (
        SELECT w.window_end, v.vault_name, v.tenant, sum(v.calls) AS calls
        FROM windows w
        JOIN votes v ON v.hour < w.window_end AND v.hour >= w.window_end - $lookback
        WHERE v.tenant <> ''
        GROUP BY w.window_end, v.vault_name, v.tenant
        UNION ALL
        SELECT w.window_end, CAST(NULL AS VARCHAR) AS vault_name, v.tenant, sum(v.calls) AS calls
        FROM windows w
        JOIN votes v ON v.hour < w.window_end AND v.hour >= w.window_end - $lookback
        WHERE v.tenant <> ''
        GROUP BY w.window_end, v.tenant
    ) AS counted
    GROUP BY window_end, vault_name
),
strangers AS (
    SELECT p.*, CASE WHEN own.calls >= $min_votes THEN own.tenant ELSE everywhere.tenant END AS home
    FROM passed p
    JOIN windows w ON w.window_end = p.window_end
    LEFT JOIN elected own ON own.window_end = p.window_end AND own.vault_name = p.vault_name
    LEFT JOIN elected everywhere ON everywhere.window_end = p.window_end AND everywhere.vault_name IS NULL AND everywhere.calls >= $min_votes
    LEFT JOIN principals who ON who.principal_id = p.principal_id
    LEFT JOIN principals app ON app.principal_id = p.app_id
    WHERE p.tenant <> '' AND NOT array_has(string_to_array($microsoft_tenants, ','), p.tenant)
      AND NOT coalesce(who.is_first_party, false) AND NOT coalesce(app.is_first_party, false)
),
found AS (
    SELECT window_end, principal_id, vault_name, max(principal_name) AS principal_name, max(principal_type) AS principal_type,
           max(app_id) AS app_id, max(subscription_id) AS subscription_id, max(home) AS home,
           array_agg(DISTINCT tenant ORDER BY tenant) AS tenants,
           array_agg(DISTINCT trusted_service ORDER BY trusted_service) AS services,
           array_agg(DISTINCT operation_name ORDER BY operation_name) AS operation_name,
           array_agg(DISTINCT object_name ORDER BY object_name) FILTER (WHERE object_name IS NOT NULL) AS object_name,
           array_agg(DISTINCT caller_ip ORDER BY caller_ip) FILTER (WHERE caller_ip IS NOT NULL) AS caller_ip,
           count(*) AS calls, min(time) AS first_time, max(time) AS last_time
    FROM strangers
    WHERE home IS NOT NULL AND tenant <> home
    GROUP BY window_end, principal_id, vault_name
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    vault_name,
    CAST(calls AS DOUBLE) AS observed,
    0.0 AS expected,
    concat(
        coalesce(principal_name, principal_id, 'A caller without identity'), ' passed the firewall of vault ', vault_name, ' ', calls,
        CASE WHEN calls = 1 THEN ' time' ELSE ' times' END, ' as trusted service ', array_to_string(services, ', '),
        ' with a token of tenant ', array_to_string(tenants, ', '), ', while the vault''s callers are of tenant ', home,
        '; a service of somebody else''s tenant reads this vault.'
    ) AS summary,
    calls AS event_count,
    principal_name,
    principal_type,
    app_id,
    subscription_id,
    object_name,
    operation_name,
    caller_ip,
    tenants AS foreign_tenants,
    home AS home_tenant,
    services AS trusted_services,
    first_time,
    last_time,
    'trusted_service IS NOT NULL AND outcome = ''success''' AS drilldown_filter
FROM found
