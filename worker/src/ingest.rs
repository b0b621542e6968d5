//! The pipeline: one attempt at a job, from its message to the commit of its rows.
//!
//! load → fingerprint → duplicate check → parse → profile → validate → map → write, in one PostgreSQL
//! transaction that holds the slice's lock. The run, the rows and the outgoing events commit together;
//! the audit trail, the metadata and the Parquet cache follow from what was committed.

mod conclusion;
pub(crate) mod diagnosis;
pub(crate) mod dry_run;
pub(crate) mod publishers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool_postgres::Transaction;
use futures_util::future::try_join;
use serde_json::Value;
use shared::{
    file::{mapping_profile::MappingProfile, trial_balance::CheckedSlice},
    message::{
        event::EventType,
        failure::{ErrorCode, Failure, Stage},
        job::{Job, Mode, OnError},
        receipt::{Receipt, Status},
    },
    roots::{Location, Root},
    stores::{
        lease::{Lease, Statements},
        locks::Lock,
        postgres::{PostgresError, transaction::Measured},
    },
    telemetry,
};
use tracing::Instrument;

use crate::{
    attempt::{Attempt, CurrentStage},
    failpoint,
    ingest::diagnosis::diagnose,
    interruption::{Interrupted, is_exhaustion},
    ledger::{self, Applied, Load, Taken},
    outcome::{Ended, Outcome},
    run::{
        claim::{self, Claimant, Claimed},
        finish::commit,
        ownership,
    },
    services::Services,
    source::{self, Loaded},
    verdict::{self, Export, Verdict},
};

/// How long the end of a failed attempt's transaction is waited for.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs one attempt. Whatever happens is an outcome; nothing is acknowledged or published here.
///
/// What it does in PostgreSQL for longer than a moment can be cancelled through `statements`, and `stage` says
/// where it is.
pub(crate) async fn ingest(
    services: &Services,
    job: &Job,
    claimant: Claimant<'_>,
    statements: &Statements,
    stage: &CurrentStage,
) -> Outcome {
    let mut attempt = Attempt::begin(job, claimant.claim, &services.worker, stage);
    match attempt_with(services, &mut attempt, claimant, statements).await {
        Ok(outcome) => outcome,
        Err(interrupted) => diagnose(services, attempt, interrupted).await,
    }
}

/// Takes a connection for the attempt, and gives it back.
async fn attempt_with(
    services: &Services,
    attempt: &mut Attempt<'_>,
    claimant: Claimant<'_>,
    statements: &Statements,
) -> Result<Outcome, Interrupted> {
    let _measured = Measured::begin("ingest");
    let mut lease = Lease::take(&services.pool).await?;
    statements.watch(&lease);
    let outcome = under_lock(services, attempt, claimant, &mut lease).await;
    // What was broken off because its root went away may still be under way in PostgreSQL.
    if !matches!(outcome, Err(Interrupted::RootAway(_))) {
        lease.end();
    }
    outcome
}

/// Locks the slice, claims the run, and commits what the stages come to.
async fn under_lock(
    services: &Services,
    attempt: &mut Attempt<'_>,
    claimant: Claimant<'_>,
    lease: &mut Lease,
) -> Result<Outcome, Interrupted> {
    let job = attempt.job;
    let mut tx = lease.transaction().await.map_err(PostgresError::in_("begin"))?;
    if !Lock::Slice(&job.slice).take_if_free(&tx).await? {
        return Ok(Outcome::Busy);
    }
    // The claim may stand even if the answer to it is lost.
    attempt.claimed = true;
    let claimed = claim::take(&services.pool, job, claimant).await?;
    let mut condemned = false;
    match claimed {
        Claimed::Granted(times, by) => (attempt.times, attempt.published_by) = (times, by),
        Claimed::Condemned => condemned = true,
        Claimed::Ended(receipt) => return Ok(Outcome::EndedBefore(receipt)),
        Claimed::Orphaned(job_id) => return Ok(Outcome::Orphaned(job_id)),
        Claimed::Misnumbered { attempt, replays } => return Ok(Outcome::Misnumbered { attempt, replays }),
        Claimed::Redundant => return Ok(Outcome::Redundant),
        Claimed::Settling => return Ok(Outcome::Busy),
        Claimed::NeedsIsolation => return Ok(Outcome::NeedsIsolation),
        Claimed::OtherBody => {
            (attempt.claimed, attempt.is_other_body) = (false, true);
            let reason =
                "the message is not a valid job: job_id: is that of a job with another body; give each job its own";
            return Err(Failure::new(ErrorCode::InvalidMessage, Stage::Receive, reason).into());
        }
    }
    services.lineage.started(job);
    failpoint::reach_for("claimed", &job.slice);
    let decided = if condemned {
        let reason = "the job ended its worker four times while it ran alone; look at the file before it is replayed";
        Err(Failure::new(ErrorCode::CrashSuspect, Stage::Receive, reason).into())
    } else {
        stages(services, attempt, &mut tx).await
    };
    match decided {
        Ok(ended) => {
            failpoint::reach_for("before_commit", &job.slice);
            let began = Instant::now();
            commit(&services.pool, job, attempt.claim, tx).instrument(tracing::info_span!("commit")).await?;
            services.metrics.stage("commit", began.elapsed());
            failpoint::reach_for("committed", &job.slice);
            Ok(Outcome::Ended(Box::new(ended)))
        }
        Err(interrupted) => {
            // Said while the slice is still locked: whoever finds the claim afterwards must not take
            // this worker for dead.
            ownership::mark_settling(&services.pool, attempt.claim).await;
            // The slice is free before the failure is told: this process may stand still from then on. What was
            // broken off because its root went away may take long to end.
            if !matches!(interrupted, Interrupted::RootAway(_)) {
                let _ = tokio::time::timeout(ROLLBACK_TIMEOUT, tx.rollback()).await;
            }
            Err(interrupted)
        }
    }
}

