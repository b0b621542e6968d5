INSERT INTO gl_balance_changes (entity, period, job_id, company_code, account_code, source_line, old_balance, new_balance,
    old_name, new_name, old_bs_pl, new_bs_pl, old_status, new_status, change)
SELECT $1, $2, $3, s.*
FROM unnest($4::text[], $5::text[], $6::bigint[], $7::numeric[], $8::numeric[], $9::text[], $10::text[], $11::text[],
    $12::text[], $13::text[], $14::text[], $15::text[]) AS s
