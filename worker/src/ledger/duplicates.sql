SELECT array_agg(source_line ORDER BY source_line), count(*) OVER ()
FROM aura_staging
GROUP BY company_code, account_code
HAVING count(*) > 1
ORDER BY min(source_line)
LIMIT 500
