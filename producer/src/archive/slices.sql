-- The slices of a year that any table knows, with what is to hold of their rows and chains. The ledger is walked from
-- entity to entity along its key, and asked for each of the sixteen periods.
WITH RECURSIVE entities AS (
    (SELECT entity FROM gl_accounts WHERE entity >= coalesce($2::text, '') ORDER BY entity LIMIT 1)
    UNION ALL
    SELECT next.entity
    FROM entities
    CROSS JOIN LATERAL (
        SELECT entity FROM gl_accounts AS account WHERE account.entity > entities.entity ORDER BY entity LIMIT 1
    ) AS next
    WHERE $2::text IS NULL
), periods AS (
    SELECT $1::text || '-' || lpad(month::text, 2, '0') AS period FROM generate_series(1, 16) AS month
), ledger AS (
    SELECT entities.entity, periods.period
    FROM entities
    CROSS JOIN periods
    -- A join could read all rows to find out that there is one.
    CROSS JOIN LATERAL (
        SELECT FROM gl_accounts AS account
        WHERE account.entity = entities.entity AND account.period = periods.period
        LIMIT 1
    ) AS one
), waiting AS (
    SELECT entity, period, count(*) AS events FROM audit_outbox WHERE period LIKE $1::text || '-%' GROUP BY entity, period
), known AS (
    SELECT entity, period FROM ledger
    UNION SELECT entity, period FROM slices WHERE period LIKE $1::text || '-%'
    UNION SELECT entity, period FROM audit_chains WHERE period LIKE $1::text || '-%'
    UNION SELECT entity, period FROM waiting
)
SELECT now() AS taken_at, known.entity, known.period, slice.job_id, slice.fingerprint,
       run.file, run.fingerprint AS run_fingerprint, run.slice_rows, trim_scale(run.slice_sum)::text AS slice_sum,
       coalesce(chain.seq, 0) AS events, coalesce(chain.hash, repeat('0', 64)) AS head, chain.halted_by,
       coalesce(waiting.events, 0) AS waiting,
       EXISTS (
           SELECT FROM period_locks AS lock
           WHERE lock.period = known.period AND lock.entity IN ('*', known.entity)
       ) AS is_locked
FROM known
LEFT JOIN slices AS slice ON slice.entity = known.entity AND slice.period = known.period
LEFT JOIN ingestion_runs AS run
    ON run.job_id = slice.job_id AND run.status = 'success' AND run.entity = known.entity AND run.period = known.period
LEFT JOIN audit_chains AS chain ON chain.entity = known.entity AND chain.period = known.period
LEFT JOIN waiting ON waiting.entity = known.entity AND waiting.period = known.period
WHERE $2::text IS NULL OR known.entity = $2
ORDER BY known.entity COLLATE "C", known.period COLLATE "C"
