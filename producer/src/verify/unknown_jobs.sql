SELECT given.job_id
FROM unnest($1::uuid[]) AS given (job_id)
WHERE NOT EXISTS (SELECT FROM ingestion_runs AS run WHERE run.job_id = given.job_id AND run.status = 'success')
