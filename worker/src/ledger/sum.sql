UPDATE aura_staging s
SET balance = t.balance, balance_carryforward = t.balance_carryforward, debit_period = t.debit_period,
    credit_period = t.credit_period
FROM (
    SELECT company_code, account_code, min(source_line) AS first_line, sum(balance) AS balance,
        sum(balance_carryforward) AS balance_carryforward, sum(debit_period) AS debit_period,
        sum(credit_period) AS credit_period
    FROM aura_staging
    GROUP BY company_code, account_code
    HAVING count(*) > 1) t
WHERE s.company_code = t.company_code AND s.account_code = t.account_code AND s.source_line = t.first_line
