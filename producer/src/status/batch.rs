//! Batches: how many of their jobs stand where, and what is missing still.

use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{printable::line, stores::postgres::PostgresError};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    fate::{self, Unloaded},
    place::Place,
    run::{self, Run},
};
use crate::{
    db,
    output::{self, count, or_dash, time},
};

const REFUSED: &str = include_str!("refused.sql");
/// Refused messages that are counted.
const REFUSED_COUNTED: i64 = 1_000;
const BATCHES: &str = include_str!("batches.sql");
const NEWEST_BATCHES: &str = include_str!("newest_batches.sql");
const CANCELLED: &str =
    "SELECT cancelled_at, cancelled_by, reason FROM batches WHERE batch_id = $1 AND cancelled_at IS NOT NULL";
/// Jobs of batches that are looked at to find some batches.
pub(super) const LOOKED_AT: i64 = 10_000;
/// Jobs of a batch that people are shown.
const SHOWN: usize = 100;

/// How many jobs of a batch stand where.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Batch {
    pub(crate) batch_id: Uuid,
    pub(crate) jobs: i64,
    pub(crate) success: i64,
    pub(crate) failed: i64,
    pub(crate) skipped: i64,
    pub(crate) superseded: i64,
    pub(crate) cancelled: i64,
    pub(crate) running: i64,
    pub(crate) retrying: i64,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
    pub(crate) cancelled_by: Option<String>,
    pub(crate) reason: Option<String>,
}

impl From<&Row> for Batch {
    fn from(row: &Row) -> Self {
        Self {
            batch_id: row.get("batch_id"),
            jobs: row.get("jobs"),
            success: row.get("success"),
            failed: row.get("failed"),
            skipped: row.get("skipped"),
            superseded: row.get("superseded"),
            cancelled: row.get("cancelled"),
            running: row.get("running"),
            retrying: row.get("retrying"),
            started_at: row.get("started_at"),
            finished_at: row.get("finished_at"),
            cancelled_at: row.get("cancelled_at"),
            cancelled_by: row.get("cancelled_by"),
            reason: row.get("reason"),
        }
    }
}

impl Batch {
    /// One that was cancelled, and of which no worker has seen a job.
    fn unseen(batch_id: Uuid, row: &Row) -> Self {
        Self {
            batch_id,
            jobs: 0,
            success: 0,
            failed: 0,
            skipped: 0,
            superseded: 0,
            cancelled: 0,
            running: 0,
            retrying: 0,
            started_at: None,
            finished_at: None,
            cancelled_at: row.get("cancelled_at"),
            cancelled_by: row.get("cancelled_by"),
            reason: row.get("reason"),
        }
    }

    /// Jobs that run or wait for their next attempt.
    pub(crate) fn under_way(&self) -> i64 {
        self.running + self.retrying
    }

    /// When the last of its jobs ended, if none is under way.
    pub(crate) fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.finished_at.filter(|_| self.under_way() == 0)
    }

    /// How many of its jobs stand where, those under way last.
    pub(crate) fn by_status(&self) -> [(&'static str, i64); 7] {
        [
            ("success", self.success),
            ("failed", self.failed),
            ("skipped", self.skipped),
            ("superseded", self.superseded),
            ("cancelled", self.cancelled),
            ("running", self.running),
            ("retrying", self.retrying),
        ]
    }

    /// Who cancelled it, when and why, in words.
    pub(crate) fn cancellation(&self) -> Option<String> {
        let at = time(self.cancelled_at?);
        let by = self.cancelled_by.as_ref().map(|by| format!(" by {}", line(by))).unwrap_or_default();
        let why = self.reason.as_ref().map(|reason| format!(" ({})", line(reason))).unwrap_or_default();
        Some(format!("cancelled at {at}{by}{why}: none of its jobs has loaded since"))
    }
}

/// Batches below each other.
pub(super) fn table(batches: &[Batch]) -> String {
    let mut table = output::table([
        "batch",
        "jobs",
        "success",
        "failed",
        "skipped",
        "superseded",
        "cancelled",
        "under way",
        "started",
        "finished",
    ]);
    table.identity(0);
    table.spare(&[5, 4, 6, 9, 8]);
    for batch in batches {
        table.add_row([
            batch.batch_id.to_string(),
            batch.jobs.to_string(),
            batch.success.to_string(),
            batch.failed.to_string(),
            batch.skipped.to_string(),
            batch.superseded.to_string(),
            batch.cancelled.to_string(),
            batch.under_way().to_string(),
            or_dash(batch.started_at.map(time)),
            or_dash(batch.ended_at().map(time)),
        ]);
    }
    table.trim_fmt()
}

/// A batch, and what is missing of it still.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Standing {
    #[serde(flatten)]
    pub(crate) batch: Batch,
    /// How many of the jobs that ended without loading leave something missing.
    pub(crate) still_missing: usize,
    /// The jobs that ended without loading, and what has become of each.
    pub(crate) not_loaded: Vec<Unloaded>,
    /// Whether there are more of those.
    pub(crate) more_not_loaded: bool,
    /// Messages that never became jobs and wait among the dead letters; at most 1,000 are counted.
    pub(crate) refused: i64,
}

