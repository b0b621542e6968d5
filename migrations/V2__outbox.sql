-- Audit events on their way to MongoDB. They are written with what they tell of, in its
-- transaction; a relay gives each its place in the chain of its slice (seq, prev_hash, hash), then
-- delivers it and deletes it here.
CREATE TABLE audit_outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity      text        NOT NULL,
    period      text        NOT NULL,
    event       jsonb       NOT NULL,
    once        text        UNIQUE,
    seq         bigint,
    prev_hash   text,
    hash        text,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN audit_outbox.event IS 'the document without seq, prev_hash and hash';
COMMENT ON COLUMN audit_outbox.once IS 'names an event that must not be written a second time while the first is on its way';
CREATE INDEX audit_outbox_by_chain ON audit_outbox (entity, period, id);
CREATE INDEX audit_outbox_waiting ON audit_outbox (id) WHERE seq IS NULL;
CREATE UNIQUE INDEX audit_outbox_seq ON audit_outbox (entity, period, seq) WHERE seq IS NOT NULL;

-- The head of each chain.
CREATE TABLE audit_chains (
    entity    text   NOT NULL,
    period    text   NOT NULL,
    seq       bigint NOT NULL DEFAULT 0,
    hash      text   NOT NULL DEFAULT repeat('0', 64),
    halted_at timestamptz,
    halted_by text,
    PRIMARY KEY (entity, period)
);
CREATE INDEX audit_chains_halted ON audit_chains (entity, period) WHERE halted_at IS NOT NULL;
COMMENT ON COLUMN audit_chains.halted_by IS 'why nothing more is delivered: MongoDB holds another event at that place';

-- gl_metadata documents on their way to MongoDB.
CREATE TABLE metadata_outbox (
    job_id      uuid        PRIMARY KEY,
    document    jsonb       NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

-- Commits whose slice has not been written to the Parquet cache yet.
CREATE TABLE cache_tasks (
    entity      text        NOT NULL,
    period      text        NOT NULL,
    job_id      uuid        NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, period, job_id)
);
