-- Before the rows themselves: they are told by not being there.
INSERT INTO gl_balance_changes (entity, period, company_code, account_code, job_id, source_line, new_balance, new_name, new_bs_pl,
    new_status, change)
SELECT $1::text, $2::text, s.company_code, s.account_code, $3::uuid, s.source_line, s.balance, s.account_name, s.bs_pl, s.status,
    'inserted'
FROM aura_staging s
WHERE NOT EXISTS (
    SELECT FROM gl_accounts g
    WHERE g.entity = $1 AND g.period = $2 AND g.company_code = s.company_code AND g.account_code = s.account_code)
ORDER BY s.company_code, s.account_code
