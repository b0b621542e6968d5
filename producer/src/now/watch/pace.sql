-- Jobs that began in the last ten minutes, by how they stand, counted up to a bound.
SELECT asked.status, count(*) AS jobs, coalesce(sum(run.rows), 0)::bigint AS rows, max(run.started_at) AS newest
FROM unnest($1::text[]) AS asked (status)
CROSS JOIN LATERAL (
    SELECT rows, started_at
    FROM ingestion_runs AS run
    WHERE run.status = asked.status AND run.started_at > now() - interval '10 minutes'
    ORDER BY run.started_at DESC
    LIMIT $2
) AS run
GROUP BY asked.status
ORDER BY asked.status
