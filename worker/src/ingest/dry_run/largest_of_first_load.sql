SELECT company_code, account_code, account_name, 'inserted' AS change, NULL::text AS old_balance,
    trim_scale(balance)::text AS new_balance, trim_scale(balance)::text AS movement
FROM gl_accounts
WHERE entity = $1 AND period = $2 AND job_id = $3
ORDER BY abs(balance) DESC, company_code, account_code
LIMIT $4
