SELECT company_code, account_code, coalesce(new_name, old_name) AS account_name, change,
    trim_scale(old_balance)::text AS old_balance, trim_scale(new_balance)::text AS new_balance,
    trim_scale(coalesce(new_balance, 0) - coalesce(old_balance, 0))::text AS movement
FROM gl_balance_changes
WHERE entity = $1 AND period = $2 AND job_id = $3
ORDER BY abs(coalesce(new_balance, 0) - coalesce(old_balance, 0)) DESC, company_code, account_code
LIMIT $4
