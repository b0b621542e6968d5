-- What a job has come to is not rewritten: a run that ended keeps its end, whoever may otherwise write runs. The owner
-- of the table is left out, so that retention and repair by hand stay possible; a program that runs as the owner is not
-- held by this, one that runs as aura_worker (deploy/roles) is.
--
-- A failed run may go on, in a later round (a replay), and the attempts that it failed of are noted beside its end. It
-- takes milliseconds and waits for the transactions that are writing runs; an update of a run that has not ended pays
-- for one comparison.

CREATE OR REPLACE FUNCTION keep_ended_run() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF pg_has_role(current_user, (SELECT relowner FROM pg_catalog.pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.status = 'failed' AND NEW.job_id = OLD.job_id AND NEW.body_hash = OLD.body_hash
       AND (NEW.replays > OLD.replays OR to_jsonb(NEW) - 'tries' = to_jsonb(OLD) - 'tries') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'job % has ended (%), and role % may not rewrite that', OLD.job_id, OLD.status, current_user
        USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION keep_ended_run IS 'refuses to rewrite or delete a run that has ended, to all but the owner of the table';

CREATE OR REPLACE TRIGGER ended_runs_stay
    BEFORE UPDATE OR DELETE ON ingestion_runs
    FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL)
    EXECUTE FUNCTION keep_ended_run();
