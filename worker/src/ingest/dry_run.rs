//! A dry run: the stages of a job in a transaction that cannot commit.
//!
//! The transaction begins with a row that PostgreSQL refuses when it is to be committed, whatever the code around it
//! does: see `dry_run_guard`. Nothing is claimed, noted, published, acknowledged for a job, or put into the cache.

use std::time::{Duration, Instant};

use deadpool_postgres::Transaction;
use shared::{
    message::{
        dry_run::{DryRun, Effect, LARGEST, Movement, Would},
        failure::{ErrorCode, Failure, Stage},
        job::{Arrival, Job, Times},
        published_by::PublishedBy,
        receipt::Status,
    },
    stores::{
        lease::Lease,
        locks::Lock,
        postgres::{PostgresError, transaction::Measured},
    },
    telemetry,
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Decided, LoadedRows, decide};
use crate::{
    attempt::{Attempt, CurrentStage},
    failpoint,
    interruption::Interrupted,
    services::Services,
};

const GUARD: &str = "INSERT INTO dry_run_guard (id) VALUES (1)";
const RUN: &str = include_str!("dry_run/run.sql");
const MOVED: &str = include_str!("dry_run/moved.sql");
const LARGEST_CHANGES: &str = include_str!("dry_run/largest.sql");
const LARGEST_BALANCES: &str = include_str!("dry_run/largest_of_first_load.sql");
/// How long a busy slice is waited for, and how often it is asked for.
const BUSY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Tries a job, and tells what would become of it.
pub(crate) async fn dry_run(services: &Services, job: &Job) -> DryRun {
    let _measured = Measured::begin("dry_run");
    let began = Instant::now();
    loop {
        match tried(services, job).await {
            Ok(Some(told)) => return told,
            Ok(None) if began.elapsed() < BUSY => tokio::time::sleep(LOOK).await,
            Ok(None) => {
                return untold(job, "another job of the slice is at work; try again once it has ended".to_owned());
            }
            Err(interrupted) => return interrupted_run(job, interrupted),
        }
    }
}

/// Tries a job once; none if its slice is busy.
async fn tried(services: &Services, job: &Job) -> Result<Option<DryRun>, Interrupted> {
    let mut lease = Lease::take(&services.pool).await?;
    let mut tx = lease.transaction().await.map_err(PostgresError::in_("begin"))?;
    tx.execute(GUARD, &[]).await.map_err(PostgresError::in_("guard a dry run"))?;
    if !Lock::Slice(&job.slice).take_if_free(&tx).await? {
        tx.rollback().await.map_err(PostgresError::in_("roll back"))?;
        lease.end();
        return Ok(None);
    }
    let told = under_lock(services, job, &mut tx).await;
    failpoint::reach_for("dry_run_tried", &job.slice);
    // What fails here is rolled back with the connection, which the lease then closes.
    tx.rollback().await.map_err(PostgresError::in_("roll back"))?;
    lease.end();
    told.map(Some)
}

async fn under_lock(services: &Services, job: &Job, tx: &mut Transaction<'_>) -> Result<DryRun, Interrupted> {
    let stage = CurrentStage::new();
    let mut attempt = Attempt::begin(job, Uuid::nil(), &services.worker, &stage);
    attempt.is_dry = true;
    let run = tx.query_opt(RUN, &[&job.job_id]).await.map_err(PostgresError::in_("look the run up"))?;
    if let Some(run) = run {
        if run.get::<_, String>("body_hash") != job.body_hash.to_string() {
            let reason =
                "the message is not a valid job: job_id: is that of a job with another body; give each job its own";
            return Ok(failing(job, None, Failure::new(ErrorCode::InvalidMessage, Stage::Receive, reason)));
        }
        let status: String = run.get("status");
        if run.get("is_ended") && status != "failed" {
            let reason = format!("the job has ended as {status}; its receipt would be sent again");
            return Ok(DryRun { would: Would::Nothing, ..untold(job, reason) });
        }
        (attempt.times, attempt.published_by) = first_delivery(&run);
    }
    let decided = decide(services, &mut attempt, tx).await;
    let fingerprint = attempt.fingerprint.map(|fingerprint| fingerprint.to_string());
    match decided {
        Ok(Decided::Unloaded(status, _)) => {
            let would = match status {
                Status::Skipped => Would::Skip,
                Status::Superseded => Would::Supersede,
                Status::Cancelled => Would::Cancel,
                Status::Success | Status::Failed => Would::Unknown,
            };
            let receipt = Some(attempt.receipt(status, None));
            Ok(DryRun { job_id: job.job_id, would, error: None, reason: None, fingerprint, receipt, effect: None })
        }
        Ok(Decided::Loaded(loaded)) => {
            let effect = Some(effect(tx, job, &loaded).await?);
            let receipt = Some(loaded.receipt);
            let would = Would::Load;
            Ok(DryRun { job_id: job.job_id, would, error: None, reason: None, fingerprint, receipt, effect })
        }
        Err(Interrupted::Failed(failure)) => Ok(failing(job, fingerprint, *failure)),
        Err(interrupted) => Err(interrupted),
    }
}

