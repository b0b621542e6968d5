-- Runs of a job, of a batch, or of statuses: those under way first, then the newest.
SELECT job_id, batch_id, entity, period, file, fingerprint, source, mode, exported_at, status, error_code,
       attempts, replays, rows, inserted, updated, unchanged, deleted, absent, failed,
       balance_sum::text AS balance_sum, started_at, finished_at, duration_seconds, claimed_by, published_by, broker_user, result
FROM ingestion_runs
WHERE ($1::uuid IS NULL OR job_id = $1)
  AND ($2::uuid IS NULL OR batch_id = $2)
  AND ($3::text[] IS NULL OR status = ANY ($3))
ORDER BY status NOT IN ('running', 'retrying'), started_at DESC, entity, period
LIMIT $4
