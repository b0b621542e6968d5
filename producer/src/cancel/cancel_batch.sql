INSERT INTO batches AS known (batch_id, cancelled_at, cancelled_by, reason)
VALUES ($1, now(), $2, $3)
ON CONFLICT (batch_id) DO UPDATE
SET cancelled_at = now(), cancelled_by = excluded.cancelled_by, reason = excluded.reason
WHERE known.cancelled_at IS NULL
RETURNING cancelled_at
