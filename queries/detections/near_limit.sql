-- +++
-- title = "Calls come near a limit of the vault"
-- description = """
-- Key Vault serves so many calls in any ten seconds, by vault and by what is asked: secrets and the vault itself, new secrets,
-- keys by kind and size, new keys; five times as much for all vaults of a subscription in a region. Past it come 429s for
-- everybody. Adds up the calls that were served, each as its share of its own limit, over sliding ten seconds (to the second).
-- Kind and size of a key come from the record of its making within the look-back; a key that is not known so counts as RSA
-- 2048 in software, the widest limit. Sums of a subscription need the vaults' region from the file of vaults, and hold the
-- vaults that come to a fair share of their own limit.
-- """
-- severity = "low"
-- status = "experimental"
-- techniques = ["T1499.003"]
-- key = ["vault_name", "subscription_id"]
-- every = "5m"
-- window = "5m"
-- lookback = "28d"
-- baseline = "16d"
-- quiet_for = "1d"
-- false_positives = ["A load test.", "A batch that runs rarely and near the limit each time."]
-- response = [
--   "Talk to the owner of the caller that makes most of the calls before the limit is met: a cache, or calls spread over time.",
--   "Large keys cost most: one RSA 4096 operation is worth eight of RSA 2048. Verify, encrypt and wrap can be done with the public key, without the vault.",
--   "Split the objects over several vaults; past five vaults' worth, over subscriptions.",
-- ]
-- references = ["https://learn.microsoft.com/azure/key-vault/general/service-limits"]
-- false_alarm_rate = "It is a fact and no guess; what was as busy on an earlier day is informational; none at low or above in 100 simulated days of 60 to 150 callers."
--
-- [parameters]
-- near = { default = 0.8, min = 0.1, max = 1.0, about = "Share of a limit from which it is told." }
-- chronic = { default = 0.7, min = 0.0, about = "Share of the calls that one caller made within ten seconds on an earlier day, to be no news." }
-- secrets = { default = 4000, min = 1, about = "Secret and vault transactions in ten seconds." }
-- new_secrets = { default = 300, min = 1, about = "Secrets set in ten seconds." }
-- hsm_new_keys = { default = 10, min = 1, about = "HSM keys created or imported in ten seconds." }
-- software_new_keys = { default = 20, min = 1, about = "Software keys created or imported in ten seconds." }
-- hsm_2048 = { default = 2000, min = 1, about = "Operations with an HSM key of RSA 2048 or on a curve." }
-- hsm_3072 = { default = 500, min = 1, about = "Operations with an HSM key of RSA 3072." }
-- hsm_4096 = { default = 250, min = 1, about = "Operations with an HSM key of RSA 4096." }
-- software_2048 = { default = 4000, min = 1, about = "Operations with a software key of RSA 2048 or on a curve." }
-- software_3072 = { default = 1000, min = 1, about = "Operations with a software key of RSA 3072." }
-- software_4096 = { default = 500, min = 1, about = "Operations with a software key of RSA 4096." }
-- subscription_times = { default = 5, min = 1, about = "How many vaults' limits a subscription has in a region." }
-- history = { default = "14d", about = "How far back the busiest ten seconds count; at most the baseline less two days." }
-- +++
WITH makings AS (
    SELECT vault_name, object_name, time, upper(key_type) LIKE '%HSM%' AS is_hsm,
           CASE WHEN upper(key_type) LIKE 'RSA%' THEN coalesce(key_size, 2048) ELSE 2048 END AS size
    FROM events
    WHERE time >= $from - $lookback AND time < $to AND key_type IS NOT NULL AND object_name IS NOT NULL AND outcome = 'success'
),
kinds AS (
    SELECT vault_name, object_name, is_hsm, size, time AS since, lead(time) OVER (PARTITION BY vault_name, object_name ORDER BY time, size) AS until
    FROM makings
),
tightest AS (
    SELECT vault_name, min(CASE WHEN is_hsm AND size >= 4096 THEN $hsm_4096 WHEN is_hsm AND size >= 3072 THEN $hsm_3072 WHEN is_hsm THEN $hsm_2048
                                WHEN size >= 4096 THEN $software_4096 WHEN size >= 3072 THEN $software_3072 ELSE $software_2048 END) AS calls
    FROM makings GROUP BY vault_name
),
hours AS (
    -- Ten seconds anywhere lie in two of the clock's, so one of those has half. Hardly any hour remains.
    SELECT a.vault_name, a.hour
    FROM activity a
    LEFT JOIN tightest t ON t.vault_name = a.vault_name
    WHERE a.hour >= date_trunc('hour', $from - INTERVAL '1 hour') AND a.hour < $to AND a.vault_name IS NOT NULL
      AND a.outcome NOT IN ('throttled', 'challenge') AND a.operation_class NOT IN ('notify', 'policy')
    GROUP BY a.vault_name, a.hour
    HAVING sum(CASE WHEN a.operation_name IN ('KeyCreate', 'KeyImport') THEN a.peak_10s ELSE 0 END) >= 0.5 * $near * least($hsm_new_keys, $software_new_keys)
        OR sum(CASE WHEN a.operation_name = 'SecretSet' THEN a.peak_10s ELSE 0 END) >= 0.5 * $near * $new_secrets
        OR sum(CASE WHEN a.operation_name LIKE 'Key%' THEN a.peak_10s ELSE 0 END) >= 0.5 * $near * max(coalesce(t.calls, least($software_2048, $hsm_2048)))
        OR sum(CASE WHEN a.operation_name LIKE 'Key%' THEN 0 ELSE a.peak_10s END) >= 0.5 * $near * $secrets
),
wanted AS (
    SELECT vault_name, hour FROM hours
    UNION SELECT vault_name, hour - INTERVAL '1 hour' FROM hours
    UNION SELECT vault_name, hour + INTERVAL '1 hour' FROM hours
),
calls AS (
    SELECT e.vault_name, e.subscription_id, e.operation_name, e.object_name, date_trunc('second', e.time) AS second, count(*) AS calls
    FROM wanted w
    JOIN events e ON e.vault_name = w.vault_name AND date_trunc('hour', e.time) = w.hour
    WHERE e.time >= $from - INTERVAL '10 minutes' AND e.time < $to
      AND e.outcome NOT IN ('throttled', 'challenge') AND e.operation_class NOT IN ('notify', 'policy') AND (e.category IS NULL OR e.category = 'AuditEvent')
    GROUP BY e.vault_name, e.subscription_id, e.operation_name, e.object_name, date_trunc('second', e.time)
),
shares AS (
    SELECT vault_name, subscription_id, second, pool, calls, calls / CAST(calls_allowed AS DOUBLE) AS load
    FROM (
        SELECT c.vault_name, c.subscription_id, c.second, c.calls,
               CASE
                   WHEN c.operation_name IN ('KeyCreate', 'KeyImport') THEN CASE WHEN k.is_hsm THEN 'new HSM keys' ELSE 'new software keys' END
                   WHEN c.operation_name LIKE 'Key%' THEN CASE WHEN k.is_hsm THEN 'HSM keys' ELSE 'software keys' END
                   ELSE 'secrets and vault'
               END AS pool,
               CASE
                   WHEN c.operation_name IN ('KeyCreate', 'KeyImport') THEN CASE WHEN k.is_hsm THEN $hsm_new_keys ELSE $software_new_keys END
                   WHEN c.operation_name NOT LIKE 'Key%' THEN $secrets
                   WHEN k.is_hsm THEN CASE WHEN k.size >= 4096 THEN $hsm_4096 WHEN k.size >= 3072 THEN $hsm_3072 ELSE $hsm_2048 END
                   ELSE CASE WHEN k.size >= 4096 THEN $software_4096 WHEN k.size >= 3072 THEN $software_3072 ELSE $software_2048 END
               END AS calls_allowed
        FROM calls c
        LEFT JOIN kinds k ON k.vault_name = c.vault_name AND k.object_name = c.object_name AND c.operation_name LIKE 'Key%'
         -- The same for a window whatever the period: makings of its own look-back only.
         AND k.since >= c.second - $lookback + INTERVAL '10 minutes'
         AND c.second >= date_trunc('second', k.since) AND (k.until IS NULL OR c.second < date_trunc('second', k.until))
        UNION ALL
        -- A secret that is set counts twice: as a call, and as a new secret.
        SELECT vault_name, subscription_id, second, calls, 'new secrets' AS pool, $new_secrets AS calls_allowed
        FROM calls WHERE operation_name = 'SecretSet'
    )
),
sums AS (
    SELECT vault_name, CAST(NULL AS VARCHAR) AS subscription_id, max(subscription_id) AS subscription, vault_name AS place, pool, second,
           CAST(sum(calls) AS BIGINT) AS calls, sum(load) AS load
    FROM shares
    GROUP BY vault_name, pool, second
    UNION ALL
    SELECT CAST(NULL AS VARCHAR) AS vault_name, s.subscription_id, s.subscription_id AS subscription, s.subscription_id || ' in ' || v.region AS place, s.pool, s.second,
           CAST(sum(s.calls) AS BIGINT) AS calls, sum(s.load) / $subscription_times AS load
    FROM shares s JOIN vaults v ON v.vault_name = s.vault_name
    WHERE v.region IS NOT NULL AND s.subscription_id IS NOT NULL
    GROUP BY s.subscription_id, v.region, s.pool, s.second
),
stretches AS (
    SELECT *, sum(load) OVER w AS share, sum(calls) OVER w AS in_ten_seconds
    FROM sums
    WINDOW w AS (PARTITION BY place, pool ORDER BY second RANGE BETWEEN INTERVAL '9 seconds' PRECEDING AND CURRENT ROW)
),
strongest AS (
    SELECT *
    FROM (
        SELECT *, date_bin($every, second) + $every AS window_end,
               row_number() OVER (PARTITION BY coalesce(vault_name, subscription_id), vault_name IS NULL, date_bin($every, second)
                                  ORDER BY share DESC, pool, place, second) AS rank
        FROM stretches
        -- Shares are sums of fractions.
        WHERE share >= $near - 1e-9
    )
    WHERE rank = 1 AND window_end > $from AND window_end <= $to
),
callers AS (
    SELECT s.vault_name, s.subscription_id, s.window_end, e.principal_id, max(e.principal_name) AS principal_name, max(e.principal_type) AS principal_type,
           max(e.app_id) AS app_id, count(*) AS calls, min(e.time) AS first_time, max(e.time) AS last_time,
           array_agg(DISTINCT e.operation_name ORDER BY e.operation_name) AS operation_name
    FROM strongest s
    JOIN events e ON (e.vault_name = s.vault_name OR e.subscription_id = s.subscription_id)
    WHERE e.time >= $from - INTERVAL '10 minutes' AND e.time < $to
      AND e.time >= s.second - INTERVAL '9 seconds' AND e.time < s.second + INTERVAL '1 second'
      AND e.outcome NOT IN ('throttled', 'challenge') AND e.operation_class NOT IN ('notify', 'policy')
      AND CASE WHEN s.pool = 'new secrets' THEN e.operation_name = 'SecretSet' WHEN s.pool LIKE 'new%' THEN e.operation_name IN ('KeyCreate', 'KeyImport')
               WHEN s.pool LIKE '%keys' THEN e.operation_name LIKE 'Key%' ELSE e.operation_name NOT LIKE 'Key%' END
    GROUP BY s.vault_name, s.subscription_id, s.window_end, e.principal_id
),
busiest AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY coalesce(vault_name, subscription_id), vault_name IS NULL, window_end ORDER BY calls DESC, principal_id) AS rank,
               count(*) OVER (PARTITION BY coalesce(vault_name, subscription_id), vault_name IS NULL, window_end) AS number
        FROM callers
    ) WHERE rank = 1
),
past AS (
    -- The busiest ten seconds of one caller and operation on earlier days; of several together the roll-up does not know.
    SELECT s.vault_name, s.window_end, max(a.peak_10s) AS peak
    FROM strongest s
    JOIN activity a ON a.vault_name = s.vault_name
    WHERE a.hour >= $from - $window - $baseline AND a.hour >= s.window_end - $window - $history - INTERVAL '1 day'
      AND a.hour + INTERVAL '1 day' <= s.window_end - $window AND a.outcome = 'success'
      AND CASE WHEN s.pool = 'new secrets' THEN a.operation_name = 'SecretSet' WHEN s.pool LIKE 'new%' THEN a.operation_name IN ('KeyCreate', 'KeyImport')
               WHEN s.pool LIKE '%keys' THEN a.operation_name LIKE 'Key%' ELSE a.operation_name NOT LIKE 'Key%' END
    GROUP BY s.vault_name, s.window_end
)
SELECT
    s.window_end - $window AS window_start,
    s.window_end,
    s.vault_name,
    s.subscription_id,
    s.share AS observed,
    coalesce(CAST(p.peak AS DOUBLE), 0.0) * s.share / s.in_ten_seconds AS expected,
    CASE WHEN p.peak >= $chronic * s.in_ten_seconds THEN 'informational' ELSE 'low' END AS severity,
    concat(
        CASE WHEN s.vault_name IS NULL THEN 'Subscription ' ELSE 'Vault ' END, s.place, ' served ', s.in_ten_seconds, ' calls of ', s.pool,
        ' in the ten seconds to ', to_char(s.second + INTERVAL '1 second', '%Y-%m-%d %H:%M:%S'), ' UTC, ', CAST(round(100 * s.share) AS BIGINT),
        ' % of what it may before it answers 429', CASE WHEN s.pool LIKE '%keys' THEN ' (each call weighed by its key)' ELSE '' END, '. ',
        coalesce(b.principal_name, b.principal_id, 'An unknown caller'), ' made ', b.calls, ' of them',
        CASE WHEN p.peak >= $chronic * s.in_ten_seconds THEN ', as on earlier days' WHEN s.vault_name IS NULL THEN ''
             ELSE concat('; in the two weeks before no caller came above ', coalesce(p.peak, 0)) END,
        '.'
    ) AS summary,
    s.in_ten_seconds AS event_count,
    b.principal_id,
    b.principal_name,
    b.principal_type,
    b.app_id,
    b.operation_name,
    s.pool AS limit_kind,
    s.subscription AS subscription,
    s.second + INTERVAL '1 second' AS busiest_end,
    b.calls AS calls_of_busiest_caller,
    b.number AS callers,
    coalesce(p.peak, 0) AS busiest_ten_seconds_before,
    b.first_time,
    b.last_time
FROM strongest s
JOIN busiest b ON coalesce(b.vault_name, '') = coalesce(s.vault_name, '') AND coalesce(b.subscription_id, '') = coalesce(s.subscription_id, '') AND b.window_end = s.window_end
LEFT JOIN past p ON p.vault_name = s.vault_name AND p.window_end = s.window_end
