-- The batches whose newest job stands before a place, among the next jobs that are of any: each batch is found at one
-- place only. Also how many jobs were looked at for that, and where the last of them stands.
WITH looked_at AS MATERIALIZED (
    SELECT batch_id, started_at
    FROM ingestion_runs
    WHERE batch_id IS NOT NULL
      AND (started_at, batch_id)
          < (coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    ORDER BY started_at DESC, batch_id DESC
    LIMIT $1
)
SELECT place.looked_at, place.last_at, place.last_batch_id, found.batch_id, found.newest
FROM (
    SELECT count(*) AS looked_at, min(started_at) AS last_at,
           (array_agg(batch_id ORDER BY started_at, batch_id))[1] AS last_batch_id
    FROM looked_at
) AS place
LEFT JOIN (
    SELECT candidate.batch_id, candidate.newest
    FROM (
        SELECT batch_id, max(started_at) AS newest
        FROM looked_at
        GROUP BY batch_id
        ORDER BY max(started_at) DESC, batch_id DESC
    ) AS candidate
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE run.started_at > candidate.newest) AS newer
        FROM ingestion_runs AS run
        WHERE run.batch_id = candidate.batch_id
    ) AS whole
    WHERE whole.newer = 0
    ORDER BY candidate.newest DESC, candidate.batch_id DESC
    LIMIT $2
) AS found ON true
ORDER BY found.newest DESC, found.batch_id DESC
