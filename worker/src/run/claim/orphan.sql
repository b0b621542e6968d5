SELECT job_id FROM ingestion_runs
WHERE entity = $1 AND period = $2 AND body_hash = $3 AND finished_at IS NULL AND attempts = 0 AND replays = 0
  AND forced_at IS NULL AND (exported_at = $4 OR NOT $5)
  AND (resting_at IS NULL OR resting_at < now() - interval '5 s')
ORDER BY started_at, job_id
LIMIT 1
