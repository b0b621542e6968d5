-- The bad rows that a job put aside, as they stood in its file.
SELECT source_line, column_name, reason, line_text
FROM gl_rejected_rows
WHERE entity = $1 AND period = $2 AND job_id = $3
ORDER BY source_line
LIMIT $4
