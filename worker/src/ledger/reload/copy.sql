COPY (
    SELECT {columns}, ctid
    FROM gl_accounts AS account
    WHERE entity = '{entity}' AND period = '{period}'
) TO STDOUT (FORMAT binary)
