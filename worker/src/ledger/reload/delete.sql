-- As in update.sql.
DELETE FROM gl_accounts g
USING unnest($3::tid[], $4::text[], $5::text[]) AS s (place, company_code, account_code)
WHERE g.ctid = s.place
  AND (g.entity, g.period, g.company_code, g.account_code)
      IS NOT DISTINCT FROM ($1::text, $2::text, s.company_code, s.account_code)
