//! `period`: closed periods take no job, for one entity or for all.

use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    message::event::{Event, EventType},
    settings::Settings,
    slice::{Entity, Period, Slice},
    stores::{
        locks, outbox,
        postgres::{PostgresError, transaction},
    },
};
use tokio_postgres::Row;

use crate::{
    actor_event, db,
    errors::{CommandError, ExitStatus},
    output,
};

const LOCK: &str = include_str!("period/lock.sql");
const UNLOCK: &str = "DELETE FROM period_locks WHERE entity = $1 AND period = $2";
const FIND: &str = include_str!("period/find.sql");
const LIST: &str = include_str!("period/list.sql");
/// Stands for all entities.
const ALL: &str = "*";

/// Locks and unlocks periods
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Closes a period: once this returns, no job for it commits any more
    #[command(after_help = "Example:\n  aura-producer period lock --period 2022-06 --reason 'reported to the group'")]
    Lock(Args),
    /// Opens a period again
    #[command(
        after_help = "Example:\n  aura-producer period unlock --period 2022-06 --entity ABEX --reason 'late accrual'"
    )]
    Unlock(Args),
    /// Lists the closed periods
    #[command(after_help = "Example:\n  aura-producer period list --json")]
    List,
}

impl Verb {
    /// Returns whether it only looks.
    pub(crate) fn only_reads(&self) -> bool {
        match self {
            Self::List => true,
            Self::Lock(_) | Self::Unlock(_) => false,
        }
    }
}

/// Which period, and why.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The period, YYYY-MM
    #[arg(long)]
    pub(crate) period: Period,
    /// One legal entity; otherwise all of them
    #[arg(long)]
    pub(crate) entity: Option<Entity>,
    /// Why, for the audit trail
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// A closed period.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PeriodLock")]
pub(crate) struct Lock {
    /// The entity; `*` for all.
    pub(crate) entity: String,
    pub(crate) period: String,
    pub(crate) reason: Option<String>,
    pub(crate) locked_by: String,
    pub(crate) locked_at: DateTime<Utc>,
}

impl From<&Row> for Lock {
    fn from(row: &Row) -> Self {
        Self {
            entity: row.get("entity"),
            period: row.get("period"),
            reason: row.get("reason"),
            locked_by: row.get("locked_by"),
            locked_at: row.get("locked_at"),
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.entity == ALL { "all entities" } else { &self.entity };
        write!(f, "{} is locked for {who} since {} by {}", self.period, output::time(self.locked_at), self.locked_by)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// What locking or unlocking did, and the locks that hold for the entity now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PeriodChanged")]
pub(crate) struct Changed {
    entity: String,
    period: String,
    /// Whether it was not so before.
    changed: bool,
    locks: Vec<Lock>,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.changed {
            writeln!(f, "nothing to do")?;
        }
        if self.locks.is_empty() {
            let who = if self.entity == ALL { "all entities" } else { &self.entity };
            return writeln!(
                f,
                "{} is open for {who}{}",
                self.period,
                if self.entity == ALL { ", except those in `period list`" } else { "" }
            );
        }
        self.locks.iter().try_for_each(|lock| writeln!(f, "{lock}"))
    }
}

/// The closed periods.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PeriodLocks")]
pub(crate) struct Locks {
    pub(crate) locks: Vec<Lock>,
}

impl fmt::Display for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.locks.is_empty() {
            return writeln!(f, "no period is locked");
        }
        let mut table = output::table(["period", "entity", "locked at", "by", "reason"]);
        for lock in &self.locks {
            let reason = output::or_dash(lock.reason.as_ref());
            table.add_row([&lock.period, &lock.entity, &output::time(lock.locked_at), &lock.locked_by, &reason]);
        }
        writeln!(f, "{}", table.trim_fmt())
    }
}

/// Does what the verb says.
pub(crate) async fn run(verb: Verb, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let pool = db::connect(settings).await?;
    let failed = CommandError::postgres(settings);
    match verb {
        Verb::Lock(args) => {
            let changed = change(&pool, &args, EventType::PeriodLocked, settings).await.map_err(failed)?;
            output::print(json, &changed)?;
        }
        Verb::Unlock(args) => {
            let changed = change(&pool, &args, EventType::PeriodUnlocked, settings).await.map_err(failed)?;
            output::print(json, &changed)?;
        }
        Verb::List => {
            output::print(json, &locks(&pool).await.map_err(failed)?)?;
        }
    }
    Ok(ExitStatus::Done)
}

/// The closed periods, the newest first.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn locks(pool: &Pool) -> Result<Locks, PostgresError> {
    let rows = db::query(pool, "list the locked periods", LIST, &[]).await?;
    Ok(Locks { locks: rows.iter().map(Lock::from).collect() })
}

/// What keeps a slice closed.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn locks_of(pool: &Pool, entity: &Entity, period: &Period) -> Result<Vec<Lock>, PostgresError> {
    let rows = db::query(pool, "find the locks", FIND, &[&period.as_str(), &entity.as_str()]).await?;
    Ok(rows.iter().map(Lock::from).collect())
}

/// Closes or opens a period, and records who did so and why.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn change(
    pool: &Pool,
    args: &Args,
    to: EventType,
    settings: &Settings,
) -> Result<Changed, PostgresError> {
    let (entity, period) = (args.entity.as_ref().map_or(ALL, Entity::as_str), args.period.as_str());
    let event = event(args, to, settings);
    let event = &event;
    let changed = transaction(pool, "change_period_lock", move |transaction, _| {
        Box::pin(async move {
            // A worker that commits a job of the period shares this lock until it has committed, and looks the
            // period up after it got it.
            locks::Lock::Period(&args.period).wait(transaction).await?;
            let affected = if to == EventType::PeriodLocked {
                transaction.execute(LOCK, &[&entity, &period, &args.reason, &settings.actor]).await
            } else {
                transaction.execute(UNLOCK, &[&entity, &period]).await
            };
            let changed = affected.map_err(PostgresError::in_("change the lock"))? > 0;
            if changed {
                outbox::record(transaction, std::slice::from_ref(event)).await?;
            }
            let locks =
                transaction.query(FIND, &[&period, &entity]).await.map_err(PostgresError::in_("find the locks"))?;
            let locks = locks.iter().map(Lock::from).collect();
            Ok::<_, PostgresError>(Changed { entity: entity.to_owned(), period: period.to_owned(), changed, locks })
        })
    });
    let changed = changed.await?;
    if changed.changed {
        actor_event::note(event);
    }
    Ok(changed)
}

/// The event joins the chain of its slice; one that concerns all entities joins that of no slice.
fn event(args: &Args, to: EventType, settings: &Settings) -> Event {
    let mut event = actor_event::event(to, settings)
        .with("entity", args.entity.as_ref().map_or(ALL, Entity::as_str))
        .with("period", args.period.as_str())
        .with("reason", args.reason.as_deref());
    event.slice = args.entity.clone().map(|entity| Slice { entity, period: args.period.clone() });
    event
}
