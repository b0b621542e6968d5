//! The pipeline: one attempt at a job, from its message to the commit of its rows.
//!
//! load → fingerprint → duplicate check → parse → profile → validate → map → write, in one PostgreSQL
//! transaction that holds the slice's lock. The run, the rows and the outgoing events commit together;
//! the audit trail, the metadata and the Parquet cache follow from what was committed.

use deadpool_postgres::Transaction;
use serde_json::{Value, json};
use shared::{
    event::EventType,
    failure::{ErrorCode, Failure, Stage},
    job::{Job, Mode, OnError},
    mapping_profile::MappingProfile,
    outbox,
    postgres::PostgresError,
    receipt::{Receipt, Status},
    trial_balance::CheckedSlice,
};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{
    attempt::{self, Attempt},
    claim::{self, Claimed},
    failpoint,
    ledger::{self, Applied},
    outcome::{FailedAttempt, Outage, Outcome},
    services::{Interrupted, Services},
    source, verdict,
    verdict::Verdict,
};

const FINISH: &str = include_str!("ingest/finish.sql");
const SEEN: &str = include_str!("ingest/seen.sql");
const APPLIED: &str = include_str!("ingest/applied.sql");

/// Runs one attempt. Whatever happens is an outcome; nothing is acknowledged or published here.
pub(crate) async fn ingest(services: &Services, job: &Job, claim: Uuid, alone: bool) -> Outcome {
    let mut attempt = Attempt::begin(job, claim, &services.worker);
    match run(services, &mut attempt, alone).await {
        Ok(outcome) => outcome,
        Err(interrupted) => settle_interruption(services, attempt, interrupted).await,
    }
}

