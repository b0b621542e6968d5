-- The rows that the slice's cache file must hold, whatever its order. They come in the same order each time they
-- are asked for, so that a row is known by its place.
SELECT {columns}
FROM gl_accounts AS account
WHERE entity = $1 AND period = $2
  -- IN is hashed whatever PostgreSQL knows of the tables; a join may look each row up in all others.
  AND (company_code, account_code) NOT IN (
      SELECT company_code, account_code FROM gl_absent_accounts WHERE entity = $1 AND period = $2)
ORDER BY company_code, account_code
