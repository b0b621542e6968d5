-- The newest exports of an entity before a place: the newest of each of its periods, which are found one after the
-- other along the index.
WITH RECURSIVE known AS (
    (SELECT period FROM ingestion_runs WHERE entity = $1 ORDER BY period LIMIT 1)
    UNION ALL
    SELECT (SELECT run.period FROM ingestion_runs AS run
            WHERE run.entity = $1 AND run.period > known.period ORDER BY run.period LIMIT 1)
    FROM known
    WHERE known.period IS NOT NULL
)
SELECT run.job_id, run.exported_at AS at, run.entity, run.period, run.status
FROM known
CROSS JOIN LATERAL (
    SELECT job_id, exported_at, entity, period, status
    FROM ingestion_runs AS run
    WHERE run.entity = $1 AND run.period = known.period
      AND run.exported_at <= coalesce($2::timestamptz, 'infinity')
      AND (run.exported_at, run.job_id)
          < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    ORDER BY run.exported_at DESC, run.job_id DESC
    LIMIT $4
) AS run
WHERE known.period IS NOT NULL
ORDER BY run.exported_at DESC, run.job_id DESC
LIMIT $4
