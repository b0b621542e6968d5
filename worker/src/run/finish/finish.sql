UPDATE ingestion_runs
SET status = $3, error_code = $4, fingerprint = $5, mapping_hash = $6, mode = $7, attempts = $8,
    inserted = $9, updated = $10, unchanged = $11, deleted = $12, absent = $13, failed = $14, rows = $15,
    balance_sum = $16::text::numeric, slice_rows = $17, slice_sum = $18::text::numeric,
    duration_seconds = $19, result = $20, finished_at = $21, claim = NULL, ended_claim = $2,
    applied_at = CASE WHEN $3 = 'success' THEN clock_timestamp() END,
    replays = CASE WHEN $22 THEN $23 ELSE replays END
WHERE job_id = $1
  AND (finished_at IS NULL AND claim = $2
       -- $22: an end without a claim. It is written only to the round that it belongs to, and only if nobody has
       -- noted that attempt as spent; another job may have the same job_id.
       OR $22 AND claim IS NULL AND body_hash = $24
          AND (finished_at IS NULL AND replays = $23 AND attempts < $8
               -- The failure of an earlier round is not the end of this one.
               OR status = 'failed' AND finished_at IS NOT NULL AND replays < $23))