async fn run(services: &Services, attempt: &mut Attempt<'_>, alone: bool) -> Result<Outcome, Interrupted> {
    let job = attempt.job;
    let postgres = |stage| move |source| Interrupted::Postgres(stage, source);
    let receiving = postgres(Stage::Receive);
    let mut client = services.pool.get().await.map_err(PostgresError::from).map_err(receiving)?;
    let mut tx = client.transaction().await.map_err(PostgresError::in_("begin")).map_err(postgres(Stage::Receive))?;
    if !verdict::try_lock(&tx, job).await.map_err(postgres(Stage::Receive))? {
        return Ok(Outcome::Busy);
    }
    let claimed = claim::take(&services.pool, job, attempt.claim, &services.worker, alone).await;
    match claimed.map_err(postgres(Stage::Receive))? {
        Claimed::Granted => attempt.claimed = true,
        Claimed::Ended(receipt) => return Ok(Outcome::EndedBefore(receipt)),
        Claimed::Redundant => return Ok(Outcome::Redundant),
        Claimed::NeedsSolitude => return Ok(Outcome::NeedsSolitude),
        Claimed::OtherBody => {
            let reason =
                "the message is no valid job: job_id: is that of a job with another body; give each job its own";
            return Err(Failure::new(ErrorCode::InvalidMessage, Stage::Receive, reason).into());
        }
        Claimed::Condemned => {
            attempt.claimed = true;
            let reason =
                "the job ended its worker four times while it ran alone; look at the file before it is replayed";
            return Err(Failure::new(ErrorCode::CrashSuspect, Stage::Receive, reason).into());
        }
    }
    failpoint::reach_for("claimed", &job.slice);

    attempt.stage = Stage::Verdict;
    if verdict::is_cancelled(&tx, job).await.map_err(postgres(Stage::Verdict))? {
        return end(services, attempt, tx, Status::Cancelled, None).await;
    }
    let profile = MappingProfile::named(&job.source)?;
    let mode = job.mode.unwrap_or(profile.mode);
    let mapping_hash = profile.hash().to_string();
    (attempt.mode, attempt.mapping_hash) = (Some(mode), Some(mapping_hash.clone()));
    if mode == Mode::Replace && job.on_error == OnError::Quarantine {
        let reason = "the message is no valid job: on_error: quarantine does not go with the profile's mode replace";
        return Err(Failure::new(ErrorCode::InvalidMessage, Stage::Receive, reason).into());
    }

    attempt.stage = Stage::Load;
    let location = services.roots.locate(&job.file, &services.base)?;
    if services.outages.root_is_away(&location.root) {
        return Err(Interrupted::RootAway(location.root));
    }
    attempt.tell(attempt.event(EventType::FileUploaded).with("file", job.file.as_str()));
    attempt.tell(
        attempt.event(EventType::IngestionStarted).with("source", job.source.as_str()).with("mode", mode.as_str()),
    );
    let loaded = tokio::select! {
        loaded = source::load(&location, services.limits.file_bytes) => loaded?,
        () = services.outages.root_goes(&location.root) => return Err(Interrupted::RootAway(location.root)),
    };
    attempt.stage = Stage::Fingerprint;
    attempt.fingerprint = Some(loaded.fingerprint);
    if let Some(expected) = job.sha256.filter(|expected| *expected != loaded.fingerprint) {
        let reason = format!("the file's SHA-256 is {}, the message says {expected}", loaded.fingerprint);
        return Err(Failure::new(ErrorCode::FingerprintMismatch, Stage::Fingerprint, reason).into());
    }
    attempt.tell(attempt.event(EventType::FingerprintCreated).with("bytes", loaded.bytes));
    failpoint::reach_for("loaded", &job.slice);

    attempt.stage = Stage::Verdict;
    let export = [loaded.fingerprint.to_string(), job.source.to_string(), mapping_hash, mode.to_string()];
    let state = verdict::state(&tx, job).await.map_err(postgres(Stage::Verdict))?;
    let verdict = verdict::decide(state.as_ref(), job, &export)?;
    if verdict != Verdict::Load {
        return end(
            services,
            attempt,
            tx,
            if matches!(verdict, Verdict::Stale(_)) { Status::Superseded } else { Status::Skipped },
            Some(verdict),
        )
        .await;
    }
    if verdict::is_locked(&tx, job).await.map_err(postgres(Stage::Verdict))? {
        return Err(verdict::locked(job).into());
    }

    attempt.stage = Stage::Write;
    let (checked, applied) = ledger::apply(&mut tx, job, mode, &loaded, &services.limits).await?;
    failpoint::reach_for("copied", &job.slice);
    tell_of_rows(attempt, &checked, &applied);
    let receipt = attempt.success(&checked, &applied);
    let warnings: Vec<Value> = receipt.warnings.iter().map(|warning| warning.as_str().into()).collect();
    let completed = attempt.event(EventType::IngestionCompleted).with("status", "success").with("warnings", warnings);
    attempt.tell(completed);

    close_gates(&tx, job).await?;
    if verdict::is_cancelled(&tx, job).await.map_err(postgres(Stage::Verdict))? {
        // What was copied goes with the transaction; the cancelled job's end is written in another.
        drop(tx);
        return cancel_late(services, attempt).await;
    }
    if verdict::is_locked(&tx, job).await.map_err(postgres(Stage::Verdict))? {
        return Err(verdict::locked(job).into());
    }
    write_success(&tx, attempt, &receipt, &checked, &applied, &export).await?;
    failpoint::reach_for("before_commit", &attempt.job.slice);
    commit(services, attempt, tx, &receipt).await?;
    failpoint::reach_for("committed", &job.slice);
    Ok(Outcome::Ended(Box::new(receipt)))
}

