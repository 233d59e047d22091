-- Denied spike: ten minutes in which a caller is refused far more often than in its ten minutes of the day before.
-- Who is never refused five times in ten minutes has no answer: the others' calls need not be counted. The list of
-- names is told apart first, since a semi-join walks every copy of a key.
WITH bins AS (
    SELECT coalesce(principal_id, concat('ip:', caller_ip)) AS who, date_bin(INTERVAL '10 minutes', time) AS bin,
           sum(CASE WHEN http_status_code IN (401, 403) THEN 1 ELSE 0 END) AS denied
    FROM events
    WHERE coalesce(principal_id, concat('ip:', caller_ip)) IN (
        SELECT who
        FROM (
            SELECT coalesce(principal_id, concat('ip:', caller_ip)) AS who
            FROM events
            WHERE http_status_code IN (401, 403)
            GROUP BY coalesce(principal_id, concat('ip:', caller_ip)), date_bin(INTERVAL '10 minutes', time)
            HAVING count(*) >= 5
        ) AS refused
        GROUP BY who
    )
    GROUP BY 1, 2
),
spread AS (
    -- Sums of whole numbers, since a sliding stddev can return NaN.
    SELECT who, bin, denied, sum(denied) OVER day AS s, sum(denied * denied) OVER day AS ss, count(*) OVER day AS n
    FROM bins
    WINDOW day AS (
        PARTITION BY who ORDER BY bin RANGE BETWEEN INTERVAL '1 day' PRECEDING AND INTERVAL '10 minutes' PRECEDING
    )
)
SELECT who, bin, denied, mu, sd
FROM (
    SELECT who, bin, denied, n, s * 1.0 / n AS mu, sqrt(greatest(ss - s * 1.0 * s / n, 0.0) / nullif(n - 1, 0)) AS sd
    FROM spread
) AS judged
WHERE denied >= 5 AND n >= 6 AND denied > mu + 3 * sd
ORDER BY denied DESC
