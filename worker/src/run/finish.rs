//! The end of a job: what it leaves in PostgreSQL, and the commit of it.

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::{
    file::trial_balance::CheckedSlice,
    message::{
        event::EventType,
        failure::Stage,
        job::{Job, Mode},
        receipt::{Receipt, Status},
    },
    stores::{lease::Lease, outbox, postgres::PostgresError, storable::Storable},
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{
    attempt::{self, Attempt},
    ledger::Applied,
    run::claim::{self, whole},
    services::{Interrupted, Services},
    verdict::{self, Verdict},
};

const FINISH: &str = include_str!("finish/finish.sql");
const SEEN: &str = include_str!("finish/seen.sql");
const APPLIED: &str = include_str!("finish/applied.sql");
const CACHE_TASK: &str = "INSERT INTO cache_tasks (entity, period, job_id) VALUES ($1, $2, $3)";
const METADATA: &str = "INSERT INTO metadata_outbox (job_id, document) VALUES ($1, $2)";
const IS_COMMITTED: &str =
    "SELECT EXISTS (SELECT FROM ingestion_runs WHERE job_id = $1 AND ended_claim = $2 AND finished_at IS NOT NULL)";

/// Writes everything that a success leaves beside its rows.
///
/// # Errors
/// If PostgreSQL fails, or the claim is no longer this attempt's.
pub(crate) async fn write_success(
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
    write_end(tx, attempt, receipt, Some(applied), false).await?;
    execute(tx, CACHE_TASK, &[&entity, &period, &job.job_id]).await?;
    let metadata = Storable::of(&json!({
        "_id": job.job_id,
        "entity": entity,
        "period": period,
        "file_fingerprint": fingerprint,
        "data_profile": checked.profile,
        "ingestion_result": receipt,
        "created_at": receipt.finished_at,
    }));
    execute(tx, METADATA, &[&job.job_id, &metadata]).await?;
    outbox::record(tx, attempt.events()).await.map_err(|source| Interrupted::Postgres(Stage::Write, source))
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
    let deciding = |source| Interrupted::Postgres(Stage::Verdict, source);
    verdict::close_gates(tx, attempt.job).await.map_err(deciding)?;
    let cancelled = verdict::is_cancelled(tx, attempt.job).await.map_err(deciding)?;
    let (event, receipt) = match verdict.filter(|_| !cancelled) {
        Some(Verdict::Duplicate(earlier)) => {
            mark_seen(tx, attempt).await?;
            let event = attempt.event(EventType::DuplicateFileDetected).with("duplicate_of", earlier.to_string());
            let warning = format!("the slice already holds this file, loaded by job {earlier}");
            (event, Receipt { warnings: vec![warning], ..attempt.receipt(status, Some("duplicate")) })
        }
        Some(Verdict::Stale(newest)) => {
            let event = attempt
                .event(EventType::Superseded)
                .with("newest_export", shared::stores::audit_chain::time_text(newest));
            let warning = format!("an export of {} has been seen", shared::message::envelope::time_text(newest));
            (event, Receipt { warnings: vec![warning], ..attempt.receipt(status, Some("stale")) })
        }
        Some(Verdict::Load) | None => {
            let receipt = attempt.receipt(Status::Cancelled, Some("batch_cancelled"));
            (attempt.event(EventType::JobCancelled), receipt)
        }
    };
    let event = event.with_published_by(&attempt.published_by);
    attempt::log(&event);
    write_end(tx, attempt, &receipt, None, false).await?;
    outbox::record(tx, &[event]).await.map_err(deciding)?;
    Ok(receipt)
}

/// Notes that the slice has seen this export.
async fn mark_seen(tx: &Transaction<'_>, attempt: &Attempt<'_>) -> Result<(), Interrupted> {
    let fingerprint = attempt.fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default();
    let (entity, period) = (attempt.job.slice.entity.as_str(), attempt.job.slice.period.as_str());
    let arrival = attempt.times.arrival;
    let (from, intake) = (arrival.map(|arrival| arrival.from), arrival.map(|arrival| arrival.intake));
    execute(tx, SEEN, &[&entity, &period, &attempt.times.order_at(), &fingerprint, &from, &intake]).await.map(|_| ())
}

/// Writes the end of the run. The claim must still be this attempt's; a failure may also end a run
/// that nobody claims, while its round and attempt are still this one's.
///
/// # Errors
/// If PostgreSQL fails, or the claim is another's.
pub(crate) async fn write_end(
    tx: &Transaction<'_>,
    attempt: &Attempt<'_>,
    receipt: &Receipt,
    applied: Option<&Applied>,
    unclaimed: bool,
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
            &whole(receipt.attempt),
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
            &Storable::of(receipt),
            &receipt.finished_at,
            &unclaimed,
            &whole(attempt.job.replays),
            &attempt.job.body_hash.to_string(),
        ],
    )
    .await?;
    if written == 1 { Ok(()) } else { Err(Interrupted::ClaimLost(attempt.claim)) }
}

/// Commits. If the reply never comes, the run tells whether it happened, once that is settled.
///
/// # Errors
/// If it was not committed, or that is not known.
pub(crate) async fn commit(services: &Services, attempt: &Attempt<'_>, tx: Transaction<'_>) -> Result<(), Interrupted> {
    let Err(source) = tx.commit().await else { return Ok(()) };
    if source.code().is_some() {
        // PostgreSQL answered: it did not commit.
        return Err(Interrupted::Postgres(Stage::Write, PostgresError::in_("commit")(source)));
    }
    let unknown = PostgresError::in_("answer a commit")(source);
    match is_committed(services, attempt.job, attempt.claim).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Interrupted::Postgres(Stage::Write, unknown)),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "whether the job was committed is not known yet");
            Err(Interrupted::CommitUnknown(unknown))
        }
    }
}

/// Returns whether the run's end was written under this claim. The slice's lock is waited for: as long as
/// the server works on the commit, it is taken.
async fn is_committed(services: &Services, job: &Job, claim: Uuid) -> Result<bool, PostgresError> {
    let mut lease = Lease::take(&services.pool).await?;
    let asked = async {
        let tx = lease.transaction().await.map_err(PostgresError::in_("begin"))?;
        verdict::wait_lock(&tx, job).await?;
        let row = tx.query_one(IS_COMMITTED, &[&job.job_id, &claim]).await;
        row.map(|row| row.get(0)).map_err(PostgresError::in_("look the run up"))
    };
    let committed = asked.await;
    lease.end();
    committed
}

/// How the job has ended, if it has, once nobody works on its slice.
///
/// # Errors
/// If PostgreSQL fails, or works on the slice for longer than it may be waited for.
pub(crate) async fn settled_end(services: &Services, job: &Job) -> Result<Option<Box<Receipt>>, PostgresError> {
    let mut lease = Lease::take(&services.pool).await?;
    let asked = async {
        let tx = lease.transaction().await.map_err(PostgresError::in_("begin"))?;
        verdict::wait_lock(&tx, job).await?;
        claim::end_of_round(&tx, job).await
    };
    let end = asked.await;
    lease.end();
    end
}

async fn execute(tx: &Transaction<'_>, statement: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Interrupted> {
    let failed = |source| Interrupted::Postgres(Stage::Write, source);
    let prepared = tx.prepare_cached(statement).await.map_err(PostgresError::in_("prepare a write")).map_err(failed)?;
    tx.execute(&prepared, params).await.map_err(PostgresError::in_("write the run")).map_err(failed)
}
