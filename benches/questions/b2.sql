-- Different secrets in an hour, against the caller's 168 active hours before. The roll-up has them by vault.
WITH hourly AS (
    SELECT principal_id, hour, sum(distinct_objects) AS objects
    FROM activity
    WHERE operation_name = 'SecretGet' AND outcome = 'success' AND principal_id IS NOT NULL
    GROUP BY 1, 2
),
spread AS (
    SELECT principal_id, hour, objects, sum(objects) OVER before AS s, sum(objects * objects) OVER before AS ss,
           count(*) OVER before AS n
    FROM hourly
    -- Told apart first: a semi-join walks every copy of a key.
    WHERE principal_id IN (SELECT DISTINCT principal_id FROM hourly WHERE objects >= 5)
    WINDOW before AS (PARTITION BY principal_id ORDER BY hour ROWS BETWEEN 168 PRECEDING AND 1 PRECEDING)
)
SELECT principal_id, hour, objects, mu, sd
FROM (
    SELECT principal_id, hour, objects, n, s * 1.0 / n AS mu,
           sqrt(greatest(ss - s * 1.0 * s / n, 0.0) / nullif(n - 1, 0)) AS sd
    FROM spread
) AS judged
WHERE objects >= 5 AND n >= 24 AND objects > mu + 3 * sd
ORDER BY objects DESC
