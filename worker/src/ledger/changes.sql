INSERT INTO gl_balance_changes (entity, period, company_code, account_code, job_id, old_balance, new_balance, change)
SELECT g.entity, g.period, g.company_code, g.account_code, $3::uuid, g.balance, s.balance, 'updated'
FROM gl_accounts g
JOIN aura_staging s ON s.company_code = g.company_code AND s.account_code = g.account_code
WHERE g.entity = $1 AND g.period = $2 AND g.balance <> s.balance
