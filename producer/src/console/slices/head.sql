-- The export that a slice's rows come from, as its run has it, and the newest that it has seen.
SELECT slice.job_id, slice.fingerprint, slice.source, slice.mode, slice.newest_at, run.file, run.exported_at,
    coalesce(run.applied_at, run.finished_at) AS applied_at, run.published_by, run.slice_rows,
    trim_scale(run.slice_sum)::text AS slice_sum
FROM slices AS slice
LEFT JOIN ingestion_runs AS run ON run.job_id = slice.job_id
WHERE slice.entity = $1 AND slice.period = $2
