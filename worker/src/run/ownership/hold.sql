-- Whether the attempt may end the job, and whether the run is that of a job with another body.
WITH held AS (
    UPDATE ingestion_runs SET resting_at = now() WHERE job_id = $1 AND claim = $2 RETURNING job_id
), run AS (
    SELECT * FROM ingestion_runs WHERE job_id = $1
)
SELECT EXISTS (SELECT FROM held)
    OR NOT EXISTS (
        SELECT FROM run
        WHERE claim IS NOT NULL
           -- The failure of an earlier round is not the end of this one.
           OR finished_at IS NOT NULL AND NOT (status = 'failed' AND replays < $3)
           OR finished_at IS NULL AND (replays <> $3 OR attempts >= $4)) AS is_mine,
    EXISTS (SELECT FROM run WHERE body_hash <> $5) AS is_other_body
