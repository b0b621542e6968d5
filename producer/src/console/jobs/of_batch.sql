-- The newest jobs of a batch before a place. Its jobs are read first: along the times of all jobs it would be a search.
WITH of_batch AS MATERIALIZED (
    SELECT job_id, started_at, entity, period, status FROM ingestion_runs WHERE batch_id = $1
)
SELECT job_id, started_at AS at, entity, period, status
FROM of_batch
WHERE (started_at, job_id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY started_at DESC, job_id DESC
LIMIT $4
