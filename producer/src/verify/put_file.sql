INSERT INTO cache_tasks (entity, period, job_id)
SELECT entity, period, job_id
FROM slices
WHERE entity = $1 AND period = $2 AND job_id = $3::uuid
ON CONFLICT DO NOTHING
