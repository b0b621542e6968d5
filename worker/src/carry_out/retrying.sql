UPDATE ingestion_runs
SET status = 'retrying', attempts = $3, error_code = $4, fingerprint = coalesce($5, fingerprint), claim = NULL
WHERE job_id = $1 AND claim = $2