/// When the job was exported and who published it, as its first delivery had it.
fn first_delivery(run: &Row) -> (Times, PublishedBy) {
    let times = Times {
        exported_at: run.get("exported_at"),
        forced_at: run.get("forced_at"),
        arrival: Arrival::of(run.get("arrival_from"), run.get("arrival_intake")),
    };
    (times, PublishedBy { actor: run.get("published_by"), user_id: run.get("broker_user") })
}

/// What the rows that were taken in change.
async fn effect(tx: &Transaction<'_>, job: &Job, loaded: &LoadedRows) -> Result<Effect, PostgresError> {
    let (applied, checked) = (&loaded.taken.applied, &loaded.taken.checked);
    let (entity, period) = (job.slice.entity.as_str(), job.slice.period.as_str());
    let slice: [&(dyn ToSql + Sync); 3] = [&entity, &period, &job.job_id];
    let is_first = applied.updated + applied.unchanged + applied.deleted + applied.absent == 0;
    let net_movement = match is_first {
        true => applied.slice_sum.clone(),
        false => tx.query_one(MOVED, &slice).await.map_err(PostgresError::in_("add changes up"))?.get(0),
    };
    let largest = if is_first { LARGEST_BALANCES } else { LARGEST_CHANGES };
    let largest = tx.query(largest, &[&entity, &period, &job.job_id, &LARGEST]).await;
    let movement = |row: &Row| Movement {
        company_code: row.get("company_code"),
        account_code: row.get("account_code"),
        account_name: row.get("account_name"),
        change: row.get("change"),
        old_balance: row.get("old_balance"),
        new_balance: row.get("new_balance"),
        movement: row.get("movement"),
    };
    Ok(Effect {
        inserted: applied.inserted,
        updated: applied.updated,
        deleted: applied.deleted,
        unchanged: applied.unchanged,
        absent: applied.absent,
        failed: checked.failed,
        slice_rows: applied.slice_rows,
        slice_sum: applied.slice_sum.clone(),
        net_movement,
        largest: largest.map_err(PostgresError::in_("list changes"))?.iter().map(movement).collect(),
    })
}

fn failing(job: &Job, fingerprint: Option<String>, failure: Failure) -> DryRun {
    let error = Some(failure);
    DryRun { job_id: job.job_id, would: Would::Fail, error, reason: None, fingerprint, receipt: None, effect: None }
}

/// That it cannot be told, and why.
pub(crate) fn untold(job: &Job, reason: String) -> DryRun {
    let (error, fingerprint, receipt, effect) = (None, None, None, None);
    DryRun { job_id: job.job_id, would: Would::Unknown, error, reason: Some(reason), fingerprint, receipt, effect }
}

fn interrupted_run(job: &Job, interrupted: Interrupted) -> DryRun {
    let reason = match interrupted {
        Interrupted::Failed(failure) => return failing(job, None, *failure),
        Interrupted::Postgres(error) | Interrupted::CommitUnknown(error) => {
            format!("PostgreSQL failed the dry run: {}", telemetry::chain(&error))
        }
        Interrupted::RootAway(root) => format!("the input root {root} does not answer"),
        Interrupted::Exhausted(reason) => format!("the worker has no descriptors or memory left: {reason}"),
        Interrupted::ClaimLost(_) => "the job is at work".to_owned(),
    };
    untold(job, reason)
}
