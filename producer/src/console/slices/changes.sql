-- Changes of a slice behind one of them. They are in the order of the key, so that each page is found along it, and what
-- happened to an account stands together.
SELECT log.company_code, log.account_code, log.change, log.source_line, log.job_id,
    trim_scale(log.old_balance)::text AS old_balance, trim_scale(log.new_balance)::text AS new_balance,
    trim_scale(coalesce(log.new_balance, 0) - coalesce(log.old_balance, 0))::text AS movement,
    log.old_name, log.new_name, log.old_bs_pl, log.new_bs_pl, log.old_status, log.new_status,
    run.file, run.published_by, coalesce(run.applied_at, run.finished_at) AS applied_at
FROM (
    SELECT *
    FROM gl_balance_changes
    WHERE entity = $1 AND period = $2 AND ($3::text IS NULL OR account_code = $3)
        AND (company_code, account_code, job_id) > ($4, $5, $6)
    ORDER BY company_code, account_code, job_id
    LIMIT $7
) AS log
LEFT JOIN ingestion_runs AS run ON run.job_id = log.job_id
ORDER BY log.company_code, log.account_code, log.job_id