fn tell_of_rows(attempt: &mut Attempt<'_>, checked: &CheckedSlice, applied: &Applied) {
    let sum = checked.balance_sum.to_string();
    let event = attempt.event(EventType::DataProfiled).with("row_count", checked.profile.row_count);
    attempt.tell(event.with("blank_balances", checked.profile.blank_balances).with("balance_sum", sum.as_str()));
    let event = attempt.event(EventType::SchemaValidated).with("extra_columns", checked.header.extra_columns());
    attempt.tell(event.with("present_optional", checked.header.present_optional()));
    let event = attempt.event(EventType::DbInsert).with("inserted", applied.inserted).with("updated", applied.updated);
    let event = event.with("unchanged", applied.unchanged).with("deleted", applied.deleted);
    attempt.tell(event.with("absent", applied.absent).with("failed", checked.failed));
    let event = attempt.event(EventType::FileIngested).with("rows", checked.rows).with("balance_sum", sum);
    let event = event.with("slice_rows", applied.slice_rows).with("slice_sum", applied.slice_sum.as_str());
    let event = match &attempt.job.reason {
        Some(reason) if attempt.job.forced_at.is_some() => event.with("forced", true).with("reason", reason.as_str()),
        _ => event,
    };
    attempt.tell(event);
}

/// Writes everything that a success leaves beside its rows.
async fn write_success(
    tx: &Transaction<'_>,
    attempt: &Attempt<'_>,
    receipt: &Receipt,
    checked: &CheckedSlice,
    applied: &Applied,
    export: &[String; 4],
) -> Result<(), Interrupted> {
    let job = attempt.job;
    let (entity, period) = (job.slice.entity.as_str(), job.slice.period.as_str());
    mark_seen(tx, attempt).await?;
    let [fingerprint, source, mapping, mode] = export;
    execute(tx, APPLIED, &[&entity, &period, &job.job_id, fingerprint, source, mapping, mode]).await?;
    write_end(tx, attempt, receipt, Some(applied)).await?;
    execute(
        tx,
        "INSERT INTO cache_tasks (entity, period, job_id) VALUES ($1, $2, $3)",
        &[&entity, &period, &job.job_id],
    )
    .await?;
    let metadata = json!({
        "_id": job.job_id,
        "entity": entity,
        "period": period,
        "file_fingerprint": fingerprint,
        "data_profile": checked.profile,
        "ingestion_result": receipt,
        "created_at": receipt.finished_at,
    });
    execute(tx, "INSERT INTO metadata_outbox (job_id, document) VALUES ($1, $2)", &[&job.job_id, &metadata]).await?;
    outbox::record(tx, attempt.events()).await.map_err(|source| Interrupted::Postgres(Stage::Write, source))
}

/// Ends a job whose rows are not loaded, within the transaction that decided so.
async fn end(
    services: &Services,
    attempt: &mut Attempt<'_>,
    tx: Transaction<'_>,
    status: Status,
    verdict: Option<Verdict>,
) -> Result<Outcome, Interrupted> {
    let (event, mut receipt) = match verdict {
        None | Some(Verdict::Load) => {
            (attempt.event(EventType::JobCancelled), attempt.receipt(status, Some("batch_cancelled")))
        }
        Some(Verdict::Duplicate(earlier)) => {
            let event = attempt.event(EventType::DuplicateFileDetected).with("duplicate_of", earlier.to_string());
            (event, attempt.receipt(status, Some("duplicate")))
        }
        Some(Verdict::Stale(newest)) => {
            let event = attempt.event(EventType::Superseded).with("newest_export", shared::chain::time_text(newest));
            (event, attempt.receipt(status, Some("stale")))
        }
    };
    match verdict {
        Some(Verdict::Duplicate(earlier)) => {
            receipt.warnings.push(format!("the slice already holds this file, loaded by job {earlier}"));
            mark_seen(&tx, attempt).await?;
        }
        Some(Verdict::Stale(newest)) => {
            receipt.warnings.push(format!("an export of {} has been seen", shared::envelope::time_text(newest)));
        }
        None | Some(Verdict::Load) => {}
    }
    attempt::log(&event);
    write_end(&tx, attempt, &receipt, None).await?;
    outbox::record(&tx, &[event]).await.map_err(|source| Interrupted::Postgres(Stage::Verdict, source))?;
    failpoint::reach_for("before_commit", &attempt.job.slice);
    commit(services, attempt, tx, &receipt).await?;
    Ok(Outcome::Ended(Box::new(receipt)))
}