impl Standing {
    /// What is missing still, in words.
    pub(crate) fn missing(&self) -> Option<String> {
        let more = if self.more_not_loaded {
            format!(", of the first {} that did not load", fate::MOST)
        } else {
            String::new()
        };
        let refused = (self.refused > 0).then(|| {
            let number = count(usize::try_from(self.refused).unwrap_or_default(), "message");
            format!("{number} of it never became a job: aura-producer dead list --batch {}", self.batch.batch_id)
        });
        match (fate::missing(&self.not_loaded).map(|text| format!("{text}{more}")), refused) {
            (Some(missing), Some(refused)) => Some(format!("{missing}; {refused}")),
            (missing, refused) => missing.or(refused),
        }
    }
}

/// A batch with its jobs, as `status` tells it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Page {
    #[serde(flatten)]
    pub(super) standing: Standing,
    pub(super) results: Vec<Run>,
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Standing { batch, not_loaded, .. } = &self.standing;
        writeln!(f, "{}", table(std::slice::from_ref(batch)))?;
        if let Some(text) = batch.cancellation() {
            writeln!(f, "{text}")?;
        }
        if let Some(text) = self.standing.missing() {
            writeln!(f, "{text}")?;
        }
        let settled = || not_loaded.iter().filter(|job| !job.fate.is_missing);
        for job in settled().take(SHOWN) {
            writeln!(f, "{} {}, job {}: {}", line(&job.entity), line(&job.period), job.job_id, job.fate.words())?;
        }
        let more = settled().count().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(f, "and {more} more that are not missing, with --json")?;
        }
        let shown = &self.results[..self.results.len().min(SHOWN)];
        if !shown.is_empty() {
            writeln!(f, "{}", run::table(shown).trim_fmt())?;
        }
        if self.results.len() > SHOWN {
            writeln!(f, "and {} more, with --json", count(self.results.len() - SHOWN, "job"))?;
        }
        Ok(())
    }
}

/// A batch that workers have seen, or that was cancelled.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn look(pool: &Pool, id: Uuid) -> Result<Option<Standing>, PostgresError> {
    let rows = db::query(pool, "find the batch", BATCHES, &[&[id].as_slice()]).await?;
    let batch = match rows.first() {
        Some(row) => Batch::from(row),
        None => match db::query(pool, "find the batch", CANCELLED, &[&id]).await?.first() {
            Some(row) => Batch::unseen(id, row),
            None => return Ok(None),
        },
    };
    let mut not_loaded = fate::of_batch(pool, id, fate::MOST + 1).await?;
    let more_not_loaded = not_loaded.len() as i64 > fate::MOST;
    not_loaded.truncate(usize::try_from(fate::MOST).unwrap_or_default());
    let still_missing = not_loaded.iter().filter(|job| job.fate.is_missing).count();
    let refused = db::query(pool, "count refused messages", REFUSED, &[&id, &REFUSED_COUNTED]).await?;
    let refused = refused.first().map_or(0, |row| row.get("refused"));
    Ok(Some(Standing { batch, refused, still_missing, not_loaded, more_not_loaded }))
}

/// Some batches, those first whose jobs workers saw last.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Batches {
    pub(crate) batches: Vec<Batch>,
    /// How many jobs were looked at to find them.
    pub(crate) looked_at: i64,
    /// Where the next begin, unless these are the last.
    pub(crate) next: Option<Place>,
}

/// The next batches before a place: among so many jobs, so that it may be none although there are more.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn newest(pool: &Pool, before: Option<Place>, limit: i64) -> Result<Batches, PostgresError> {
    let (at, id) = (before.map(|place| place.at), before.map(|place| place.id));
    let rows =
        db::query(pool, "find the newest batches", NEWEST_BATCHES, &[&LOOKED_AT, &(limit + 1), &at, &id]).await?;
    let place = |row: &Row, at: &str, id: &str| {
        Some(Place { at: row.get::<_, Option<_>>(at)?, id: row.get::<_, Option<_>>(id)? })
    };
    let looked_at = rows.first().map_or(0, |row| row.get::<_, i64>("looked_at"));
    let mut found: Vec<Place> = rows.iter().filter_map(|row| place(row, "newest", "batch_id")).collect();
    let is_more = found.len() as i64 > limit;
    found.truncate(usize::try_from(limit).unwrap_or_default());
    let next = match found.last() {
        Some(last) if is_more => Some(*last),
        Some(_) | None if looked_at == LOOKED_AT => rows.first().and_then(|row| place(row, "last_at", "last_batch_id")),
        Some(_) | None => None,
    };
    let ids: Vec<Uuid> = found.iter().map(|place| place.id).collect();
    let batches = db::query(pool, "list the batches", BATCHES, &[&ids]).await?;
    Ok(Batches { batches: batches.iter().map(Batch::from).collect(), looked_at, next })
}
