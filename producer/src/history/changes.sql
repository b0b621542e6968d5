-- In the order in which they were committed, the newest first.
SELECT log.company_code, log.account_code, log.change, log.source_line, log.job_id, log.changed_at,
    trim_scale(log.old_balance)::text AS old_balance, trim_scale(log.new_balance)::text AS new_balance,
    trim_scale(coalesce(log.new_balance, 0) - coalesce(log.old_balance, 0))::text AS movement,
    log.old_name, log.new_name, log.old_bs_pl, log.new_bs_pl, log.old_status, log.new_status,
    run.file, run.published_by, coalesce(run.applied_at, run.finished_at) AS applied_at
FROM gl_balance_changes AS log
LEFT JOIN ingestion_runs AS run ON run.job_id = log.job_id
WHERE log.entity = $1 AND log.period = $2 AND ($3::text IS NULL OR log.account_code = $3)
ORDER BY coalesce(run.applied_at, run.finished_at, log.changed_at) DESC, log.company_code, log.account_code
LIMIT $4
