-- A row that would not change is not written.
UPDATE gl_accounts g
SET {written}, job_id = $3, source_line = s.source_line, updated_at = now()
FROM aura_staging s
WHERE g.entity = $1 AND g.period = $2 AND g.company_code = s.company_code AND g.account_code = s.account_code
  AND ({before}) IS DISTINCT FROM ({after})
