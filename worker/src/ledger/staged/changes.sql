INSERT INTO gl_balance_changes (entity, period, company_code, account_code, job_id, source_line, old_balance, new_balance,
    old_name, new_name, old_bs_pl, new_bs_pl, old_status, new_status, change)
SELECT g.entity, g.period, g.company_code, g.account_code, $3::uuid, s.source_line, g.balance, s.balance,
    g.account_name, s.account_name, g.bs_pl, s.bs_pl, g.status, s.status,
    CASE WHEN g.balance <> s.balance THEN 'updated' ELSE 'relabelled' END
FROM gl_accounts g
JOIN aura_staging s ON s.company_code = g.company_code AND s.account_code = g.account_code
WHERE g.entity = $1 AND g.period = $2
  AND (g.balance, g.account_name, g.bs_pl, g.status) IS DISTINCT FROM (s.balance, s.account_name, s.bs_pl, s.status)
