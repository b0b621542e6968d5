-- $1 to $14: see row.rs. $15: the claim of the attempt that failed.
INSERT INTO ingestion_runs AS run (job_id, batch_id, file, entity, period, source, exported_at, forced_at, body_hash,
    replays, arrival_from, arrival_intake, published_by, broker_user, status, attempts, error_code, fingerprint)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'retrying', $16, $17, $18)
ON CONFLICT (job_id) DO UPDATE
SET attempts = excluded.attempts, replays = excluded.replays, error_code = excluded.error_code,
    fingerprint = coalesce(excluded.fingerprint, run.fingerprint),
    -- The retry may be under way already, under a claim of its own; that attempt of before it was spent all the same.
    status = CASE WHEN run.claim IS DISTINCT FROM $15 AND run.claim IS NOT NULL THEN run.status ELSE 'retrying' END,
    claim = nullif(run.claim, $15),
    resting_at = CASE WHEN run.claim = $15 THEN NULL ELSE run.resting_at END,
    finished_at = NULL, ended_claim = NULL,
    deaths = CASE WHEN run.replays < excluded.replays THEN 0 ELSE run.deaths END,
    alone = run.alone AND run.replays = excluded.replays
WHERE run.body_hash = excluded.body_hash
  -- The failure of an earlier round is not the end of this one.
  AND (run.finished_at IS NULL OR run.status = 'failed' AND run.replays < excluded.replays)
  AND (run.claim = $15 OR run.claim IS NULL OR run.replays = excluded.replays)
  AND (run.replays, run.attempts) < (excluded.replays, excluded.attempts)
