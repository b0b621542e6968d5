-- For whoever is on call: what the dead letters say, what a slice held at a moment, and dry runs. New columns
-- have no default, and the checks are not held against rows that are there, so that it takes milliseconds.

-- What the change log lacked: the accounts that a job added to a slice that had rows. Those of a slice's first
-- load are not in it: the run says that it found none.
ALTER TABLE gl_balance_changes
    ALTER COLUMN old_balance DROP NOT NULL,
    DROP CONSTRAINT gl_balance_changes_change_check,
    ADD CONSTRAINT gl_balance_changes_change_check
        CHECK (change IN ('inserted', 'updated', 'deleted', 'relabelled')
               AND (old_balance IS NOT NULL OR change = 'inserted')) NOT VALID;
COMMENT ON COLUMN gl_balance_changes.old_balance IS 'null where the account was inserted';
COMMENT ON COLUMN gl_balance_changes.change IS
    'inserted: into a slice that had rows; updated: the balance changed, and names and classes may have; '
    'relabelled: only they did; deleted: the account went';

ALTER TABLE ingestion_runs
    ADD COLUMN applied_at timestamptz,
    ADD COLUMN tries      jsonb;
COMMENT ON COLUMN ingestion_runs.applied_at IS
    'when the job had written its rows and was about to commit, by the clock of PostgreSQL; null unless it succeeded';
COMMENT ON COLUMN ingestion_runs.tries IS 'the attempts of this round that failed: attempt, at, worker, code, stage, message';

-- A slice as it stood at a moment: what the jobs that were applied later changed is taken back. A job that found
-- the slice empty says so by its counts; before the earliest of those, only what was changed before it stood there.
CREATE FUNCTION gl_accounts_as_of(of_entity text, of_period text, of_time timestamptz)
RETURNS TABLE (company_code text, account_code text, account_name text, bs_pl text, status text, balance numeric)
LANGUAGE sql STABLE
AS $$
    WITH later AS MATERIALIZED (
        SELECT run.job_id, coalesce(run.applied_at, run.finished_at) AS at,
            run.updated = 0 AND run.unchanged = 0 AND run.deleted = 0 AND run.absent = 0 AS found_none
        FROM ingestion_runs run
        WHERE run.entity = of_entity AND run.period = of_period AND run.status = 'success'
          AND coalesce(run.applied_at, run.finished_at) > of_time
    ), first_load AS MATERIALIZED (
        SELECT min(later.at) AS at FROM later WHERE later.found_none
    ), undone AS MATERIALIZED (
        SELECT DISTINCT ON (c.company_code, c.account_code) c.company_code, c.account_code, c.change,
            c.old_name, c.old_bs_pl, c.old_status, c.old_balance
        FROM gl_balance_changes c
        JOIN later ON later.job_id = c.job_id
        CROSS JOIN first_load
        WHERE c.entity = of_entity AND c.period = of_period AND (first_load.at IS NULL OR later.at < first_load.at)
        ORDER BY c.company_code, c.account_code, later.at
    )
    SELECT u.company_code, u.account_code, u.old_name, u.old_bs_pl, u.old_status, u.old_balance
    FROM undone u
    WHERE u.change <> 'inserted'
    UNION ALL
    SELECT g.company_code, g.account_code, g.account_name, g.bs_pl, g.status, g.balance
    FROM gl_accounts g
    WHERE g.entity = of_entity AND g.period = of_period AND (SELECT at FROM first_load) IS NULL
      AND NOT EXISTS (
          SELECT FROM undone u WHERE u.company_code = g.company_code AND u.account_code = g.account_code)
$$;
COMMENT ON FUNCTION gl_accounts_as_of IS
    'the accounts of a slice at a moment; of changes that workers of before schema 8 made, inserted accounts are not '
    'known. aura-producer history holds it against the sum that the audit trail has of that moment';

