-- Who published a job: what the message says, and what the broker vouches for. Both are those of its
-- first claim; a later copy changes neither.
ALTER TABLE ingestion_runs
    ADD COLUMN published_by text,
    ADD COLUMN broker_user  text;
COMMENT ON COLUMN ingestion_runs.published_by IS 'the message''s header aura-actor: what its publisher says, not a proof';
COMMENT ON COLUMN ingestion_runs.broker_user IS 'the message''s user_id: RabbitMQ takes it only from that user';
