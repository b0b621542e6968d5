INSERT INTO gl_absent_accounts (entity, period, job_id, company_code, account_code)
SELECT $1, $2, $3, s.*
FROM unnest($4::text[], $5::text[]) AS s
