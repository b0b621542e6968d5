-- What is known of the slices of these entities and periods: what each holds, the job with the newest export, one that
-- is under way, and the newest letters. Each is looked up along a key.
SELECT entity.name AS entity, period.name AS period,
    held.job_id, held.applied_at, held.slice_rows, trim_scale(held.slice_sum)::text AS slice_sum,
    abs(held.slice_sum) <= $3::text::numeric AS is_balanced,
    newest.status AS newest_status, newest.error_code,
    newest.status = 'failed' AND (held.applied_at IS NULL OR held.applied_at < newest.finished_at) AS has_failed,
    coalesce(letter.is_open, false) AS has_letter,
    under_way.status AS under_way,
    EXISTS (
        SELECT FROM period_locks AS lock WHERE lock.entity IN (entity.name, '*') AND lock.period = period.name) AS locked
FROM unnest($1::text[]) AS entity (name)
CROSS JOIN unnest($2::text[]) AS period (name)
LEFT JOIN LATERAL (
    SELECT slice.job_id, coalesce(run.applied_at, run.finished_at) AS applied_at, run.slice_rows, run.slice_sum
    FROM (SELECT job_id FROM slices WHERE slices.entity = entity.name AND slices.period = period.name LIMIT 1) AS slice
    CROSS JOIN LATERAL (
        SELECT applied_at, finished_at, slice_rows, slice_sum
        FROM ingestion_runs WHERE ingestion_runs.job_id = slice.job_id LIMIT 1
    ) AS run
) AS held ON true
LEFT JOIN LATERAL (
    SELECT status, error_code, finished_at
    FROM ingestion_runs AS run
    WHERE run.entity = entity.name AND run.period = period.name
    ORDER BY run.exported_at DESC
    LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT status
    FROM ingestion_runs AS run
    WHERE run.entity = entity.name AND run.period = period.name AND run.finished_at IS NULL
    ORDER BY run.started_at DESC
    LIMIT 1
) AS under_way ON true
LEFT JOIN LATERAL (
    SELECT bool_or(newest.state IN ('waiting', 'replaying', 'discarding')
        AND (held.applied_at IS NULL OR held.applied_at < coalesce(newest.died_at, newest.recorded_at))) AS is_open
    FROM (
        SELECT state, died_at, recorded_at
        FROM dead_letters
        WHERE dead_letters.entity = entity.name AND dead_letters.period = period.name
        ORDER BY place DESC
        LIMIT $4
    ) AS newest
) AS letter ON true
ORDER BY entity.name, period.name DESC
