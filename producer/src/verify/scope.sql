-- Every slice or chain that any table knows. The ledger is walked from slice to slice along its key.
WITH RECURSIVE ledger AS (
    (SELECT entity, period FROM gl_accounts ORDER BY entity, period LIMIT 1)
    UNION ALL
    SELECT next.entity, next.period
    FROM ledger
    CROSS JOIN LATERAL (
        SELECT entity, period
        FROM gl_accounts AS account
        WHERE (account.entity, account.period) > (ledger.entity, ledger.period)
        ORDER BY entity, period
        LIMIT 1
    ) AS next
)
SELECT entity, period
FROM (
    SELECT entity, period FROM ledger
    UNION SELECT entity, period FROM slices
    UNION SELECT entity, period FROM ingestion_runs
    UNION SELECT entity, period FROM audit_chains
    UNION SELECT entity, period FROM audit_outbox
    UNION SELECT entity, period FROM cache_tasks
) AS known
WHERE $1::text IS NULL OR period = $1
