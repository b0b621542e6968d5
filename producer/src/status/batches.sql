-- Batches, those whose jobs workers saw last first.
SELECT runs.batch_id,
       count(*) AS jobs,
       count(*) FILTER (WHERE status = 'success') AS success,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE status = 'skipped') AS skipped,
       count(*) FILTER (WHERE status = 'superseded') AS superseded,
       count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
       count(*) FILTER (WHERE status = 'running') AS running,
       count(*) FILTER (WHERE status = 'retrying') AS retrying,
       min(started_at) AS started_at,
       max(finished_at) AS finished_at,
       max(batches.cancelled_at) AS cancelled_at
FROM ingestion_runs AS runs
LEFT JOIN batches USING (batch_id)
WHERE runs.batch_id = ANY ($1)
GROUP BY runs.batch_id
ORDER BY max(started_at) DESC
