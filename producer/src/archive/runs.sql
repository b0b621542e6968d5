SELECT {all}
FROM ingestion_runs
WHERE entity = $1 AND period = $2
ORDER BY exported_at, job_id
