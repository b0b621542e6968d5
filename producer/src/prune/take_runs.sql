-- Takes runs of a slice away that are still over, and what goes with them; says what went, in rows and in money.
WITH run AS (
    DELETE FROM ingestion_runs
    WHERE job_id = ANY($3) AND entity = $1 AND period = $2 AND claim IS NULL AND finished_at IS NOT NULL
    RETURNING job_id
), change AS (
    DELETE FROM gl_balance_changes
    WHERE entity = $1 AND period = $2 AND job_id IN (SELECT job_id FROM run)
    RETURNING coalesce(new_balance, 0) - coalesce(old_balance, 0) AS movement
), rejected AS (
    DELETE FROM gl_rejected_rows
    WHERE entity = $1 AND period = $2 AND job_id IN (SELECT job_id FROM run)
    RETURNING 1
)
SELECT (SELECT coalesce(array_agg(job_id ORDER BY job_id), '{}') FROM run) AS jobs,
       (SELECT count(*) FROM change) AS changes,
       (SELECT trim_scale(coalesce(sum(movement), 0))::text FROM change) AS movement,
       (SELECT count(*) FROM rejected) AS rejected_rows
