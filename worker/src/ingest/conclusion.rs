//! The conclusion of a job: what it leaves in PostgreSQL beside its rows.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use futures_util::future::{try_join_all, try_join3};
use shared::{
    file::trial_balance::CheckedSlice,
    message::{
        event::EventType,
        failure::Stage,
        receipt::{Receipt, Status},
    },
    stores::{outbox, postgres::PostgresError},
    timestamp,
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{
    attempt::{self, Attempt},
    interruption::Interrupted,
    ledger::Applied,
    relay::{SINKS, sink::Success},
    run::finish::Finish,
    verdict::{self, Export, Verdict},
};

const SEEN: &str = include_str!("conclusion/seen.sql");
const APPLIED: &str = include_str!("conclusion/applied.sql");

/// Writes everything that a success leaves beside its rows.
///
/// # Errors
/// If PostgreSQL fails, or the claim is no longer this attempt's.
pub(crate) async fn succeed(
    tx: &Transaction<'_>,
    attempt: &Attempt<'_>,
    receipt: &Receipt,
    checked: &CheckedSlice,
    applied: &Applied,
    exported: &Export,
) -> Result<(), Interrupted> {
    let job = attempt.job;
    let (entity, period) = (job.slice.entity.as_str(), job.slice.period.as_str());
    let Export { fingerprint, source, mapping_hash, mode } = exported;
    let (newest_at, (from, intake)) = (attempt.times.order_at(), arrival(attempt));
    let export: [&(dyn ToSql + Sync); 10] =
        [&entity, &period, &job.job_id, fingerprint, source, mapping_hash, mode, &newest_at, &from, &intake];
    let finish = Finish::of(job, attempt.claim, attempt.mapping_hash.as_deref(), receipt).with_slice(applied);
    let success = Success { job, receipt, profile: &checked.profile, export: exported, events: attempt.events() };
    // No two write the same row, so that their order does not matter.
    let enqueued = try_join_all(SINKS.iter().map(|sink| (sink.enqueue)(tx, &success)));
    let applied = async { execute(tx, APPLIED, &export).await.map_err(Interrupted::from) };
    let enqueued = async { enqueued.await.map_err(Interrupted::from) };
    try_join3(applied, finish_run(tx, attempt, &finish), enqueued).await?;
    Ok(())
}

/// Ends a job whose rows are not loaded, within the transaction that decided so.
///
/// # Errors
/// If PostgreSQL fails, or the claim is no longer this attempt's.
pub(crate) async fn end(
    tx: &Transaction<'_>,
    attempt: &Attempt<'_>,
    status: Status,
    verdict: Option<Verdict>,
) -> Result<Receipt, Interrupted> {
    attempt.enter(Stage::Verdict);
    let is_cancelled = verdict::close_gates(tx, attempt.job).await?.is_cancelled;
    attempt.enter(Stage::Write);
    let mut is_seen = false;
    let (event, receipt) = match verdict.filter(|_| !is_cancelled) {
        Some(Verdict::Duplicate(earlier)) => {
            is_seen = true;
            let event = attempt.event(EventType::DuplicateFileDetected).with("duplicate_of", earlier.to_string());
            let warning = format!("the slice already holds this file, loaded by job {earlier}");
            (event, Receipt { warnings: vec![warning], ..attempt.receipt(status, Some("duplicate")) })
        }
        Some(Verdict::Stale(newest)) => {
            let event = attempt.event(EventType::Superseded).with("newest_export", timestamp::millis_text(newest));
            let warning = format!("an export of {} has been seen", timestamp::micros_text(newest));
            (event, Receipt { warnings: vec![warning], ..attempt.receipt(status, Some("stale")) })
        }
        Some(Verdict::Load) | None => {
            let receipt = attempt.receipt(Status::Cancelled, Some("batch_cancelled"));
            (attempt.event(EventType::JobCancelled), receipt)
        }
    };
    let event = event.with_published_by(&attempt.published_by);
    attempt::log(&event);
    let finish = Finish::of(attempt.job, attempt.claim, attempt.mapping_hash.as_deref(), &receipt);
    let seen = async { if is_seen { mark_seen(tx, attempt).await.map_err(Interrupted::from) } else { Ok(()) } };
    let events = [event];
    let recorded = async { outbox::record(tx, &events).await.map_err(Interrupted::from) };
    try_join3(seen, finish_run(tx, attempt, &finish), recorded).await?;
    Ok(receipt)
}

async fn finish_run(tx: &Transaction<'_>, attempt: &Attempt<'_>, finish: &Finish<'_>) -> Result<(), Interrupted> {
    if finish.write(tx).await? { Ok(()) } else { Err(Interrupted::ClaimLost(attempt.claim)) }
}

/// Notes that the slice has seen this export.
async fn mark_seen(tx: &Transaction<'_>, attempt: &Attempt<'_>) -> Result<(), PostgresError> {
    let fingerprint = attempt.fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default();
    let (entity, period) = (attempt.job.slice.entity.as_str(), attempt.job.slice.period.as_str());
    let (from, intake) = arrival(attempt);
    execute(tx, SEEN, &[&entity, &period, &attempt.times.order_at(), &fingerprint, &from, &intake]).await
}

/// What is known of the job's first delivery, if that is where it stands among the exports.
fn arrival(attempt: &Attempt<'_>) -> (Option<DateTime<Utc>>, Option<Uuid>) {
    let arrival = attempt.times.arrival;
    (arrival.map(|arrival| arrival.from), arrival.map(|arrival| arrival.intake))
}

async fn execute(tx: &Transaction<'_>, statement: &str, params: &[&(dyn ToSql + Sync)]) -> Result<(), PostgresError> {
    let prepared = tx.prepare_cached(statement).await.map_err(PostgresError::in_("prepare a write"))?;
    tx.execute(&prepared, params).await.map(|_| ()).map_err(PostgresError::in_("write the run"))
}
