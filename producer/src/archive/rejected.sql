SELECT {all}
FROM gl_rejected_rows
WHERE entity = $1 AND period = $2
ORDER BY job_id, source_line
