SELECT coalesce(trim_scale(sum(coalesce(new_balance, 0) - coalesce(old_balance, 0))), 0)::text
FROM gl_balance_changes
WHERE entity = $1 AND period = $2 AND job_id = $3
