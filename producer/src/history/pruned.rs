//! What retention took away of a slice.

use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    printable::line,
    slice::{Entity, Period},
    stores::postgres::PostgresError,
};
use tokio_postgres::error::SqlState;

use crate::{
    db,
    output::{self, time},
};

const PRUNED: &str = include_str!("pruned.sql");

/// What `prune` took away of a slice, all prunings together.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "PrunedOfSlice")]
pub(crate) struct Pruned {
    /// How the slice stood before this moment is not known.
    before: DateTime<Utc>,
    runs: i64,
    changes: i64,
    rejected_rows: i64,
    /// The last time, and by whom.
    pruned_at: DateTime<Utc>,
    pruned_by: String,
}

impl Pruned {
    /// What was taken away of a slice, if anything was.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn of(pool: &Pool, (entity, period): (&Entity, &Period)) -> Result<Option<Self>, PostgresError> {
        let rows = db::query(pool, "ask what was pruned", PRUNED, &[&entity.as_str(), &period.as_str()]).await;
        let rows = match rows {
            // A schema of before retention, of which nothing was pruned.
            Err(error) if error.sql_state() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(None),
            rows => rows?,
        };
        Ok(rows.first().map(|row| Self {
            before: row.get("before"),
            runs: row.get("runs"),
            changes: row.get("changes"),
            rejected_rows: row.get("rejected_rows"),
            pruned_at: row.get("pruned_at"),
            pruned_by: row.get("pruned_by"),
        }))
    }

    /// Whether runs of any slice were taken away, so that a job that is not there may have been.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn any(pool: &Pool) -> Result<bool, PostgresError> {
        match db::query(
            pool,
            "ask what was pruned",
            "SELECT before FROM pruned_slices ORDER BY entity, period LIMIT 1",
            &[],
        )
        .await
        {
            Err(error) if error.sql_state() == Some(&SqlState::UNDEFINED_TABLE) => Ok(false),
            rows => Ok(!rows?.is_empty()),
        }
    }

    /// Says that how the slice stood at a moment is not known, if it is not.
    pub(crate) fn refusal(&self, (entity, period): (&Entity, &Period), at: DateTime<Utc>) -> Option<String> {
        (at < self.before).then(|| {
            format!(
                "how {entity} {period} stood at {} is not known any more: {self}; an archive of that time has it",
                time(at)
            )
        })
    }

    /// The day from which on nothing is missing, as `2016-01-01`.
    pub(crate) fn since(&self) -> String {
        // The horizon lies some hours before the year that is kept.
        (self.before + chrono::TimeDelta::days(1)).date_naive().to_string()
    }
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of before {} went by retention, with {} and {}, last at {} by {}",
            count(self.runs, "job"),
            time(self.before),
            count(self.changes, "change"),
            count(self.rejected_rows, "rejected row"),
            time(self.pruned_at),
            line(&self.pruned_by)
        )
    }
}

fn count(number: i64, what: &str) -> String {
    output::count(usize::try_from(number).unwrap_or_default(), what)
}
