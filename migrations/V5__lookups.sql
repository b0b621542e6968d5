-- What a ledger of years is asked for all the time is looked up, not searched for.
--
-- A migration is one transaction, which CREATE INDEX CONCURRENTLY cannot be part of. So from the first index
-- of ingestion_runs to the commit nothing writes a run: 16 s with 5 million runs on two busy cores, of which
-- the indexes of ingestion_runs take 15 s. Reads go on. A job that waits for longer than lock_timeout (10 s)
-- is tried again. The outbox is locked for the last second.

SET LOCAL statement_timeout = 0;

-- First what a job uses first: tables are locked in the order in which a job locks them.
-- A change of an account's name or class is kept as one of its balance is, and each with the line that
-- brought it. Workers of before this migration leave the new columns null.
ALTER TABLE gl_balance_changes
    ADD COLUMN source_line bigint,
    ADD COLUMN old_name    text,
    ADD COLUMN new_name    text,
    ADD COLUMN old_bs_pl   text,
    ADD COLUMN new_bs_pl   text,
    ADD COLUMN old_status  text,
    ADD COLUMN new_status  text,
    DROP CONSTRAINT gl_balance_changes_change_check,
    -- Every row there has one of the first two, so that the table need not be read.
    ADD CONSTRAINT gl_balance_changes_change_check CHECK (change IN ('updated', 'deleted', 'relabelled')) NOT VALID;
COMMENT ON COLUMN gl_balance_changes.source_line IS 'the line of the job''s file; null where the account was deleted';
COMMENT ON COLUMN gl_balance_changes.change IS
    'updated: the balance changed, and names and classes may have; relabelled: only they did; deleted: the account went';

-- A claim is noted as over, and given back, while its slice is locked.
CREATE INDEX ingestion_runs_by_claim ON ingestion_runs (claim) WHERE claim IS NOT NULL;
-- status: how many jobs stand where, and the newest of them.
CREATE INDEX ingestion_runs_by_status ON ingestion_runs (status, started_at);
-- status: the newest batches.
CREATE INDEX ingestion_runs_of_batches ON ingestion_runs (started_at, batch_id) WHERE batch_id IS NOT NULL;
-- What a worker that died left of a job without an identity, in a slice that is loaded all the time.
CREATE INDEX ingestion_runs_unfinished ON ingestion_runs (entity, period, started_at, job_id)
    WHERE finished_at IS NULL;

-- The relay walks from chain to chain. audit_outbox_waiting serves workers of before this migration; a
-- later one drops it.
CREATE INDEX audit_outbox_unplaced ON audit_outbox (entity, period, id) WHERE seq IS NULL;
-- The age of the oldest document on its way.
CREATE INDEX metadata_outbox_by_age ON metadata_outbox (recorded_at);
-- The age of the oldest task of the cache.
CREATE INDEX cache_tasks_by_age ON cache_tasks (recorded_at);
-- verify of one entity: its documents on their way.
CREATE INDEX metadata_outbox_by_slice ON metadata_outbox ((document->>'entity'), (document->>'period'));
