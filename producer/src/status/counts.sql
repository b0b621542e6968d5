-- How many jobs stand where, counted up to a bound; from status to status along the index.
WITH RECURSIVE known AS (
    (SELECT status FROM ingestion_runs ORDER BY status LIMIT 1)
    UNION ALL
    SELECT (SELECT status FROM ingestion_runs AS run WHERE run.status > known.status ORDER BY status LIMIT 1)
    FROM known
    WHERE known.status IS NOT NULL
)
SELECT status,
       (SELECT count(*)
        FROM (
            SELECT FROM ingestion_runs AS run WHERE run.status = known.status ORDER BY run.started_at LIMIT $1
        ) AS run) AS jobs
FROM known
WHERE status IS NOT NULL
