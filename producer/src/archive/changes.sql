SELECT {all}
FROM gl_balance_changes
WHERE entity = $1 AND period = $2
ORDER BY company_code, account_code, job_id
