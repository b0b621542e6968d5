COPY (
    SELECT {columns}
    FROM gl_accounts AS account
    WHERE entity = '{entity}' AND period = '{period}'
      -- Accounts that the newest export lacked are in the ledger, but not among its rows. IN is hashed whatever
      -- PostgreSQL knows of the tables; a join may look each row up in all others.
      AND (company_code, account_code) NOT IN (
          SELECT company_code, account_code FROM gl_absent_accounts WHERE entity = '{entity}' AND period = '{period}')
) TO STDOUT (FORMAT binary)
