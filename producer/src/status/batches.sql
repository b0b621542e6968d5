-- Batches, those whose jobs workers saw last first; each is looked up by itself.
SELECT given.batch_id, jobs, success, failed, skipped, superseded, cancelled, running, retrying, started_at, finished_at,
       batches.cancelled_at, batches.cancelled_by, batches.reason
FROM unnest($1::uuid[]) AS given (batch_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs,
           count(*) FILTER (WHERE status = 'success') AS success,
           count(*) FILTER (WHERE status = 'failed') AS failed,
           count(*) FILTER (WHERE status = 'skipped') AS skipped,
           count(*) FILTER (WHERE status = 'superseded') AS superseded,
           count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE status = 'running') AS running,
           count(*) FILTER (WHERE status = 'retrying') AS retrying,
           min(started_at) AS started_at,
           max(started_at) AS last_started_at,
           max(finished_at) AS finished_at
    FROM ingestion_runs AS run
    WHERE run.batch_id = given.batch_id
    HAVING count(*) > 0
) AS counted
LEFT JOIN LATERAL (
    SELECT cancelled_at, cancelled_by, reason FROM batches AS batch WHERE batch.batch_id = given.batch_id LIMIT 1
) AS batches ON true
ORDER BY last_started_at DESC
