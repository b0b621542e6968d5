SELECT job_id, status, error_code, file, source, mode, exported_at, forced_at, published_by, applied_at, finished_at,
    attempts, replays, inserted, updated, unchanged, deleted, absent, failed, rows, slice_rows,
    trim_scale(slice_sum)::text AS slice_sum
FROM ingestion_runs
WHERE entity = $1 AND period = $2
ORDER BY exported_at DESC, job_id
LIMIT $3