/// The stages between the claim and the commit. What they return is written, and only has to be committed.
async fn stages(
    services: &Services,
    attempt: &mut Attempt<'_>,
    tx: &mut Transaction<'_>,
) -> Result<Ended, Interrupted> {
    let loaded = match decide(services, attempt, tx).await? {
        Decided::Unloaded(status, verdict) => return Ok(conclusion::end(tx, attempt, status, verdict).await?.into()),
        Decided::Loaded(loaded) => loaded,
    };
    attempt.enter(Stage::Write);
    let Taken { checked, applied, ahead, .. } = loaded.taken;
    conclusion::succeed(tx, attempt, &loaded.receipt, &checked, &applied, &loaded.export).await?;
    let facts = services.lineage.facts(&checked, attempt.events());
    Ok(Ended { receipt: loaded.receipt, cache_file: ahead, facts })
}

/// What the stages come to, before anything is written of it beside the rows.
enum Decided {
    /// The job's rows are not to be loaded.
    Unloaded(Status, Option<Verdict>),
    /// They are.
    Loaded(Box<LoadedRows>),
}

/// Rows that the ledger holds within the transaction.
struct LoadedRows {
    taken: Taken,
    receipt: Receipt,
    export: Export,
}

/// Decides what becomes of the job, and takes its rows in.
async fn decide(
    services: &Services,
    attempt: &mut Attempt<'_>,
    tx: &mut Transaction<'_>,
) -> Result<Decided, Interrupted> {
    let job = attempt.job;
    attempt.enter(Stage::Verdict);
    let (standing, has_rows) = try_join(verdict::look(tx, job), ledger::has_rows(tx, job)).await?;
    if standing.is_cancelled {
        return Ok(Decided::Unloaded(Status::Cancelled, None));
    }
    let asked = [&attempt.published_by, &job.published_by];
    let mut authority = services.publishers.authority(asked.map(|by| by.user_id.as_deref()));
    authority.may_load(job)?;
    let (mode, mapping_hash, profile) = mapping(services, attempt).await?;
    authority.may_use(mode)?;
    let location = authority.locate(services.roots.locate(&job.file, &services.base)?)?;
    let (root, loaded) = load(services, attempt, mode, location).await?;

    attempt.enter(Stage::Verdict);
    let export = Export::new(loaded.fingerprint, &job.source, mapping_hash, mode);
    match verdict::decide(standing.state.as_ref(), job, attempt.times, &export)? {
        Verdict::Load => {}
        verdict @ Verdict::Duplicate(_) => return Ok(Decided::Unloaded(Status::Skipped, Some(verdict))),
        verdict @ Verdict::Stale(_) => return Ok(Decided::Unloaded(Status::Superseded, Some(verdict))),
    }
    // It may have been opened while the file was read.
    if standing.is_locked && verdict::is_locked(tx, job).await? {
        return Err(verdict::locked(job).into());
    }

    attempt.enter(Stage::Write);
    ledger::set_savepoint(tx).await?;
    let writes_cache = !attempt.is_dry && !services.cache_trouble.is_recent();
    let cache = writes_cache.then_some(&services.cache);
    let load = Load { job, mode, profile: &profile, loaded: &loaded, limits: &services.limits, has_rows, cache };
    let taken = tokio::select! {
        taken = ledger::apply(tx, load) => taken?,
        () = services.outages.until_root_down(&root) => return Err(Interrupted::RootAway(root)),
    };
    failpoint::reach_for("copied", &job.slice);
    loaded.check_unchanged()?;
    record_rows(attempt, &taken.checked, &taken.applied);
    let receipt = attempt.success(&taken.checked, &taken.applied);
    let warnings: Vec<Value> = receipt.warnings.iter().map(|warning| warning.as_str().into()).collect();
    attempt.record(attempt.event(EventType::IngestionCompleted).with("status", "success").with("warnings", warnings));

    attempt.enter(Stage::Verdict);
    let gates = verdict::close_gates(tx, job).await?;
    if gates.is_cancelled {
        ledger::roll_back(tx).await?;
        return Ok(Decided::Unloaded(Status::Cancelled, None));
    }
    if gates.is_locked {
        return Err(verdict::locked(job).into());
    }
    Ok(Decided::Loaded(Box::new(LoadedRows { taken, receipt, export })))
}

