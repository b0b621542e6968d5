COPY (
    SELECT {columns}
    FROM gl_accounts AS account
    WHERE entity = '{entity}' AND period = '{period}'
      -- Accounts that the newest export lacked are in the ledger, but not among its rows.
      AND NOT EXISTS (
          SELECT FROM gl_absent_accounts AS absent
          WHERE (absent.entity, absent.period, absent.company_code, absent.account_code)
              = (account.entity, account.period, account.company_code, account.account_code))
    ORDER BY company_code, account_code
) TO STDOUT (FORMAT binary)
