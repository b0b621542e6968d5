SELECT job_id, document
FROM metadata_outbox
WHERE job_id <> ALL($1::uuid[])
ORDER BY job_id
LIMIT $2
FOR UPDATE SKIP LOCKED
