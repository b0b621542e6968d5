-- What goes with these runs of a slice, in rows and in money.
SELECT changes.rows AS changes, changes.movement, rejected.rows AS rejected_rows
FROM (
    SELECT count(*) AS rows,
           trim_scale(coalesce(sum(coalesce(new_balance, 0) - coalesce(old_balance, 0)), 0))::text AS movement
    FROM gl_balance_changes
    WHERE entity = $1 AND period = $2 AND job_id = ANY($3)
) AS changes, (
    SELECT count(*) AS rows
    FROM gl_rejected_rows
    WHERE entity = $1 AND period = $2 AND job_id = ANY($3)
) AS rejected
