-- The receipts of jobs that have ended. A failure of an earlier round is about to be tried again; one of before
-- the message was published is not yet what became of that.
SELECT result
FROM ingestion_runs
WHERE job_id = ANY($1)
  AND finished_at IS NOT NULL
  AND result IS NOT NULL
  AND (status <> 'failed' OR (finished_at > now() - make_interval(secs => $2::bigint) AND replays >= $3))
