-- A row is found by its place alone, whatever PostgreSQL knows of the table; that its key is the same is made sure of.
UPDATE gl_accounts g
SET {written}, job_id = $3, source_line = s.source_line, updated_at = now()
FROM unnest($4::tid[], $5::text[], $6::text[], $7::bigint[], {arrays})
    AS s (place, company_code, account_code, source_line, {names})
WHERE g.ctid = s.place
  AND (g.entity, g.period, g.company_code, g.account_code)
      IS NOT DISTINCT FROM ($1::text, $2::text, s.company_code, s.account_code)
