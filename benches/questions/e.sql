-- New address: a caller comes from an address for the first time in the last day. Wholly out of the roll-up.
SELECT principal_id, value AS caller_ip, min(first_time) AS first_time, sum(calls) AS calls
FROM sightings
WHERE kind = 'address' AND principal_id IS NOT NULL
GROUP BY 1, 2
HAVING min(first_time) >= TIMESTAMP '2026-10-30T00:00:00Z'
ORDER BY calls DESC
