INSERT INTO dead_letters AS letter (letter_id, job_id, batch_id, entity, period, source, file, fingerprint, group_id, code, stage, message,
    bad_rows, bad_rows_total, attempts, replays, worker, first_failed_at, died_at, body_hash, properties, headers, withheld,
    malformed, copies, tries, body)
SELECT letter_id, job_id, batch_id, entity, period, source, file, fingerprint, group_id, code, stage, message,
    bad_rows, bad_rows_total, attempts, replays, worker, first_failed_at, died_at, body_hash, properties, headers, withheld,
    malformed, copies,
    (SELECT jsonb_agg(tried) FROM ingestion_runs run, jsonb_array_elements(run.tries) AS tried
     WHERE run.job_id = given.job_id AND run.body_hash = given.body_hash
       AND tried -> 'round' = to_jsonb(given.replays)),
    body
FROM ROWS FROM (
        jsonb_to_recordset($1) AS (letter_id uuid, job_id uuid, batch_id uuid, entity text, period text, source text, file text, fingerprint text,
            group_id text, code text, stage text, message text, bad_rows jsonb, bad_rows_total bigint, attempts integer,
            replays integer, worker text, first_failed_at timestamptz, died_at timestamptz, body_hash text,
            properties jsonb, headers jsonb, withheld bigint, malformed text, copies integer),
        unnest($2::bytea[])
    ) WITH ORDINALITY AS given (letter_id, job_id, batch_id, entity, period, source, file, fingerprint, group_id, code, stage, message,
    bad_rows, bad_rows_total, attempts, replays, worker, first_failed_at, died_at, body_hash, properties, headers, withheld,
    malformed, copies, body, place)
ORDER BY given.place
ON CONFLICT (letter_id) DO UPDATE
SET state = 'waiting', copies = excluded.copies, operation_id = NULL, settled_at = NULL, settled_by = NULL, reason = NULL,
    new_job_id = NULL
-- $3: whether the letters are in hand, so that what was said of them before does not hold.
WHERE $3 AND (letter.state <> 'waiting' OR letter.copies <> excluded.copies)
