-- The newest exports of a slice before a place.
SELECT job_id, exported_at AS at, entity, period, status
FROM ingestion_runs
WHERE entity = $1 AND period = $5
  AND exported_at <= coalesce($2::timestamptz, 'infinity')
  AND (exported_at, job_id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY exported_at DESC, job_id DESC
LIMIT $4
