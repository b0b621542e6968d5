SET client_min_messages = warning;
CREATE TEMPORARY TABLE IF NOT EXISTS aura_staging (
    company_code text, account_code text, source_line bigint, account_name text, bs_pl text, status text,
    department text, account_category text, sub_category text, report_type text, criticality text, review_status text,
    review_flag text, reviewer_name text, review_date text, review_frequency text, review_checkpoint text,
    reconciliation_type text, sla_deadline text, analysis_required text, variance_pct text, balance numeric,
    balance_carryforward numeric, debit_period numeric, credit_period numeric, extra jsonb
) ON COMMIT DELETE ROWS
