-- What is rebuilt, and the job whose rows that must be.
WITH totals AS (
    SELECT count(*) AS rows, coalesce(trim_scale(sum(balance)), 0)::text AS sum
    FROM gl_accounts_as_of($1, $2, $3)
), last AS (
    SELECT job_id, coalesce(applied_at, finished_at) AS applied_at, slice_rows, trim_scale(slice_sum)::text AS slice_sum
    FROM ingestion_runs
    WHERE entity = $1 AND period = $2 AND status = 'success' AND coalesce(applied_at, finished_at) <= $3
    ORDER BY coalesce(applied_at, finished_at) DESC
    LIMIT 1
)
SELECT totals.rows, totals.sum, last.job_id, last.applied_at, last.slice_rows, last.slice_sum
FROM totals
LEFT JOIN last ON true
