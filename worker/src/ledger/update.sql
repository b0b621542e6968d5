-- $4 to $11: whether the column is written; a column that the file lacks stays as it is in upsert.
-- $12: whether extra is replaced rather than added to.
WITH proposed AS (
    SELECT g.company_code, g.account_code, s.source_line, s.account_name, s.bs_pl, s.status, s.balance,
        CASE WHEN $4 THEN s.department ELSE g.department END AS department,
        CASE WHEN $5 THEN s.account_category ELSE g.account_category END AS account_category,
        CASE WHEN $6 THEN s.sub_category ELSE g.sub_category END AS sub_category,
        CASE WHEN $7 THEN s.report_type ELSE g.report_type END AS report_type,
        CASE WHEN $8 THEN s.balance_carryforward ELSE g.balance_carryforward END AS balance_carryforward,
        CASE WHEN $9 THEN s.debit_period ELSE g.debit_period END AS debit_period,
        CASE WHEN $10 THEN s.credit_period ELSE g.credit_period END AS credit_period,
        CASE WHEN $12 THEN s.extra WHEN $11 THEN coalesce(g.extra, '{}') || s.extra ELSE g.extra END AS extra
    FROM gl_accounts g
    JOIN aura_staging s ON s.company_code = g.company_code AND s.account_code = g.account_code
    WHERE g.entity = $1 AND g.period = $2
)
UPDATE gl_accounts g
SET account_name = p.account_name, bs_pl = p.bs_pl, status = p.status, balance = p.balance,
    department = p.department, account_category = p.account_category, sub_category = p.sub_category,
    report_type = p.report_type, balance_carryforward = p.balance_carryforward, debit_period = p.debit_period,
    credit_period = p.credit_period, extra = p.extra, job_id = $3, source_line = p.source_line, updated_at = now()
FROM proposed p
WHERE g.entity = $1 AND g.period = $2 AND g.company_code = p.company_code AND g.account_code = p.account_code
  AND (g.account_name, g.bs_pl, g.status, g.balance, g.department, g.account_category, g.sub_category, g.report_type,
       g.balance_carryforward, g.debit_period, g.credit_period, g.extra)
      IS DISTINCT FROM
      (p.account_name, p.bs_pl, p.status, p.balance, p.department, p.account_category, p.sub_category, p.report_type,
       p.balance_carryforward, p.debit_period, p.credit_period, p.extra)
