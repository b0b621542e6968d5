WITH gone AS (
    DELETE FROM gl_accounts g
    WHERE g.entity = $1 AND g.period = $2 AND NOT EXISTS (
        SELECT FROM aura_staging s WHERE s.company_code = g.company_code AND s.account_code = g.account_code)
    RETURNING g.entity, g.period, g.company_code, g.account_code, g.balance, g.account_name, g.bs_pl, g.status
)
INSERT INTO gl_balance_changes (entity, period, company_code, account_code, job_id, old_balance, old_name, old_bs_pl, old_status,
    change)
SELECT entity, period, company_code, account_code, $3::uuid, balance, account_name, bs_pl, status, 'deleted' FROM gone
