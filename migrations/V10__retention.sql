-- What retention has taken away, so that nobody takes what is left for all there was. A new table and a function that is
-- replaced: milliseconds, whatever the size, and nothing waits for it.

CREATE TABLE pruned_slices (
    entity        text        NOT NULL,
    period        text        NOT NULL,
    before        timestamptz NOT NULL,
    runs          bigint      NOT NULL DEFAULT 0,
    changes       bigint      NOT NULL DEFAULT 0,
    rejected_rows bigint      NOT NULL DEFAULT 0,
    pruned_at     timestamptz NOT NULL DEFAULT now(),
    pruned_by     text        NOT NULL,
    PRIMARY KEY (entity, period)
);
COMMENT ON TABLE pruned_slices IS
    'slices of which aura-producer prune has taken runs away, with their changes and rejected rows; the event pruned in '
    'the audit trail names them';
COMMENT ON COLUMN pruned_slices.before IS
    'what was over before this moment is gone, but for what the ledger still needs; how the slice stood earlier is not known';
COMMENT ON COLUMN pruned_slices.runs IS 'how many, all prunings together; so are changes and rejected_rows';

-- The same moment, if it is one that the log of changes still reaches.
CREATE FUNCTION gl_known_moment(of_entity text, of_period text, of_time timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    pruned timestamptz := (SELECT before FROM pruned_slices WHERE entity = of_entity AND period = of_period);
BEGIN
    IF of_time < pruned THEN
        RAISE EXCEPTION 'how % % stood at % is not known: what changed before % has been pruned',
            of_entity, of_period, of_time, pruned
            USING HINT = 'an archive of that time has it';
    END IF;
    RETURN of_time;
END
$$;
COMMENT ON FUNCTION gl_known_moment IS 'the moment that it is given; fails if the slice''s changes of then were pruned';

-- As before, but for the moment. Whatever loaded a slice last is never pruned, so that a slice with accounts always
-- has a run of which the time is compared, and the moment is asked for.
CREATE OR REPLACE FUNCTION gl_accounts_as_of(of_entity text, of_period text, of_time timestamptz)
RETURNS TABLE (company_code text, account_code text, account_name text, bs_pl text, status text, balance numeric)
LANGUAGE sql STABLE
AS $$
    WITH later AS MATERIALIZED (
        SELECT run.job_id, coalesce(run.applied_at, run.finished_at) AS at,
            run.updated = 0 AND run.unchanged = 0 AND run.deleted = 0 AND run.absent = 0 AS found_none
        FROM ingestion_runs run
        WHERE run.entity = of_entity AND run.period = of_period AND run.status = 'success'
          AND coalesce(run.applied_at, run.finished_at) > (SELECT gl_known_moment(of_entity, of_period, of_time))
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
