-- Runs of a job, of a batch, or the newest of each status: those under way first, then the newest. What is
-- not asked for is null; each of the three is a look-up of its own.
SELECT job_id, batch_id, entity, period, file, fingerprint, source, mode, exported_at, status, error_code,
       attempts, replays, rows, inserted, updated, unchanged, deleted, absent, failed,
       balance_sum::text AS balance_sum, slice_rows, trim_scale(slice_sum)::text AS slice_sum, started_at, applied_at, finished_at,
       duration_seconds, claimed_by, published_by, broker_user, forced_at, tries, result
FROM (
    SELECT * FROM ingestion_runs WHERE job_id = $1
    UNION ALL
    SELECT * FROM ingestion_runs WHERE batch_id = $2
    UNION ALL
    SELECT newest.*
    FROM unnest($3::text[]) AS asked (status)
    CROSS JOIN LATERAL (
        SELECT * FROM ingestion_runs AS run WHERE run.status = asked.status ORDER BY run.started_at DESC LIMIT $4
    ) AS newest
) AS run
ORDER BY status NOT IN ('running', 'retrying'), started_at DESC, entity, period
LIMIT $4
