//! A run as `status` shows it.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::{message::failure::Failure, printable::line};
use tokio_postgres::Row;
use uuid::Uuid;

use super::fate::{Became, Fate};
use crate::output::{self, or_dash, shortened, time};

/// Bad rows that people are shown.
const SHOWN: usize = 20;

/// What PostgreSQL knows of a job.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Run {
    pub(crate) job_id: Uuid,
    pub(crate) batch_id: Option<Uuid>,
    pub(crate) entity: String,
    pub(crate) period: String,
    pub(crate) file: String,
    pub(crate) fingerprint: Option<String>,
    pub(crate) source: String,
    pub(crate) mode: Option<String>,
    pub(crate) exported_at: DateTime<Utc>,
    pub(crate) status: String,
    pub(crate) error_code: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) replays: i32,
    pub(crate) rows: i64,
    pub(crate) inserted: i64,
    pub(crate) updated: i64,
    pub(crate) unchanged: i64,
    pub(crate) deleted: i64,
    pub(crate) absent: i64,
    pub(crate) failed: i64,
    pub(crate) balance_sum: Option<String>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) duration_seconds: Option<f64>,
    pub(crate) worker: Option<String>,
    pub(crate) published_by: Option<String>,
    pub(crate) broker_user: Option<String>,
    /// When somebody had it loaded although a newer export had been seen.
    pub(crate) forced_at: Option<DateTime<Utc>>,
    /// When its rows were committed.
    pub(crate) applied_at: Option<DateTime<Utc>>,
    /// Rows and sum of the slice afterwards, the sum a decimal.
    pub(crate) slice_rows: Option<i64>,
    pub(crate) slice_sum: Option<String>,
    /// The attempts of its round that failed.
    pub(crate) tries: Option<Value>,
    pub(crate) result: Option<Value>,
    /// What has become of it since, if it ended without loading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fate: Option<Fate>,
}

impl From<&Row> for Run {
    fn from(row: &Row) -> Self {
        Self {
            job_id: row.get("job_id"),
            batch_id: row.get("batch_id"),
            entity: row.get("entity"),
            period: row.get("period"),
            file: row.get("file"),
            fingerprint: row.get("fingerprint"),
            source: row.get("source"),
            mode: row.get("mode"),
            exported_at: row.get("exported_at"),
            status: row.get("status"),
            error_code: row.get("error_code"),
            attempts: row.get("attempts"),
            replays: row.get("replays"),
            rows: row.get("rows"),
            inserted: row.get("inserted"),
            updated: row.get("updated"),
            unchanged: row.get("unchanged"),
            deleted: row.get("deleted"),
            absent: row.get("absent"),
            failed: row.get("failed"),
            balance_sum: row.get("balance_sum"),
            started_at: row.get("started_at"),
            finished_at: row.get("finished_at"),
            duration_seconds: row.get("duration_seconds"),
            worker: row.get("claimed_by"),
            published_by: row.get("published_by"),
            broker_user: row.get("broker_user"),
            forced_at: row.get("forced_at"),
            applied_at: row.get("applied_at"),
            slice_rows: row.get("slice_rows"),
            slice_sum: row.get("slice_sum"),
            tries: row.get("tries"),
            result: row.get("result"),
            fate: None,
        }
    }
}

impl Run {
    /// What is wrong, of a job that failed.
    pub(crate) fn error_message(&self) -> Option<&str> {
        self.result.as_ref()?.get("error")?.get("message")?.as_str()
    }

    /// Why it failed, with the bad rows that are kept.
    pub(crate) fn failure(&self) -> Option<Failure> {
        serde_json::from_value(self.result.as_ref()?.get("error")?.clone()).ok()
    }

    /// The first bad rows, as lines of text, and how many there are.
    fn bad_rows(&self) -> (Vec<String>, u64) {
        let Some(error) = self.failure() else { return (Vec::new(), 0) };
        let lines = error.rows.iter().take(SHOWN).map(|row| shortened(&row.with_text(), 300));
        (lines.collect(), error.rows_total)
    }

    /// What the receipt warns of.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &str> {
        let list = self.result.as_ref().and_then(|result| result.get("warnings")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }
}

/// The run on a page of its own.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "job        {}", self.job_id)?;
        writeln!(f, "batch      {}", or_dash(self.batch_id))?;
        writeln!(f, "slice      {} {}", self.entity, self.period)?;
        writeln!(f, "file       {}", line(&self.file))?;
        writeln!(f, "sha256     {}", or_dash(self.fingerprint.as_ref()))?;
        writeln!(f, "source     {}, mode {}", self.source, or_dash(self.mode.as_ref()))?;
        writeln!(f, "exported   {}", time(self.exported_at))?;
        let user = self.broker_user.as_ref().map(|user| format!(" (as RabbitMQ's user {user})")).unwrap_or_default();
        writeln!(f, "publisher  {}{user}", or_dash(self.published_by.as_ref()))?;
        let replays = if self.replays > 0 { format!(", replayed {} times", self.replays) } else { String::new() };
        writeln!(f, "status     {}, attempts {}{replays}", output::status(&self.status), self.attempts)?;
        writeln!(f, "started    {}, finished {}", time(self.started_at), or_dash(self.finished_at.map(time)))?;
        writeln!(
            f,
            "rows       {}: {} inserted, {} updated, {} unchanged, {} deleted, {} absent, {} failed",
            self.rows, self.inserted, self.updated, self.unchanged, self.deleted, self.absent, self.failed
        )?;
        writeln!(f, "sum        {}", or_dash(self.balance_sum.as_ref()))?;
        for warning in self.warnings() {
            writeln!(f, "warning    {}", shortened(warning, 500))?;
        }
        if let Some(code) = &self.error_code {
            writeln!(f, "error      {code}: {}", shortened(self.error_message().unwrap_or_default(), 4096))?;
        }
        let (lines, total) = self.bad_rows();
        for row in &lines {
            writeln!(f, "           {}", line(row))?;
        }
        if total > lines.len() as u64 && !lines.is_empty() {
            writeln!(f, "           and {} more; the first 1,000 are in --json", total - lines.len() as u64)?;
        }
        match &self.fate {
            Some(fate) if fate.became != Became::Missing => writeln!(f, "since      {}", line(&fate.words()))?,
            Some(_) | None if self.status == "failed" => writeln!(f, "see: aura-producer dead show {}", self.job_id)?,
            Some(_) | None => {}
        }
        Ok(())
    }
}

/// Runs below each other.
pub(crate) fn table(runs: &[Run]) -> output::Table {
    let mut table = output::table(["job", "entity", "period", "status", "attempts", "rows", "started", "error"]);
    table.identity(0);
    table.spare(&[4, 6]);
    for run in runs {
        let error = run.error_code.as_ref().map(|code| match run.error_message() {
            Some(message) => format!("{code}: {}", shortened(message, 120)),
            None => code.clone(),
        });
        table.add_row([
            run.job_id.to_string(),
            run.entity.clone(),
            run.period.clone(),
            output::status(&run.status),
            run.attempts.to_string(),
            run.rows.to_string(),
            time(run.started_at),
            or_dash(error),
        ]);
    }
    table
}
