INSERT INTO dead_letter_groups (group_id, code, stage, source, cause)
SELECT DISTINCT ON (group_id) group_id, code, stage, source, text
FROM jsonb_to_recordset($1) AS given (group_id text, code text, stage text, source text, text text)
ORDER BY group_id
ON CONFLICT (group_id) DO NOTHING
