WITH held AS (UPDATE ingestion_runs SET resting_at = now() WHERE job_id = $1 AND claim = $2 RETURNING job_id)
SELECT EXISTS (SELECT FROM held)
    OR NOT EXISTS (
        SELECT FROM ingestion_runs
        WHERE job_id = $1 AND (claim IS NOT NULL OR finished_at IS NOT NULL OR replays <> $3 OR attempts >= $4))
