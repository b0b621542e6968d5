INSERT INTO gl_accounts (entity, period, job_id, {row})
SELECT $1::text, $2::text, $3::uuid, {row}
FROM aura_staging s
WHERE NOT EXISTS (
    SELECT FROM gl_accounts g
    WHERE g.entity = $1 AND g.period = $2 AND g.company_code = s.company_code AND g.account_code = s.account_code)
ORDER BY company_code, account_code
