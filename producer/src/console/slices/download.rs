//! A slice's accounts and changes as CSV, of any number, a few thousand held at a time.
//!
//! The files are of RFC 4180, in UTF-8. A text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return has an
//! apostrophe put before it, since a spreadsheet would take it for a formula. Amounts are not texts: they stand there as
//! the exact decimals that they are, with their minus sign.

use std::{io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Query as Fields, State as Shared},
    response::Response,
};
use chrono::{DateTime, Utc};
use futures_util::stream::try_unfold;
use shared::{printable, slice::Slice, stores::postgres::PostgresError, telemetry::chain};
use uuid::Uuid;

use super::{
    Query,
    accounts::{self, Account},
    as_of, attach,
    changes::{self, After},
    field, figures, known_at, named,
};
use crate::{
    console::{Console, problem::Problem},
    history::{self, report::Change},
};

const KIND: &str = "text/csv; charset=utf-8";
/// Rows that are asked for at a time.
const ROWS: i64 = 10_000;
const ACCOUNTS: [&str; 11] = [
    "entity",
    "period",
    "company_code",
    "account_code",
    "account_name",
    "balance",
    "bs_pl",
    "status",
    "job_id",
    "file",
    "source_line",
];
const CHANGES: [&str; 19] = [
    "entity",
    "period",
    "company_code",
    "account_code",
    "change",
    "old_balance",
    "new_balance",
    "movement",
    "old_name",
    "new_name",
    "old_bs_pl",
    "new_bs_pl",
    "old_status",
    "new_status",
    "applied_at",
    "published_by",
    "job_id",
    "file",
    "source_line",
];

/// Why a file broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("a line cannot be written")]
    Line(#[from] csv::Error),
    #[error("another job has loaded the slice meanwhile; ask for the file again")]
    Reloaded,
}

/// What is written, and how far that is.
enum Part {
    Accounts { at: Option<DateTime<Utc>>, after: (String, String) },
    Changes { account: Option<String>, after: After },
}

/// A file that is being written.
struct File {
    console: Arc<Console>,
    slice: Slice,
    part: Part,
    /// The job whose rows the slice holds: if that changes, what was written is not of one moment with the rest.
    job: Option<Uuid>,
    is_begun: bool,
    is_done: bool,
}

/// All accounts of a slice, as they are or as they were.
pub(crate) async fn accounts_csv(
    Shared(console): Shared<Arc<Console>>,
    Path((entity, period)): Path<(String, String)>,
    Fields(query): Fields<Query>,
) -> Result<Response, Problem> {
    let (slice, at) = (named(&entity, &period)?, as_of(&query)?);
    known_at(&console.pool, &console.settings, &slice, at).await?;
    let part = Part::Accounts { at, after: (String::new(), String::new()) };
    file(console, slice, part, "accounts.csv").await
}

/// All changes of a slice, or those of an account.
pub(crate) async fn changes_csv(
    Shared(console): Shared<Arc<Console>>,
    Path((entity, period)): Path<(String, String)>,
    Fields(query): Fields<Query>,
) -> Result<Response, Problem> {
    let part = Part::Changes { account: field(&query, "account").map(str::to_owned), after: After::default() };
    let slice = named(&entity, &period)?;
    // Its name says from when on it has all of them.
    let name = match known_at(&console.pool, &console.settings, &slice, None).await? {
        Some(pruned) => format!("changes-since-{}.csv", pruned.since()),
        None => "changes.csv".to_owned(),
    };
    file(console, slice, part, &name).await
}

async fn file(console: Arc<Console>, slice: Slice, part: Part, name: &str) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    if !figures::is_known(&console.pool, &slice).await.map_err(failed)? {
        return Err(Problem::unknown(history::unknown(&slice.entity, &slice.period)));
    }
    let job = figures::current(&console.pool, &slice).await.map_err(failed)?;
    let file = File { console, slice: slice.clone(), part, job, is_begun: false, is_done: false };
    let lines = try_unfold(file, |mut file| async move {
        if file.is_done {
            return Ok(None);
        }
        match file.next().await {
            Ok(lines) => Ok(Some((Bytes::from(lines), file))),
            Err(broken) => {
                let (entity, period) = (file.slice.entity.as_str(), file.slice.period.as_str());
                tracing::warn!(entity, period, error = chain(&broken).as_str(), "a download broke off");
                // The connection ends before the file does, so that nobody takes the beginning for the whole.
                Err(io::Error::other(broken))
            }
        }
    });
    Ok(attach(Response::new(Body::from_stream(lines)), KIND, &slice, name))
}

