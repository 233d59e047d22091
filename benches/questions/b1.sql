-- First-time secret: a caller reads a secret for the first time in the last day.
SELECT principal_id, vault_name, object_name, min(time) AS first_time, count(*) AS reads
FROM events
WHERE operation_name = 'SecretGet' AND outcome = 'success' AND principal_id IS NOT NULL
GROUP BY 1, 2, 3
HAVING min(time) >= TIMESTAMP '2026-10-30T00:00:00Z'
ORDER BY reads DESC
