-- Throttling: minutes in which a vault answers 429 twice or more, and to a tenth of the calls or more.
-- The roll-up says in which hours that can be.
WITH hours AS (
    SELECT vault_name, hour
    FROM activity
    WHERE outcome = 'throttled'
    GROUP BY vault_name, hour
    HAVING sum(calls) >= 2
)
SELECT e.vault_name, date_bin(INTERVAL '1 minute', e.time) AS minute, count(*) AS calls,
       sum(CASE WHEN e.http_status_code = 429 THEN 1 ELSE 0 END) AS throttled
FROM events e
JOIN hours h ON h.vault_name = e.vault_name AND h.hour = date_bin(INTERVAL '1 hour', e.time)
GROUP BY 1, 2
HAVING sum(CASE WHEN e.http_status_code = 429 THEN 1 ELSE 0 END) >= 2
   AND sum(CASE WHEN e.http_status_code = 429 THEN 1 ELSE 0 END) * 10 >= count(*)
ORDER BY throttled DESC
