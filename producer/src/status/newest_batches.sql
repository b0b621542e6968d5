-- The batches of the newest jobs that are of one, and how many jobs were looked at for that.
SELECT batch_id, (sum(count(*)) OVER ())::bigint AS looked_at
FROM (
    SELECT batch_id, started_at
    FROM ingestion_runs
    WHERE batch_id IS NOT NULL
    ORDER BY started_at DESC
    LIMIT $1
) AS newest
GROUP BY batch_id
ORDER BY max(started_at) DESC
LIMIT $2
