INSERT INTO gl_absent_accounts (entity, period, company_code, account_code, job_id)
SELECT g.entity, g.period, g.company_code, g.account_code, $3::uuid
FROM gl_accounts g
WHERE g.entity = $1 AND g.period = $2 AND NOT EXISTS (
    SELECT FROM aura_staging s WHERE s.company_code = g.company_code AND s.account_code = g.account_code)
