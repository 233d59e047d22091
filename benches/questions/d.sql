-- Chatty callers: twenty calls or more on one object within an hour, and how many of them a cache would have saved.
-- The roll-up says in which hours, and on which vaults, a caller has twenty calls at all.
WITH chatty AS (
    SELECT principal_id, vault_name, hour
    FROM activity
    WHERE distinct_objects > 0 AND principal_id IS NOT NULL
    GROUP BY principal_id, vault_name, hour
    HAVING sum(calls) >= 20
)
SELECT principal_id, vault_name, object_name, hour, sum(n) AS calls, sum(n) - count(object_version) AS repeats,
       sum(n) * 0.03 / 10000 AS usd
FROM (
    SELECT e.principal_id, e.vault_name, e.object_name, date_bin(INTERVAL '1 hour', e.time) AS hour, e.object_version,
           count(*) AS n
    FROM events e
    JOIN chatty c
      ON c.principal_id = e.principal_id AND c.vault_name = e.vault_name AND c.hour = date_bin(INTERVAL '1 hour', e.time)
    WHERE e.object_name IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
) AS versions
GROUP BY 1, 2, 3, 4
HAVING sum(n) >= 20
ORDER BY calls DESC
