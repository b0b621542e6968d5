-- $4 to $11: whether the column is written; a column that the file lacks stays as it is in upsert.
-- $12: whether extra is replaced rather than added to. A row that would not change is not written.
UPDATE gl_accounts g
SET account_name = s.account_name, bs_pl = s.bs_pl, status = s.status, balance = s.balance,
    department = CASE WHEN $4 THEN s.department ELSE g.department END,
    account_category = CASE WHEN $5 THEN s.account_category ELSE g.account_category END,
    sub_category = CASE WHEN $6 THEN s.sub_category ELSE g.sub_category END,
    report_type = CASE WHEN $7 THEN s.report_type ELSE g.report_type END,
    balance_carryforward = CASE WHEN $8 THEN s.balance_carryforward ELSE g.balance_carryforward END,
    debit_period = CASE WHEN $9 THEN s.debit_period ELSE g.debit_period END,
    credit_period = CASE WHEN $10 THEN s.credit_period ELSE g.credit_period END,
    extra = CASE WHEN $12 THEN s.extra WHEN $11 THEN coalesce(g.extra, '{}') || s.extra ELSE g.extra END,
    job_id = $3, source_line = s.source_line, updated_at = now()
FROM aura_staging s
WHERE g.entity = $1 AND g.period = $2 AND g.company_code = s.company_code AND g.account_code = s.account_code
  AND ((g.account_name, g.bs_pl, g.status, g.balance) IS DISTINCT FROM (s.account_name, s.bs_pl, s.status, s.balance)
    OR $4 AND g.department IS DISTINCT FROM s.department
    OR $5 AND g.account_category IS DISTINCT FROM s.account_category
    OR $6 AND g.sub_category IS DISTINCT FROM s.sub_category
    OR $7 AND g.report_type IS DISTINCT FROM s.report_type
    OR $8 AND g.balance_carryforward IS DISTINCT FROM s.balance_carryforward
    OR $9 AND g.debit_period IS DISTINCT FROM s.debit_period
    OR $10 AND g.credit_period IS DISTINCT FROM s.credit_period
    OR g.extra IS DISTINCT FROM
       CASE WHEN $12 THEN s.extra WHEN $11 THEN coalesce(g.extra, '{}') || s.extra ELSE g.extra END)
