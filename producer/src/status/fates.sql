-- What has become of jobs that ended without loading: those of a list, and those of a batch. What is not asked for is
-- null. Of a job's letters the one in the queue counts, or else that of its last round. A slice has been loaded since
-- if it has seen a newer export, or if a job of the same export time was applied after this one had ended.
SELECT run.job_id, run.batch_id, run.entity, run.period, run.status, run.error_code,
    letter.state, letter.settled_at, letter.settled_by, letter.reason, letter.new_job_id,
    new_job.status AS new_job_status, coalesce(new_job.batch_id = run.batch_id, false) AS is_same_batch,
    loader.job_id AS loaded_by, loader.applied_at AS loaded_at,
    batch.cancelled_at, batch.cancelled_by, batch.reason AS cancelled_why
FROM (
    SELECT * FROM ingestion_runs WHERE job_id = ANY($1::uuid[]) AND status IN ('failed', 'cancelled')
    UNION ALL
    SELECT * FROM ingestion_runs WHERE batch_id = $2 AND status IN ('failed', 'cancelled')
    LIMIT $3
) AS run
LEFT JOIN LATERAL (
    SELECT state, settled_at, settled_by, reason, new_job_id
    FROM dead_letters AS letter
    WHERE letter.job_id = run.job_id AND letter.body_hash = run.body_hash
    ORDER BY state IN ('waiting', 'replaying', 'discarding') DESC, replays DESC, place DESC
    LIMIT 1
) AS letter ON true
LEFT JOIN LATERAL (
    SELECT status, batch_id FROM ingestion_runs AS other WHERE other.job_id = letter.new_job_id LIMIT 1
) AS new_job ON true
LEFT JOIN LATERAL (
    SELECT other.job_id, coalesce(other.applied_at, other.finished_at) AS applied_at
    FROM slices AS slice
    CROSS JOIN LATERAL (SELECT * FROM ingestion_runs AS other WHERE other.job_id = slice.job_id LIMIT 1) AS other
    WHERE slice.entity = run.entity AND slice.period = run.period AND slice.job_id <> run.job_id
      AND (slice.newest_at > coalesce(run.forced_at, run.exported_at)
           OR slice.newest_at = coalesce(run.forced_at, run.exported_at)
              AND coalesce(other.applied_at, other.finished_at) > run.finished_at)
    LIMIT 1
) AS loader ON true
LEFT JOIN LATERAL (
    SELECT cancelled_at, cancelled_by, reason FROM batches AS batch WHERE batch.batch_id = run.batch_id LIMIT 1
) AS batch ON true
ORDER BY run.entity, run.period, run.job_id
