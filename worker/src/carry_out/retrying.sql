INSERT INTO ingestion_runs AS run (job_id, batch_id, file, entity, period, source, exported_at, forced_at, status,
    body_hash, replays, attempts, error_code, fingerprint, arrival_from, arrival_intake, published_by, broker_user)
VALUES ($1, $3, $4, $5, $6, $7, $8, $9, 'retrying', $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (job_id) DO UPDATE
SET status = 'retrying', attempts = excluded.attempts, replays = excluded.replays, error_code = excluded.error_code,
    fingerprint = coalesce(excluded.fingerprint, run.fingerprint), claim = NULL, resting_at = NULL
WHERE run.finished_at IS NULL AND run.body_hash = excluded.body_hash AND (run.claim = $2 OR run.claim IS NULL)
  AND (run.replays, run.attempts) < (excluded.replays, excluded.attempts)
