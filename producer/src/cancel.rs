//! `cancel`: no job of a batch commits any more.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    message::event::EventType,
    settings::Settings,
    stores::{
        locks::Lock,
        outbox,
        postgres::{PostgresError, transaction},
    },
};
use uuid::Uuid;

use crate::{
    actor_event, db,
    errors::{CommandError, ExitStatus},
    output,
};

const CANCEL_BATCH: &str = include_str!("cancel/cancel_batch.sql");
const FIND_BATCH: &str = "SELECT cancelled_at, cancelled_by, reason FROM batches WHERE batch_id = $1";
const COUNT_JOBS: &str = "SELECT status, count(*) FROM ingestion_runs WHERE batch_id = $1 GROUP BY status";

/// Cancels a batch: once this returns, no job of it commits any more
///
/// Jobs that have committed stay; the others end as `cancelled` when a worker comes to them. It holds
/// for jobs of the batch that are published later, too.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  aura-producer cancel 01981f6e-0000-7000-8000-000000000000 --reason 'wrong month'")]
pub(crate) struct Args {
    /// The batch, as `publish` told it
    pub(crate) batch: Uuid,
    /// Why, for the audit trail
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// A cancelled batch.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Cancelled {
    batch_id: Uuid,
    cancelled_at: DateTime<Utc>,
    cancelled_by: Option<String>,
    reason: Option<String>,
    /// Whether somebody had cancelled it before.
    already_cancelled: bool,
    /// How many of its jobs workers have seen, by status.
    jobs: BTreeMap<String, i64>,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.already_cancelled {
            let (at, by) = (output::time(self.cancelled_at), output::or_dash(self.cancelled_by.as_ref()));
            writeln!(f, "batch {} was cancelled already, at {at} by {by}", self.batch_id)?;
        } else {
            writeln!(f, "batch {} is cancelled; none of its jobs will load any more", self.batch_id)?;
        }
        if self.jobs.is_empty() {
            return writeln!(f, "no worker has seen a job of it yet; is this the batch that was meant?");
        }
        let jobs: Vec<String> = self.jobs.iter().map(|(status, count)| format!("{count} {status}")).collect();
        writeln!(f, "its jobs that workers have seen: {}", jobs.join(", "))
    }
}

/// Cancels the batch, once.
pub(crate) async fn run(args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let pool = db::connect(settings).await?;
    let cancelled = cancel(&pool, &args, settings).await.map_err(CommandError::postgres(settings))?;
    output::print(json, &cancelled)?;
    Ok(ExitStatus::Done)
}

/// Cancels the batch, once, in the name of the settings' actor.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn cancel(pool: &Pool, args: &Args, settings: &Settings) -> Result<Cancelled, PostgresError> {
    let (batch, reason) = (args.batch, args.reason.as_deref());
    let mut event = actor_event::event(EventType::BatchCancelled, settings);
    event.batch_id = Some(batch);
    let event = event.with("reason", reason);
    let event = &event;
    let cancelled = transaction(pool, "cancel_batch", move |transaction, _| {
        Box::pin(async move {
            // A worker that commits a job of the batch shares this lock until it has committed, and looks the
            // batch up after it got it.
            Lock::Batch(batch).wait(transaction).await?;
            let new = transaction.query_opt(CANCEL_BATCH, &[&batch, &settings.actor, &reason]).await;
            let already_cancelled = new.map_err(PostgresError::in_("cancel the batch"))?.is_none();
            if !already_cancelled {
                outbox::record(transaction, std::slice::from_ref(event)).await?;
            }
            let found =
                transaction.query_one(FIND_BATCH, &[&batch]).await.map_err(PostgresError::in_("find the batch"))?;
            let jobs = transaction.query(COUNT_JOBS, &[&batch]).await.map_err(PostgresError::in_("count the jobs"))?;
            Ok::<_, PostgresError>(Cancelled {
                batch_id: batch,
                cancelled_at: found.get(0),
                cancelled_by: found.get(1),
                reason: found.get(2),
                already_cancelled,
                jobs: jobs.iter().map(|row| (row.get(0), row.get(1))).collect(),
            })
        })
    });
    let cancelled = cancelled.await?;
    if !cancelled.already_cancelled {
        actor_event::note(event);
    }
    Ok(cancelled)
}
