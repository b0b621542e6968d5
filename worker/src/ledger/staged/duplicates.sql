SELECT (array_agg(source_line ORDER BY source_line))[1:20], count(*) OVER (), (sum(count(*)) OVER ())::bigint,
    account_code
FROM aura_staging
GROUP BY company_code, account_code
HAVING count(*) > 1
ORDER BY min(source_line)
LIMIT 500
