UPDATE audit_chains
SET halted_at = NULL, halted_by = NULL
WHERE entity = $1 AND period = $2 AND halted_at IS NOT NULL AND $3::uuid IS NULL
