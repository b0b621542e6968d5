-- Jobs of a slice that no worker has worked at for longer than so many seconds.
SELECT job_id, status, extract(epoch FROM now() - greatest(started_at, resting_at))::bigint AS seconds
FROM ingestion_runs
WHERE entity = $1 AND period = $2 AND finished_at IS NULL
  AND started_at < now() - make_interval(secs => $3::bigint)
  AND greatest(started_at, resting_at) < now() - make_interval(secs => $3::bigint)
ORDER BY started_at, job_id
