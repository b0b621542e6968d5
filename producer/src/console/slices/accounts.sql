-- Accounts of a slice behind one of them, and the file that each was last written from.
SELECT account.company_code, account.account_code, account.account_name, account.bs_pl, account.status,
    trim_scale(account.balance)::text AS balance, account.job_id, account.source_line, run.file
FROM (
    SELECT company_code, account_code, account_name, bs_pl, status, balance, job_id, source_line
    FROM gl_accounts
    WHERE entity = $1 AND period = $2 AND (company_code, account_code) > ($3, $4)
    ORDER BY company_code, account_code
    LIMIT $5
) AS account
LEFT JOIN ingestion_runs AS run ON run.job_id = account.job_id
ORDER BY account.company_code, account.account_code
