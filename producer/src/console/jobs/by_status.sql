-- The newest jobs of these statuses before a place.
SELECT run.job_id, run.started_at AS at, run.entity, run.period, run.status
FROM unnest($1::text[]) AS asked (status)
CROSS JOIN LATERAL (
    SELECT job_id, started_at, entity, period, status
    FROM ingestion_runs AS run
    WHERE run.status = asked.status
      AND run.started_at <= coalesce($2::timestamptz, 'infinity')
      AND (run.started_at, run.job_id)
          < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    ORDER BY run.started_at DESC, run.job_id DESC
    LIMIT $4
) AS run
ORDER BY run.started_at DESC, run.job_id DESC
LIMIT $4
