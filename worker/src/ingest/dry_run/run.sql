SELECT body_hash, status, finished_at IS NOT NULL AS is_ended, exported_at, forced_at, arrival_from, arrival_intake,
    published_by, broker_user
FROM ingestion_runs
WHERE job_id = $1
