-- Aura's roles in PostgreSQL, and what each may do. Run it in Aura's database as a superuser (or, where there is none,
-- as a role with CREATEROLE that owns the database), before the first `aura-producer migrate` and after every one:
--
--   psql "$ADMIN_URL" -v ON_ERROR_STOP=1 -f deploy/roles/postgres.sql
--
-- It may be run at any time, also beside programs at work: it takes nothing away that they use. The roles have no
-- password until they are given one (`\password aura_worker`), or log in by a certificate of their name.
--
--   aura_owner    owns the tables: runs `aura-producer migrate` and `prune --apply`, and nothing else
--   aura_worker   loads: no DDL; cannot rewrite a run that ended, change or delete what the change log holds, touch
--                 the review workflow's columns, lock periods or cancel batches
--   aura_console  the console and an engineer's commands: reads everything, replays and discards dead letters, locks
--                 periods, cancels batches; cannot write an account, a run or a change
--   aura_reader   reads, and cannot write at all: reports, `status`, `history`, `verify`
--
-- A person or a further program gets a login of its own: CREATE ROLE ann LOGIN IN ROLE aura_console.

DO $$
DECLARE
    name text;
    part record;
BEGIN
    -- A migration may be changing the very tables, and another run of this file too: both hold this lock, which is
    -- 0x61757261 in shared/src/stores/locks.rs.
    PERFORM pg_advisory_xact_lock(1635086945);
    FOREACH name IN ARRAY ARRAY['aura_owner', 'aura_worker', 'aura_console', 'aura_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- just now, from another database
            END;
        END IF;
    END LOOP;

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO aura_owner, aura_worker, aura_console, aura_reader',
                   current_database());
    -- The staging table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO aura_worker', current_database());

    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    GRANT USAGE, CREATE ON SCHEMA public TO aura_owner;
    GRANT USAGE ON SCHEMA public TO aura_worker, aura_console, aura_reader;

    -- What was there before the roles becomes the owner's.
    FOR part IN
        SELECT format('ALTER %s %s OWNER TO aura_owner',
                      CASE WHEN relkind = 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass) AS change
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
          AND relowner <> 'aura_owner'::regrole
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO aura_owner', oid::regprocedure)
        FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proowner <> 'aura_owner'::regrole
    LOOP
        EXECUTE part.change;
    END LOOP;

    -- A table that a later migration makes can be read at once; what may be written there, this file says once it is
    -- run again.
    ALTER DEFAULT PRIVILEGES FOR ROLE aura_owner IN SCHEMA public
        GRANT SELECT ON TABLES TO aura_worker, aura_console, aura_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO aura_worker, aura_console, aura_reader;

    IF to_regclass('public.dead_letters') IS NULL THEN
        RAISE NOTICE 'the tables are not all there yet: run `aura-producer migrate` as aura_owner, then this once more';
        RETURN;
    END IF;

    -- ---- aura_worker ---------------------------------------------------------------------------------------------
    GRANT INSERT, DELETE ON gl_accounts TO aura_worker;
    -- What the ERP owns. The key stays, and so do the columns of the review workflow.
    GRANT UPDATE (account_name, balance, bs_pl, status, department, account_category, sub_category, report_type,
                  balance_carryforward, debit_period, credit_period, extra, job_id, source_line, updated_at)
        ON gl_accounts TO aura_worker;
    GRANT INSERT ON gl_balance_changes, gl_rejected_rows, refused_messages, dead_letters, dead_letter_groups,
                    dry_run_guard
        TO aura_worker;
    GRANT INSERT, DELETE ON gl_absent_accounts, metadata_outbox, cache_tasks, audit_outbox TO aura_worker;
    GRANT INSERT, UPDATE ON slices, audit_chains TO aura_worker;
    -- The trigger ended_runs_stay keeps what has ended; nobody but the owner deletes a run.
    GRANT INSERT, UPDATE ON ingestion_runs TO aura_worker;
    GRANT UPDATE (seq, prev_hash, hash) ON audit_outbox TO aura_worker;
    -- FOR UPDATE asks for a column that may be written.
    GRANT UPDATE (recorded_at) ON metadata_outbox TO aura_worker;
    -- A letter that comes back is waiting again.
    GRANT UPDATE (state, copies, operation_id, settled_at, settled_by, reason, new_job_id) ON dead_letters
        TO aura_worker, aura_console;

    -- ---- aura_console --------------------------------------------------------------------------------------------
    GRANT INSERT ON audit_outbox, metadata_outbox, cache_tasks, dead_letters, dead_letter_groups,
                    dead_letter_operations, batches, period_locks
        TO aura_console;
    GRANT DELETE ON period_locks TO aura_console;
    GRANT UPDATE (cancelled_at, cancelled_by, reason) ON batches TO aura_console;
    GRANT UPDATE (state, wanted, wanted_by, total, done, held_back, note, beat_at, ended_at) ON dead_letter_operations
        TO aura_console;
    -- `verify --repair` lets a chain go on that was halted.
    GRANT UPDATE (halted_at, halted_by) ON audit_chains TO aura_console;
END
$$;
