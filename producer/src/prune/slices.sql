-- Slices with runs that were over before a moment. A run begins before it ends, and by its beginning it is looked up.
SELECT entity, period
FROM ingestion_runs
WHERE status = ANY('{success,skipped,superseded,cancelled,failed}'::text[]) AND started_at < $1 AND finished_at < $1
  AND ($2::text IS NULL OR entity = $2)
GROUP BY entity, period
ORDER BY entity, period
