UPDATE aura_staging s
SET {summed}
FROM (
    SELECT company_code, account_code, min(source_line) AS first_line, {sums}
    FROM aura_staging
    GROUP BY company_code, account_code
    HAVING count(*) > 1) t
WHERE s.company_code = t.company_code AND s.account_code = t.account_code AND s.source_line = t.first_line
