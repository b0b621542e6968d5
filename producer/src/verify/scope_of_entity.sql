-- Every slice or chain of an entity that any table knows. The ledger is walked from period to period along
-- its key.
WITH RECURSIVE ledger AS (
    (SELECT period FROM gl_accounts WHERE entity = $1 ORDER BY entity, period LIMIT 1)
    UNION ALL
    SELECT next.period
    FROM ledger
    CROSS JOIN LATERAL (
        SELECT period
        FROM gl_accounts AS account
        WHERE account.entity = $1 AND account.period > ledger.period
        ORDER BY entity, period
        LIMIT 1
    ) AS next
)
SELECT $1 AS entity, period
FROM (
    SELECT period FROM ledger
    UNION SELECT period FROM slices WHERE entity = $1
    UNION SELECT period FROM ingestion_runs WHERE entity = $1
    UNION SELECT period FROM audit_chains WHERE entity = $1
    UNION SELECT period FROM audit_outbox WHERE entity = $1
    UNION SELECT period FROM cache_tasks WHERE entity = $1
) AS known
WHERE $2::text IS NULL OR period = $2
