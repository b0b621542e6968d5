-- Runs of a slice that have ended, with what their receipts must say.
SELECT job_id,
       status,
       absent,
       slice_rows,
       trim_scale(slice_sum)::text AS slice_sum,
       CASE WHEN status = 'success' THEN result END AS result,
       jsonb_build_object(
           'status', status, 'job_id', job_id, 'batch_id', batch_id, 'entity', entity, 'period', period,
           'file', file, 'fingerprint', fingerprint, 'source', source, 'mode', mode, 'attempt', attempts,
           'rows', rows, 'inserted', inserted, 'updated', updated, 'unchanged', unchanged, 'deleted', deleted,
           'absent', absent, 'failed', failed, 'balance_sum', trim_scale(balance_sum)::text) AS facts
FROM ingestion_runs
WHERE entity = $1 AND period = $2 AND finished_at IS NOT NULL