/// Ends a job whose batch was cancelled while its rows were copied.
async fn cancel_late(services: &Services, attempt: &mut Attempt<'_>) -> Result<Outcome, Interrupted> {
    let failed = |source| Interrupted::Postgres(Stage::Verdict, source);
    let mut client = services.pool.get().await.map_err(PostgresError::from).map_err(failed)?;
    let tx = client.transaction().await.map_err(PostgresError::in_("begin")).map_err(failed)?;
    end(services, attempt, tx, Status::Cancelled, None).await
}

/// Notes that the slice has seen this export.
async fn mark_seen(tx: &Transaction<'_>, attempt: &Attempt<'_>) -> Result<(), Interrupted> {
    let job = attempt.job;
    let fingerprint = attempt.fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default();
    let (entity, period) = (job.slice.entity.as_str(), job.slice.period.as_str());
    execute(tx, SEEN, &[&entity, &period, &job.order_at(), &fingerprint]).await.map(|_| ())
}

/// Writes the end of the run. The claim must still be this attempt's.
async fn write_end(
    tx: &Transaction<'_>,
    attempt: &Attempt<'_>,
    receipt: &Receipt,
    applied: Option<&Applied>,
) -> Result<(), Interrupted> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let written = execute(
        tx,
        FINISH,
        &[
            &attempt.job.job_id,
            &attempt.claim,
            &receipt.status.as_str(),
            &receipt.error.as_ref().map(|failure| failure.code.as_str()),
            &receipt.fingerprint,
            &attempt.mapping_hash,
            &attempt.mode.map(Mode::as_str),
            &(receipt.attempt as i32),
            &count(receipt.inserted),
            &count(receipt.updated),
            &count(receipt.unchanged),
            &count(receipt.deleted),
            &count(receipt.absent),
            &count(receipt.failed),
            &count(receipt.rows),
            &receipt.balance_sum.map(|sum| sum.to_string()),
            &applied.map(|applied| applied.slice_rows),
            &applied.map(|applied| applied.slice_sum.clone()),
            &receipt.duration_seconds,
            &Json(receipt),
            &receipt.finished_at,
        ],
    )
    .await?;
    if written == 1 { Ok(()) } else { Err(Interrupted::ClaimLost(attempt.claim)) }
}

/// Writes the end of a job that failed for good, with its events.
///
/// # Errors
/// If PostgreSQL fails, or the claim is no longer this attempt's.
pub(crate) async fn write_failure(
    tx: &Transaction<'_>,
    failed: &FailedAttempt,
    job: &Job,
    worker: &str,
) -> Result<(), Interrupted> {
    let Some(claim) = failed.claim else { return Ok(()) };
    let mut attempt = Attempt::begin(job, claim, worker);
    (attempt.mode, attempt.mapping_hash) = (failed.receipt.mode, failed.mapping_hash.clone());
    write_end(tx, &attempt, &failed.receipt, None).await
}

async fn close_gates(tx: &Transaction<'_>, job: &Job) -> Result<(), Interrupted> {
    verdict::close_gates(tx, job).await.map_err(|source| Interrupted::Postgres(Stage::Write, source))
}

/// Commits. If the reply never comes, the run tells whether it happened, once that is settled.
async fn commit(
    services: &Services,
    attempt: &Attempt<'_>,
    tx: Transaction<'_>,
    receipt: &Receipt,
) -> Result<(), Interrupted> {
    let Err(source) = tx.commit().await else { return Ok(()) };
    if source.code().is_some() {
        // PostgreSQL answered: it did not commit.
        return Err(Interrupted::Postgres(Stage::Write, PostgresError::in_("commit")(source)));
    }
    let unknown = PostgresError::in_("answer a commit")(source);
    match is_committed(services, attempt, receipt).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Interrupted::Postgres(Stage::Write, unknown)),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "whether the job was committed is not known yet");
            Err(Interrupted::CommitUnknown(unknown))
        }
    }
}

