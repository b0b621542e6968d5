-- Runs of a slice that were over before a moment, the oldest first, and whether anything needs them still: rows of the
-- ledger or the head of the slice, what is on its way, a dead letter in the queue; and the run that loaded what the slice
-- held at that moment, against which what is rebuilt of later moments is held.
WITH needed AS MATERIALIZED (
    SELECT job_id FROM slices WHERE entity = $1 AND period = $2
    UNION
    SELECT job_id FROM gl_accounts WHERE entity = $1 AND period = $2
    UNION
    SELECT job_id FROM gl_absent_accounts WHERE entity = $1 AND period = $2
    UNION
    SELECT job_id FROM cache_tasks WHERE entity = $1 AND period = $2
    UNION
    SELECT (event ->> 'job_id')::uuid FROM audit_outbox WHERE entity = $1 AND period = $2
    UNION
    SELECT job_id FROM metadata_outbox WHERE document ->> 'entity' = $1 AND document ->> 'period' = $2
    UNION
    SELECT job_id
    FROM dead_letters
    WHERE entity = $1 AND period = $2 AND state IN ('waiting', 'replaying', 'discarding')
    UNION
    (SELECT job_id
     FROM ingestion_runs
     WHERE entity = $1 AND period = $2 AND status = 'success' AND coalesce(applied_at, finished_at) < $3
     ORDER BY coalesce(applied_at, finished_at) DESC
     LIMIT 1)
)
SELECT job_id, status, EXISTS (SELECT FROM needed WHERE needed.job_id = run.job_id) AS is_needed
FROM ingestion_runs AS run
WHERE entity = $1 AND period = $2 AND claim IS NULL AND finished_at IS NOT NULL
  AND greatest(finished_at, applied_at) < $3
ORDER BY finished_at, job_id
