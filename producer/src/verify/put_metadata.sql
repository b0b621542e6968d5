-- The document as the worker wrote it, without the data profile, which only the file would tell again.
INSERT INTO metadata_outbox (job_id, document)
SELECT job_id,
       jsonb_build_object(
           '_id', job_id, 'entity', entity, 'period', period, 'file_fingerprint', fingerprint,
           'data_profile', NULL, 'ingestion_result', result, 'created_at', result->'finished_at')
FROM ingestion_runs
WHERE entity = $1 AND period = $2 AND job_id = $3::uuid AND status = 'success' AND result IS NOT NULL
ON CONFLICT DO NOTHING
