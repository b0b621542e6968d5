-- What the ledger holds of a slice, and how much of it its newest export had. Runs are looked up one by one:
-- the rows are of a few, and the slice may have had many.
SELECT coalesce(sum(rows), 0)::bigint AS rows,
       trim_scale(coalesce(sum(balance), 0))::text AS sum,
       coalesce(sum(absent), 0)::bigint AS absent,
       trim_scale(coalesce(sum(present_balance), 0))::text AS present_sum,
       coalesce(sum(rows) FILTER (WHERE run.job_id IS NULL), 0)::bigint AS of_no_run
FROM (
    SELECT account.job_id,
           count(*) AS rows,
           sum(account.balance) AS balance,
           count(*) FILTER (WHERE account.is_absent) AS absent,
           sum(account.balance) FILTER (WHERE NOT account.is_absent) AS present_balance
    FROM (
        -- IN is hashed whatever PostgreSQL knows of the tables; a join may look each row up in all others.
        SELECT job_id, balance, (company_code, account_code) IN (
            SELECT company_code, account_code FROM gl_absent_accounts WHERE entity = $1 AND period = $2) AS is_absent
        FROM gl_accounts
        WHERE entity = $1 AND period = $2
    ) AS account
    GROUP BY account.job_id
) AS of_job
LEFT JOIN LATERAL (
    SELECT job_id
    FROM ingestion_runs
    WHERE job_id = of_job.job_id AND status = 'success' AND entity = $1 AND period = $2
    LIMIT 1
) AS run ON true
