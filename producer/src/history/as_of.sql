SELECT company_code, account_code, account_name, bs_pl, status, trim_scale(balance)::text AS balance
FROM gl_accounts_as_of($1, $2, $3)
WHERE ($4::text IS NULL OR account_code = $4) AND (company_code, account_code) > ($5, $6)
ORDER BY company_code, account_code
LIMIT $7