-- What aura.dead holds, written down for looking; the queue stays the home of the messages.
CREATE TABLE dead_letters (
    letter_id       uuid        PRIMARY KEY,
    place           bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    job_id          uuid,
    batch_id        uuid,
    entity          text,
    period          text,
    source          text,
    file            text,
    fingerprint     text,
    group_id        text        NOT NULL,
    code            text        NOT NULL,
    stage           text,
    message         text,
    bad_rows        jsonb,
    bad_rows_total  bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL,
    replays         integer     NOT NULL,
    tries           jsonb,
    worker          text,
    first_failed_at timestamptz,
    died_at         timestamptz,
    body_hash       text        NOT NULL,
    body            bytea       NOT NULL,
    properties      jsonb       NOT NULL,
    headers         jsonb       NOT NULL,
    withheld        bigint,
    malformed       text,
    copies          integer     NOT NULL DEFAULT 1,
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    state           text        NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'replaying', 'discarding', 'replayed', 'discarded', 'gone')),
    operation_id    uuid,
    settled_at      timestamptz,
    settled_by      text,
    reason          text,
    new_job_id      uuid
);
COMMENT ON TABLE dead_letters IS 'one row a letter: a job, its body and its round, however many copies of it lie in the queue';
COMMENT ON COLUMN dead_letters.letter_id IS 'a UUID made of job_id, body_hash and replays';
COMMENT ON COLUMN dead_letters.place IS 'in the order in which they were written down';
COMMENT ON COLUMN dead_letters.copies IS 'how many messages of it lay in the queue when that was last looked into';
COMMENT ON COLUMN dead_letters.entity IS 'as the body has it, valid or not; and so is period';
COMMENT ON COLUMN dead_letters.state IS
    'waiting, replaying and discarding: the letter is in the queue; replayed and discarded: it has left it so; '
    'gone: verify found that it had left it otherwise';
COMMENT ON COLUMN dead_letters.operation_id IS 'the operation that took it out, or was about to when it was cut off';
CREATE INDEX dead_letters_open ON dead_letters (place) INCLUDE (copies)
    WHERE state IN ('waiting', 'replaying', 'discarding');
CREATE INDEX dead_letters_by_group ON dead_letters (group_id, place) INCLUDE (entity, died_at, copies)
    WHERE state IN ('waiting', 'replaying', 'discarding');
CREATE INDEX dead_letters_by_job ON dead_letters (job_id, place);
CREATE INDEX dead_letters_by_slice ON dead_letters (entity, period, place);
CREATE INDEX dead_letters_by_batch ON dead_letters (batch_id, place) WHERE batch_id IS NOT NULL;

-- Causes as a person would name them.
CREATE TABLE dead_letter_groups (
    group_id      text        PRIMARY KEY,
    code          text        NOT NULL,
    stage         text,
    source        text,
    column_name   text,
    cause         text        NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN dead_letter_groups.cause IS 'the message without its figures, names and files';

-- Replays and discards under way and over: another terminal watches, pauses and cancels them here.
CREATE TABLE dead_letter_operations (
    operation_id uuid        PRIMARY KEY,
    act          text        NOT NULL CHECK (act IN ('replay', 'discard')),
    actor        text        NOT NULL,
    selected     text        NOT NULL,
    reason       text,
    state        text        NOT NULL CHECK (state IN ('running', 'paused', 'done', 'cancelled', 'failed')),
    wanted       text        NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'pause', 'cancel')),
    wanted_by    text,
    total        bigint      NOT NULL DEFAULT 0,
    done         bigint      NOT NULL DEFAULT 0,
    held_back    bigint      NOT NULL DEFAULT 0,
    note         text,
    started_at   timestamptz NOT NULL DEFAULT now(),
    beat_at      timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz
);
COMMENT ON COLUMN dead_letter_operations.selected IS 'which letters, in words';
COMMENT ON COLUMN dead_letter_operations.held_back IS 'letters of groups whose canary failed';
COMMENT ON COLUMN dead_letter_operations.beat_at IS 'when its process last said that it lives';
CREATE INDEX dead_letter_operations_by_time ON dead_letter_operations (started_at);

-- A transaction with a row in dry_run_guard cannot commit: its reference is looked at when it does, and nothing can
-- ever be there to refer to.
CREATE TABLE dry_run_nothing (id integer PRIMARY KEY CHECK (id IS NULL));
CREATE TABLE dry_run_guard (
    id integer NOT NULL REFERENCES dry_run_nothing DEFERRABLE INITIALLY DEFERRED
);
COMMENT ON TABLE dry_run_guard IS 'always empty: whoever writes a row here cannot commit';
