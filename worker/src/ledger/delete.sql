WITH gone AS (
    DELETE FROM gl_accounts g
    WHERE g.entity = $1 AND g.period = $2 AND NOT EXISTS (
        SELECT FROM aura_staging s WHERE s.company_code = g.company_code AND s.account_code = g.account_code)
    RETURNING g.entity, g.period, g.company_code, g.account_code, g.balance
)
INSERT INTO gl_balance_changes (entity, period, company_code, account_code, job_id, old_balance, new_balance, change)
SELECT entity, period, company_code, account_code, $3::uuid, balance, NULL, 'deleted' FROM gone
