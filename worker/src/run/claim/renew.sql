UPDATE ingestion_runs
SET status = 'running', claim = $2, claimed_by = $3, started_at = now(), resting_at = NULL, finished_at = NULL, ended_claim = NULL,
    error_code = NULL,
    attempts = CASE WHEN $4 THEN 0 ELSE attempts END,
    deaths = CASE WHEN $4 THEN 0 ELSE deaths END,
    alone = $5,
    replays = $6
WHERE job_id = $1
