//! What `history` answers.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use shared::printable::line;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    moment::{Check, Moment},
    pruned::Pruned,
};
use crate::{
    errors::ExitStatus,
    output::{self, or_dash, shortened, time},
};

/// Accounts that people are shown; programs get all.
const SHOWN: usize = 50;

/// A job of the slice.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobOfSlice")]
pub(crate) struct Job {
    pub(crate) job_id: Uuid,
    pub(crate) status: String,
    pub(crate) error_code: Option<String>,
    pub(crate) file: String,
    pub(crate) source: String,
    pub(crate) mode: Option<String>,
    pub(crate) exported_at: DateTime<Utc>,
    pub(crate) forced_at: Option<DateTime<Utc>>,
    pub(crate) published_by: Option<String>,
    /// When its rows were committed; of jobs of before schema 8, when its worker noted the end.
    pub(crate) applied_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) attempts: i32,
    pub(crate) replays: i32,
    pub(crate) inserted: i64,
    pub(crate) updated: i64,
    pub(crate) unchanged: i64,
    pub(crate) deleted: i64,
    pub(crate) absent: i64,
    pub(crate) failed: i64,
    pub(crate) rows: i64,
    /// Rows and sum of the slice afterwards, the sum a decimal.
    pub(crate) slice_rows: Option<i64>,
    pub(crate) slice_sum: Option<String>,
}

impl From<&Row> for Job {
    fn from(row: &Row) -> Self {
        Self {
            job_id: row.get("job_id"),
            status: row.get("status"),
            error_code: row.get("error_code"),
            file: row.get("file"),
            source: row.get("source"),
            mode: row.get("mode"),
            exported_at: row.get("exported_at"),
            forced_at: row.get("forced_at"),
            published_by: row.get("published_by"),
            applied_at: row.get("applied_at"),
            finished_at: row.get("finished_at"),
            attempts: row.get("attempts"),
            replays: row.get("replays"),
            inserted: row.get("inserted"),
            updated: row.get("updated"),
            unchanged: row.get("unchanged"),
            deleted: row.get("deleted"),
            absent: row.get("absent"),
            failed: row.get("failed"),
            rows: row.get("rows"),
            slice_rows: row.get("slice_rows"),
            slice_sum: row.get("slice_sum"),
        }
    }
}

/// A balance that a job changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Change {
    pub(crate) applied_at: Option<DateTime<Utc>>,
    pub(crate) company_code: String,
    pub(crate) account_code: String,
    /// `inserted`, `updated`, `relabelled` or `deleted`.
    pub(crate) change: String,
    /// A decimal, as the other two.
    pub(crate) old_balance: Option<String>,
    pub(crate) new_balance: Option<String>,
    pub(crate) movement: String,
    pub(crate) old_name: Option<String>,
    pub(crate) new_name: Option<String>,
    pub(crate) old_bs_pl: Option<String>,
    pub(crate) new_bs_pl: Option<String>,
    pub(crate) old_status: Option<String>,
    pub(crate) new_status: Option<String>,
    pub(crate) job_id: Uuid,
    pub(crate) file: Option<String>,
    pub(crate) source_line: Option<i64>,
    pub(crate) published_by: Option<String>,
}

impl From<&Row> for Change {
    fn from(row: &Row) -> Self {
        Self {
            applied_at: row.get("applied_at"),
            company_code: row.get("company_code"),
            account_code: row.get("account_code"),
            change: row.get("change"),
            old_balance: row.get("old_balance"),
            new_balance: row.get("new_balance"),
            movement: row.get("movement"),
            old_name: row.get("old_name"),
            new_name: row.get("new_name"),
            old_bs_pl: row.get("old_bs_pl"),
            new_bs_pl: row.get("new_bs_pl"),
            old_status: row.get("old_status"),
            new_status: row.get("new_status"),
            job_id: row.get("job_id"),
            file: row.get("file"),
            source_line: row.get("source_line"),
            published_by: row.get("published_by"),
        }
    }
}

/// What happened to a slice.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "History")]
pub(crate) struct Report {
    pub(crate) entity: String,
    pub(crate) period: String,
    pub(crate) account: Option<String>,
    /// What retention took away of it: then these are not all of its jobs and changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pruned: Option<Pruned>,
    /// Its jobs, the newest export first.
    pub(crate) jobs: Vec<Job>,
    /// Whether there are earlier ones.
    pub(crate) more_jobs: bool,
    /// Changes, the newest first. Those of a slice's first load are not among them.
    pub(crate) changes: Vec<Change>,
    /// Whether there are earlier ones.
    pub(crate) more_changes: bool,
    /// The slice as it stood, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) moment: Option<Moment>,
}

