-- What the ledger holds of a slice, and how much of it its newest export had.
SELECT count(*) AS rows,
       trim_scale(coalesce(sum(account.balance), 0))::text AS sum,
       count(absent.account_code) AS absent,
       trim_scale(coalesce(sum(account.balance) FILTER (WHERE absent.account_code IS NULL), 0))::text AS present_sum,
       count(*) FILTER (WHERE run.job_id IS NULL) AS of_no_run
FROM gl_accounts AS account
LEFT JOIN gl_absent_accounts AS absent
    ON (absent.entity, absent.period, absent.company_code, absent.account_code)
        = (account.entity, account.period, account.company_code, account.account_code)
LEFT JOIN ingestion_runs AS run
    ON run.job_id = account.job_id AND run.status = 'success'
        AND (run.entity, run.period) = (account.entity, account.period)
WHERE account.entity = $1 AND account.period = $2
