INSERT INTO gl_accounts (entity, period, job_id, company_code, account_code, source_line, account_name, bs_pl, status,
    department, account_category, sub_category, report_type, criticality, review_status, review_flag, reviewer_name,
    review_date, review_frequency, review_checkpoint, reconciliation_type, sla_deadline, analysis_required,
    variance_pct, balance, balance_carryforward, debit_period, credit_period, extra)
SELECT $1::text, $2::text, $3::uuid, company_code, account_code, source_line, account_name, bs_pl, status,
    department, account_category, sub_category, report_type, criticality, review_status, review_flag, reviewer_name,
    review_date, review_frequency, review_checkpoint, reconciliation_type, sla_deadline, analysis_required,
    variance_pct, balance, balance_carryforward, debit_period, credit_period, extra
FROM aura_staging s
WHERE NOT EXISTS (
    SELECT FROM gl_accounts g
    WHERE g.entity = $1 AND g.period = $2 AND g.company_code = s.company_code AND g.account_code = s.account_code)
ORDER BY company_code, account_code