impl Report {
    /// The exit code that this deserves.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        match self.moment.as_ref().map(|moment| moment.check) {
            None | Some(Check::Agrees | Check::NothingYet) => ExitStatus::Done,
            Some(Check::Differs) => ExitStatus::Failed,
            Some(Check::Unchecked) => ExitStatus::Undone,
        }
    }

    fn write_jobs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = output::table(["exported", "status", "new", "changed", "gone", "rows", "sum", "job"]);
        table.identity(7);
        table.spare(&[6, 4, 3, 2]);
        for job in &self.jobs {
            let code = job.error_code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
            table.add_row([
                time(job.exported_at),
                format!("{}{code}", output::status(&job.status)),
                job.inserted.to_string(),
                job.updated.to_string(),
                job.deleted.to_string(),
                or_dash(job.slice_rows),
                or_dash(job.slice_sum.as_ref()),
                job.job_id.to_string(),
            ]);
        }
        writeln!(f, "{}", table.trim_fmt())?;
        if self.more_jobs { writeln!(f, "and earlier ones: --limit") } else { Ok(()) }
    }

    fn write_changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = output::table(["at", "account", "change", "from", "to", "movement", "by", "file and line"]);
        table.spare(&[5, 6]);
        for change in &self.changes {
            let file = change.file.as_deref().and_then(|file| file.rsplit('/').next()).unwrap_or("-");
            let at = change.source_line.map(|line| format!(":{line}")).unwrap_or_default();
            let account = match change.company_code == self.entity {
                true => change.account_code.clone(),
                false => format!("{}/{}", change.company_code, change.account_code),
            };
            table.add_row([
                or_dash(change.applied_at.map(time)),
                account,
                change.change.clone(),
                or_dash(change.old_balance.as_ref()),
                or_dash(change.new_balance.as_ref()),
                change.movement.clone(),
                or_dash(change.published_by.as_ref()),
                format!("{}{at}", shortened(file, 60)),
            ]);
        }
        writeln!(f, "{}", table.trim_fmt())?;
        if self.more_changes { writeln!(f, "and earlier ones: --limit") } else { Ok(()) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", line(&self.entity), self.period)?;
        if !self.jobs.is_empty() {
            writeln!(f)?;
            self.write_jobs(f)?;
        }
        if let Some(pruned) = &self.pruned {
            writeln!(f, "{pruned}")?;
        }
        let of = self.account.as_ref().map(|account| format!(" of account {}", line(account))).unwrap_or_default();
        if self.changes.is_empty() {
            let since = match &self.pruned {
                Some(pruned) => pruned.since(),
                None => "the first load".to_owned(),
            };
            writeln!(f, "\nno balance{of} was changed since {since}")?;
        } else {
            writeln!(f, "\nchanges{of}, the newest first")?;
            self.write_changes(f)?;
        }
        match &self.moment {
            Some(moment) => write!(f, "\n{moment}"),
            None => Ok(()),
        }
    }
}

impl Moment {
    /// What came of the check, in words.
    pub(crate) fn checked(&self) -> String {
        let told = |name: &str, totals: &Option<super::moment::Totals>| {
            totals.as_ref().map(|totals| format!("{name} says {} accounts, sum {}", totals.rows, totals.sum))
        };
        let others: Vec<String> = [told("the run", &self.of_run), told("the audit trail", &self.of_audit_trail)]
            .into_iter()
            .flatten()
            .collect();
        match self.check {
            Check::Agrees => "checked: run and audit trail say the same".to_owned(),
            Check::NothingYet => "no job had been applied yet".to_owned(),
            Check::Differs => format!(
                "IT DIFFERS: {}; changes of before schema 8 lack the accounts that were inserted, else see verify",
                others.join("; ")
            ),
            Check::Unchecked => format!("not checked: {}", or_dash(self.why.as_ref())),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "as of {}: {} accounts, sum {}", time(self.at), self.rebuilt.rows, self.rebuilt.sum)?;
        if let Some(job) = self.job_id {
            writeln!(f, "as job {job} left it at {}", or_dash(self.applied_at.map(time)))?;
        }
        writeln!(f, "{}", self.checked())?;
        if self.accounts.is_empty() {
            return Ok(());
        }
        let mut table = output::table(["company", "account", "name", "bs/pl", "balance"]);
        for account in self.accounts.iter().take(SHOWN) {
            table.add_row([
                account.company_code.clone(),
                account.account_code.clone(),
                or_dash(account.account_name.as_ref().map(|name| shortened(name, 40))),
                or_dash(account.bs_pl.as_ref()),
                account.balance.clone(),
            ]);
        }
        writeln!(f, "\n{}", table.trim_fmt())?;
        match self.accounts.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            Some(more) => writeln!(f, "and {more} more, with --json"),
            None => Ok(()),
        }
    }
}