/// The mode, and the mapping with which the file is read and its hash.
async fn mapping(
    services: &Services,
    attempt: &mut Attempt<'_>,
) -> Result<(Mode, String, Arc<MappingProfile>), Interrupted> {
    let job = attempt.job;
    let (sources, name) = (services.sources.clone(), job.source.clone());
    let reading = tokio::task::spawn_blocking(move || sources.named(&name)).await;
    let profile = reading.map_err(|panic| {
        let reason = format!("reading the mapping profile broke off: {panic}");
        Failure::new(ErrorCode::CrashSuspect, Stage::Receive, reason)
    })?;
    let profile = profile.map_err(|error| {
        // The receipt does not say where it was looked for.
        tracing::warn!(error = &error as &dyn std::error::Error, "the mapping profile cannot be had");
        if is_exhaustion(&error) {
            return Interrupted::Exhausted(telemetry::chain(&error));
        }
        Failure::from(error).into()
    })?;
    let mode = job.mode.unwrap_or(profile.mode);
    let mapping_hash = profile.hash().to_string();
    (attempt.mode, attempt.mapping_hash) = (Some(mode), Some(mapping_hash.clone()));
    if mode == Mode::Replace && job.on_error == OnError::Quarantine {
        let reason = "the message is not a valid job: on_error: quarantine does not go with the profile's mode replace";
        return Err(Failure::new(ErrorCode::InvalidMessage, Stage::Receive, reason).into());
    }
    Ok((mode, mapping_hash, Arc::new(profile)))
}

/// Reads the file and compares its fingerprint.
async fn load(
    services: &Services,
    attempt: &mut Attempt<'_>,
    mode: Mode,
    location: Location,
) -> Result<(Root, Loaded), Interrupted> {
    let job = attempt.job;
    attempt.enter(Stage::Load);
    let root = location.root();
    if services.outages.root_is_away(&root) {
        return Err(Interrupted::RootAway(root));
    }
    attempt.record(attempt.event(EventType::FileUploaded).with("file", job.file.as_str()));
    let started = attempt.event(EventType::IngestionStarted).with("source", job.source.as_str());
    let started = started.with_published_by(&attempt.published_by);
    attempt.record(started.with("mode", mode.as_str()));
    let loaded = tokio::select! {
        loaded = source::load(&location, services.limits.file_bytes) => loaded?,
        () = services.outages.until_root_down(&root) => return Err(Interrupted::RootAway(root)),
    };
    attempt.enter(Stage::Fingerprint);
    attempt.fingerprint = Some(loaded.fingerprint);
    if let Some(expected) = job.sha256.filter(|expected| *expected != loaded.fingerprint) {
        let reason = format!("the file's SHA-256 is {}, the message says {expected}", loaded.fingerprint);
        return Err(Failure::new(ErrorCode::FingerprintMismatch, Stage::Fingerprint, reason).into());
    }
    if !attempt.is_dry {
        services.metrics.read(loaded.bytes);
    }
    attempt.record(attempt.event(EventType::FingerprintCreated).with("bytes", loaded.bytes));
    failpoint::reach_for("loaded", &job.slice);
    Ok((root, loaded))
}

fn record_rows(attempt: &mut Attempt<'_>, checked: &CheckedSlice, applied: &Applied) {
    let sum = checked.balance_sum.to_string();
    let event = attempt.event(EventType::DataProfiled).with("row_count", checked.profile.row_count);
    attempt.record(event.with("blank_balances", checked.profile.blank_balances).with("balance_sum", sum.as_str()));
    let event = attempt.event(EventType::SchemaValidated).with("extra_columns", checked.columns.extra_columns.clone());
    attempt.record(event.with("present_optional", checked.columns.present_optional()));
    let event = attempt.event(EventType::DbInsert).with("inserted", applied.inserted).with("updated", applied.updated);
    let event = event.with("unchanged", applied.unchanged).with("deleted", applied.deleted);
    attempt.record(event.with("absent", applied.absent).with("failed", checked.failed));
    let event = attempt.event(EventType::FileIngested).with("rows", checked.rows).with("balance_sum", sum);
    let event = event.with("slice_rows", applied.slice_rows).with("slice_sum", applied.slice_sum.as_str());
    let event = match &attempt.job.reason {
        Some(reason) if attempt.times.forced_at.is_some() => {
            event.with("forced", true).with("reason", reason.as_str()).with_published_by(&attempt.published_by)
        }
        _ => event,
    };
    attempt.record(event);
}
