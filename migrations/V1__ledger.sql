-- The ledger: what finance reads. The key starts with entity, so that the table can be distributed
-- by it; every amount is an exact decimal that also fits Decimal128, and never NaN.
CREATE TABLE gl_accounts (
    entity               text        NOT NULL,
    period               text        NOT NULL,
    company_code         text        NOT NULL,
    account_code         text        NOT NULL,
    account_name         text,
    balance              numeric     NOT NULL CHECK (balance > -1e18 AND balance < 1e18),
    bs_pl                text,
    status               text,
    department           text,
    account_category     text,
    sub_category         text,
    report_type          text,
    balance_carryforward numeric     CHECK (balance_carryforward > -1e18 AND balance_carryforward < 1e18),
    debit_period         numeric     CHECK (debit_period > -1e18 AND debit_period < 1e18),
    credit_period        numeric     CHECK (credit_period > -1e18 AND credit_period < 1e18),
    criticality          text        DEFAULT 'medium',
    review_status        text        DEFAULT 'pending',
    review_flag          text,
    reviewer_name        text,
    review_date          text,
    review_frequency     text,
    review_checkpoint    text,
    reconciliation_type  text,
    sla_deadline         text,
    analysis_required    text,
    variance_pct         text,
    extra                jsonb,
    job_id               uuid        NOT NULL,
    source_line          bigint      NOT NULL,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, period, company_code, account_code)
);
COMMENT ON COLUMN gl_accounts.job_id IS 'the job that last wrote the row; with source_line it leads back to file and line';

-- Every balance that a job changed or took away.
CREATE TABLE gl_balance_changes (
    entity       text        NOT NULL,
    period       text        NOT NULL,
    company_code text        NOT NULL,
    account_code text        NOT NULL,
    job_id       uuid        NOT NULL,
    old_balance  numeric     NOT NULL,
    new_balance  numeric,
    change       text        NOT NULL CHECK (change IN ('updated', 'deleted')),
    changed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, period, company_code, account_code, job_id)
);
COMMENT ON COLUMN gl_balance_changes.new_balance IS 'null where the account was deleted';

-- Bad rows that a job with on_error = quarantine put aside, with the text as it stood in the file.
CREATE TABLE gl_rejected_rows (
    entity      text        NOT NULL,
    period      text        NOT NULL,
    job_id      uuid        NOT NULL,
    source_line bigint      NOT NULL,
    column_name text,
    reason      text        NOT NULL,
    line_text   text        NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, period, job_id, source_line)
);

-- Accounts that the slice's newest export lacked and left standing.
CREATE TABLE gl_absent_accounts (
    entity       text NOT NULL,
    period       text NOT NULL,
    company_code text NOT NULL,
    account_code text NOT NULL,
    job_id       uuid NOT NULL,
    PRIMARY KEY (entity, period, company_code, account_code)
);

-- One row per slice: the export that its rows come from, and the newest export it has seen.
CREATE TABLE slices (
    entity             text        NOT NULL,
    period             text        NOT NULL,
    job_id             uuid,
    fingerprint        text,
    source             text,
    mapping_hash       text,
    mode               text,
    newest_at          timestamptz NOT NULL,
    newest_fingerprint text        NOT NULL,
    PRIMARY KEY (entity, period)
);
COMMENT ON COLUMN slices.newest_at IS 'order time of the newest export seen, applied or skipped; it never falls';

-- One row per valid job, whatever becomes of it.
CREATE TABLE ingestion_runs (
    job_id           uuid        PRIMARY KEY,
    batch_id         uuid,
    file             text        NOT NULL,
    fingerprint      text,
    entity           text        NOT NULL,
    period           text        NOT NULL,
    source           text        NOT NULL,
    mapping_hash     text,
    mode             text,
    exported_at      timestamptz NOT NULL,
    status           text        NOT NULL CHECK (status IN
        ('running', 'retrying', 'success', 'skipped', 'superseded', 'cancelled', 'failed')),
    error_code       text,
    inserted         bigint      NOT NULL DEFAULT 0,
    updated          bigint      NOT NULL DEFAULT 0,
    unchanged        bigint      NOT NULL DEFAULT 0,
    deleted          bigint      NOT NULL DEFAULT 0,
    absent           bigint      NOT NULL DEFAULT 0,
    failed           bigint      NOT NULL DEFAULT 0,
    rows             bigint      NOT NULL DEFAULT 0,
    balance_sum      numeric,
    slice_rows       bigint,
    slice_sum        numeric,
    attempts         integer     NOT NULL DEFAULT 0,
    started_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    duration_seconds double precision,
    result           jsonb,
    -- Beside the contract: what settles the same job arriving again.
    body_hash        text        NOT NULL,
    forced_at        timestamptz,
    replays          integer     NOT NULL DEFAULT 0,
    claim            uuid,
    claimed_by       text,
    resting_at       timestamptz,
    alone            boolean     NOT NULL DEFAULT false,
    deaths           integer     NOT NULL DEFAULT 0
);
COMMENT ON COLUMN ingestion_runs.resting_at IS 'set once the claimed attempt is over and only has to be settled';
COMMENT ON COLUMN ingestion_runs.claim IS 'set while an attempt runs; left standing it tells that its worker died';
CREATE INDEX ingestion_runs_by_batch ON ingestion_runs (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX ingestion_runs_by_slice ON ingestion_runs (entity, period, exported_at DESC);

-- Closed periods; the entity '*' stands for all.
CREATE TABLE period_locks (
    entity    text        NOT NULL DEFAULT '*',
    period    text        NOT NULL,
    reason    text,
    locked_by text        NOT NULL,
    locked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, period)
);

-- Batches that somebody has said something about.
CREATE TABLE batches (
    batch_id     uuid        PRIMARY KEY,
    created_at   timestamptz NOT NULL DEFAULT now(),
    cancelled_at timestamptz,
    cancelled_by text,
    reason       text
);

-- Messages that were refused before they became jobs, so that their events are written once.
CREATE TABLE refused_messages (
    job_id     uuid        NOT NULL,
    body_hash  text        NOT NULL,
    replays    integer     NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, body_hash, replays)
);
