//! A replay or discard under way, as another terminal sees it: how far it is, and whether it should go on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::stores::postgres::PostgresError;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::db;

const BEGIN: &str = include_str!("operation/begin.sql");
const BEAT: &str = include_str!("operation/beat.sql");
const END: &str = include_str!("operation/end.sql");
const WANT: &str = include_str!("operation/want.sql");
const NEWEST: &str = include_str!("operation/newest.sql");
const ONE: &str = include_str!("operation/one.sql");
/// How often a paused operation looks whether it may go on.
const LOOK: Duration = Duration::from_secs(1);
/// An operation that has said nothing for so long is over, however it ended.
const SILENT: i64 = 120;

/// What somebody wants of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It goes on.
    Run,
    /// It gives everything back and waits.
    Pause,
    /// It ends.
    Cancel,
}

impl Wanted {
    fn of(text: &str) -> Self {
        match text {
            "pause" => Self::Pause,
            "cancel" => Self::Cancel,
            _ => Self::Run,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pause => "pause",
            Self::Cancel => "cancel",
        }
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Jobs that it is about.
    pub(crate) total: usize,
    /// Jobs that it has dealt with.
    pub(crate) done: usize,
    /// Jobs that it leaves, since the canary of their group failed.
    pub(crate) held_back: usize,
}

/// An operation of this process.
pub(crate) struct Operation {
    /// Its identity.
    pub(crate) id: Uuid,
    pool: Pool,
}

impl Operation {
    /// Writes down that an operation of this identity begins.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn begin(
        pool: &Pool,
        id: Uuid,
        act: &'static str,
        actor: &str,
        selected: &str,
        reason: Option<&str>,
    ) -> Result<Self, PostgresError> {
        let client = pool.get().await?;
        let begun = client.execute(BEGIN, &[&id, &act, &actor, &selected, &reason]).await;
        begun.map_err(PostgresError::in_("write an operation down"))?;
        Ok(Self { id, pool: pool.clone() })
    }

    /// Says how far it is; returns what is wanted of it.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn beat(&self, progress: Progress, note: Option<&str>) -> Result<Wanted, PostgresError> {
        let [total, done, held_back] = counts(progress);
        let parameters: [&(dyn ToSql + Sync); 5] = [&self.id, &total, &done, &held_back, &note];
        let rows = db::query(&self.pool, "note how far it is", BEAT, &parameters).await?;
        Ok(rows.first().map_or(Wanted::Run, |row| Wanted::of(row.get("wanted"))))
    }

    /// Says again and again that it lives, until somebody wants it to end.
    pub(crate) async fn live(&self, progress: Progress) {
        // What fails here fails where it counts, soon after.
        while !matches!(self.beat(progress, None).await, Ok(Wanted::Cancel)) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until it may go on, or is to end.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn until_wanted(&self, progress: Progress) -> Result<Wanted, PostgresError> {
        loop {
            match self.beat(progress, None).await? {
                Wanted::Pause => tokio::time::sleep(LOOK).await,
                wanted @ (Wanted::Run | Wanted::Cancel) => return Ok(wanted),
            }
        }
    }

    /// Writes down how it ended: `done`, `cancelled` or `failed`.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn end(
        &self,
        state: &'static str,
        progress: Progress,
        note: Option<&str>,
    ) -> Result<(), PostgresError> {
        let [total, done, held_back] = counts(progress);
        let client = self.pool.get().await?;
        let ended = client.execute(END, &[&self.id, &state, &total, &done, &held_back, &note]).await;
        ended.map(|_| ()).map_err(PostgresError::in_("note the end of an operation"))
    }
}

fn counts(progress: Progress) -> [i64; 3] {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    [count(progress.total), count(progress.done), count(progress.held_back)]
}

/// An operation as anybody sees it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "OperationSeen")]
pub(crate) struct Seen {
    /// Its identity.
    pub(crate) operation_id: Uuid,
    /// `replay` or `discard`.
    pub(crate) act: String,
    /// Who began it.
    pub(crate) actor: String,
    /// Which letters, in words.
    pub(crate) selected: String,
    /// Why, for a discard.
    pub(crate) reason: Option<String>,
    /// `running`, `paused`, `done`, `cancelled`, `failed`, or `silent`: it has said nothing for two minutes.
    pub(crate) state: String,
    /// `run`, `pause` or `cancel`, and by whom.
    pub(crate) wanted: String,
    /// Who wants that.
    pub(crate) wanted_by: Option<String>,
    /// Jobs that it is about.
    pub(crate) total: i64,
    /// Jobs that it has dealt with.
    pub(crate) done: i64,
    /// Jobs that it leaves, since the canary of their group failed.
    pub(crate) held_back: i64,
    /// What it says of itself.
    pub(crate) note: Option<String>,
    /// When it began.
    pub(crate) started_at: DateTime<Utc>,
    /// When it last said that it lives.
    pub(crate) beat_at: DateTime<Utc>,
    /// When it ended.
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

impl From<&Row> for Seen {
    fn from(row: &Row) -> Self {
        Self {
            operation_id: row.get("operation_id"),
            act: row.get("act"),
            actor: row.get("actor"),
            selected: row.get("selected"),
            reason: row.get("reason"),
            state: row.get("seen_state"),
            wanted: row.get("wanted"),
            wanted_by: row.get("wanted_by"),
            total: row.get("total"),
            done: row.get("done"),
            held_back: row.get("held_back"),
            note: row.get("note"),
            started_at: row.get("started_at"),
            beat_at: row.get("beat_at"),
            ended_at: row.get("ended_at"),
        }
    }
}

impl Seen {
    /// Whether it may still do something.
    pub(crate) fn is_under_way(&self) -> bool {
        self.ended_at.is_none() && self.state != "silent"
    }
}

/// The newest operations.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn newest(pool: &Pool, limit: i64) -> Result<Vec<Seen>, PostgresError> {
    let rows = db::query(pool, "list the operations", NEWEST, &[&SILENT, &limit]).await?;
    Ok(rows.iter().map(Seen::from).collect())
}

/// One operation, if there is one of that identity.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn one(pool: &Pool, id: Uuid) -> Result<Option<Seen>, PostgresError> {
    let rows = db::query(pool, "look an operation up", ONE, &[&SILENT, &id]).await?;
    Ok(rows.first().map(Seen::from))
}

/// Asks something of an operation; returns whether it is still under way.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn want(pool: &Pool, id: Uuid, wanted: Wanted, by: &str) -> Result<bool, PostgresError> {
    let client = pool.get().await?;
    let asked = client.execute(WANT, &[&id, &wanted.as_str(), &by]).await;
    Ok(asked.map_err(PostgresError::in_("ask something of an operation"))? == 1)
}
