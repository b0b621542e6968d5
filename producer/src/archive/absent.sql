SELECT {all}
FROM gl_absent_accounts
WHERE entity = $1 AND period = $2
ORDER BY company_code, account_code
