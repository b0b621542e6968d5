-- These jobs, in this order, without their receipts.
SELECT run.*
FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (job_id, number)
CROSS JOIN LATERAL (
    SELECT job_id, batch_id, entity, period, file, status, error_code,
        left(result #>> '{error,message}', 300) AS error_message, attempts, replays, rows,
        trim_scale(balance_sum)::text AS balance_sum, exported_at, started_at, finished_at, claimed_by, published_by
    FROM ingestion_runs AS run
    WHERE run.job_id = asked.job_id
    LIMIT 1
) AS run
ORDER BY asked.number
