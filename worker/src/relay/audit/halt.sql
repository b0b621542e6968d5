UPDATE audit_chains
SET halted_at = now(), halted_by = $3
WHERE entity = $1 AND period = $2 AND halted_at IS NULL