impl File {
    /// The next lines, the header before the first of them.
    async fn next(&mut self) -> Result<Vec<u8>, Broken> {
        let pool = &self.console.pool;
        let mut lines = csv::WriterBuilder::new()
            .quote_style(csv::QuoteStyle::Always)
            .terminator(csv::Terminator::CRLF)
            .from_writer(Vec::new());
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let is_more = match &mut self.part {
            Part::Accounts { at, after } => {
                if is_first {
                    lines.write_record(ACCOUNTS)?;
                }
                let behind = (after.0.as_str(), after.1.as_str());
                let (list, is_more) = accounts::list(pool, &self.slice, *at, behind, ROWS).await?;
                for account in &list {
                    lines.write_record(account_line(&self.slice, account))?;
                }
                if let Some(last) = list.last() {
                    *after = (last.account.company_code.clone(), last.account.account_code.clone());
                }
                is_more
            }
            Part::Changes { account, after } => {
                if is_first {
                    lines.write_record(CHANGES)?;
                }
                let (list, is_more) = changes::list(pool, &self.slice, account.as_deref(), after, ROWS).await?;
                for change in &list {
                    lines.write_record(change_line(&self.slice, change))?;
                }
                if let Some(last) = list.last() {
                    *after = After::from(last);
                }
                is_more
            }
        };
        // What was before a moment that is over does not change.
        let is_past = matches!(self.part, Part::Accounts { at: Some(at), .. } if at < Utc::now());
        if !is_past && figures::current(pool, &self.slice).await? != self.job {
            return Err(Broken::Reloaded);
        }
        self.is_done = !is_more;
        lines.into_inner().map_err(|error| csv::Error::from(io::Error::other(error.to_string())).into())
    }
}

fn account_line(slice: &Slice, row: &Account) -> [String; 11] {
    let account = &row.account;
    [
        text(slice.entity.as_str()),
        slice.period.to_string(),
        text(&account.company_code),
        text(&account.account_code),
        text(account.account_name.as_deref().unwrap_or_default()),
        account.balance.clone(),
        text(account.bs_pl.as_deref().unwrap_or_default()),
        text(account.status.as_deref().unwrap_or_default()),
        plain(row.job_id),
        text(row.file.as_deref().unwrap_or_default()),
        plain(row.source_line),
    ]
}

fn change_line(slice: &Slice, change: &Change) -> [String; 19] {
    let optional = |value: &Option<String>| text(value.as_deref().unwrap_or_default());
    [
        text(slice.entity.as_str()),
        slice.period.to_string(),
        text(&change.company_code),
        text(&change.account_code),
        change.change.clone(),
        plain(change.old_balance.as_ref()),
        plain(change.new_balance.as_ref()),
        change.movement.clone(),
        optional(&change.old_name),
        optional(&change.new_name),
        optional(&change.old_bs_pl),
        optional(&change.new_bs_pl),
        optional(&change.old_status),
        optional(&change.new_status),
        plain(change.applied_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))),
        optional(&change.published_by),
        change.job_id.to_string(),
        optional(&change.file),
        plain(change.source_line),
    ]
}

/// A number, an identity or a time, as it is.
fn plain(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A text that no spreadsheet takes for a formula, and no terminal acts on.
fn text(text: &str) -> String {
    let begins = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let text = printable::line(text);
    if begins { format!("'{text}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_a_spreadsheet_would_run_is_a_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"] {
            assert_eq!(text(formula), format!("'{}", printable::line(formula)));
        }
        for other in ["", "001200", "a=b", " =1", "'=1"] {
            assert_eq!(text(other), other);
        }
    }
}
