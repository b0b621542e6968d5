UPDATE slices SET job_id = $3, fingerprint = $4, source = $5, mapping_hash = $6, mode = $7
WHERE entity = $1 AND period = $2
