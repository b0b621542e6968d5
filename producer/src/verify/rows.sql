-- The rows that the slice's cache file must hold, in its order.
SELECT {columns}
FROM gl_accounts AS account
WHERE entity = $1 AND period = $2
  AND NOT EXISTS (
      SELECT FROM gl_absent_accounts AS absent
      WHERE (absent.entity, absent.period, absent.company_code, absent.account_code)
          = (account.entity, account.period, account.company_code, account.account_code))
ORDER BY company_code, account_code
