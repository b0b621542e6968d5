-- $1: whether the first row of a key stays; otherwise the last.
DELETE FROM aura_staging s
USING (
    SELECT ctid AS row, row_number() OVER (
        PARTITION BY company_code, account_code ORDER BY CASE WHEN $1 THEN source_line ELSE -source_line END) AS place
    FROM aura_staging) ranked
WHERE s.ctid = ranked.row AND ranked.place > 1
