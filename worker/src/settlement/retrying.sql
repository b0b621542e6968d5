INSERT INTO ingestion_runs AS run (job_id, batch_id, file, entity, period, source, exported_at, forced_at, status,
    body_hash, replays, attempts, error_code, fingerprint, arrival_from, arrival_intake, published_by, broker_user)
VALUES ($1, $3, $4, $5, $6, $7, $8, $9, 'retrying', $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (job_id) DO UPDATE
SET attempts = excluded.attempts, replays = excluded.replays, error_code = excluded.error_code,
    fingerprint = coalesce(excluded.fingerprint, run.fingerprint),
    -- The retry may be under way already, under a claim of its own; that attempt of before it was spent all the same.
    status = CASE WHEN run.claim IS DISTINCT FROM $2 AND run.claim IS NOT NULL THEN run.status ELSE 'retrying' END,
    claim = nullif(run.claim, $2),
    resting_at = CASE WHEN run.claim = $2 THEN NULL ELSE run.resting_at END,
    finished_at = NULL, ended_claim = NULL,
    deaths = CASE WHEN run.replays < excluded.replays THEN 0 ELSE run.deaths END,
    alone = run.alone AND run.replays = excluded.replays
WHERE run.body_hash = excluded.body_hash
  -- The failure of an earlier round is not the end of this one.
  AND (run.finished_at IS NULL OR run.status = 'failed' AND run.replays < excluded.replays)
  AND (run.claim = $2 OR run.claim IS NULL OR run.replays = excluded.replays)
  AND (run.replays, run.attempts) < (excluded.replays, excluded.attempts)