/// Whether the run holds this end. The slice's lock is waited for: as long as the server works on
/// the commit, it is taken.
async fn is_committed(services: &Services, attempt: &Attempt<'_>, receipt: &Receipt) -> Result<bool, PostgresError> {
    let mut client = services.pool.get().await?;
    let tx = client.transaction().await.map_err(PostgresError::in_("begin"))?;
    verdict::wait_lock(&tx, attempt.job).await?;
    let question =
        "SELECT status = $2 AND claim IS NULL AND finished_at IS NOT NULL FROM ingestion_runs WHERE job_id = $1";
    let row = tx.query_one(question, &[&attempt.job.job_id, &receipt.status.as_str()]).await;
    row.map(|row| row.get(0)).map_err(PostgresError::in_("look the run up"))
}

async fn execute(
    tx: &Transaction<'_>,
    statement: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<u64, Interrupted> {
    let failed = |source| Interrupted::Postgres(Stage::Write, source);
    let prepared = tx.prepare_cached(statement).await.map_err(PostgresError::in_("prepare a write")).map_err(failed)?;
    tx.execute(&prepared, params).await.map_err(PostgresError::in_("write the run")).map_err(failed)
}

/// What an interruption comes to: a failure that spends an attempt, or an outage that does not.
async fn settle_interruption(services: &Services, attempt: Attempt<'_>, interrupted: Interrupted) -> Outcome {
    let claim = attempt.claimed.then_some(attempt.claim);
    let failure = match interrupted {
        Interrupted::Failed(failure) => *failure,
        Interrupted::CommitUnknown(source) => {
            services.outages.postgres_failed(&source);
            return Outcome::Outage(Outage::Postgres(claim));
        }
        Interrupted::Postgres(stage, source) => {
            if !answers(&source) && services.outages.probe_postgres(&services.pool).await.is_err() {
                return Outcome::Outage(Outage::Postgres(claim));
            }
            tracing::warn!(error = &source as &dyn std::error::Error, "PostgreSQL failed an attempt");
            Failure::new(postgres_code(&source), stage, postgres_message(&source))
        }
        Interrupted::RootAway(root) => {
            services.outages.root_failed(&root);
            return Outcome::Outage(Outage::InputRoot(claim));
        }
        Interrupted::ClaimLost(claim) => {
            tracing::warn!(claim = %claim, "another worker has taken the job over");
            return Outcome::Busy;
        }
    };
    let receipt = attempt.failed(&failure);
    let (fingerprint, mapping_hash) = (attempt.fingerprint, attempt.mapping_hash);
    Outcome::Failed(Box::new(FailedAttempt { failure, claim, fingerprint, mapping_hash, receipt: Box::new(receipt) }))
}

/// Whether PostgreSQL is up: it gave an answer, and not that it is starting or stopping.
fn answers(error: &PostgresError) -> bool {
    error.sql_state().is_some_and(|state| !state.code().starts_with("57P") && !state.code().starts_with("08"))
}

fn postgres_code(error: &PostgresError) -> ErrorCode {
    if error.is_conflict() || error.is_unique_violation() {
        ErrorCode::SerializationConflict
    } else if error.is_timeout() {
        ErrorCode::Timeout
    } else {
        ErrorCode::PostgresUnavailable
    }
}

/// PostgreSQL's own words without its detail, which may hold a row's values.
fn postgres_message(error: &PostgresError) -> String {
    match error.sql_state() {
        Some(state) => format!("{error} (SQLSTATE {})", state.code()),
        None => shared::telemetry::chain(error),
    }
}
