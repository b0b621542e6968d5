//! The accounts of a slice, page by page, each with the file and line that it comes from.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{slice::Slice, stores::postgres::PostgresError};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Query, part, place};
use crate::{
    console::markup::{or_dash, table},
    db,
    history::{
        cut,
        moment::{self, Wanted},
    },
    output::shortened,
};

const ACCOUNTS: &str = include_str!("accounts.sql");

/// An account, and where it comes from. Of a moment in the past the job, file and line are not known.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Account {
    #[serde(flatten)]
    pub(super) account: moment::Account,
    /// The job that last wrote it, with its file and line.
    pub(super) job_id: Option<Uuid>,
    pub(super) file: Option<String>,
    pub(super) source_line: Option<i64>,
}

impl From<&Row> for Account {
    fn from(row: &Row) -> Self {
        Self {
            account: moment::Account::from(row),
            job_id: row.get("job_id"),
            file: row.get("file"),
            source_line: row.get("source_line"),
        }
    }
}

impl From<moment::Account> for Account {
    fn from(account: moment::Account) -> Self {
        Self { account, job_id: None, file: None, source_line: None }
    }
}

/// Accounts behind one of them, as they are or as they were, and whether there are more.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn list(
    pool: &Pool,
    slice: &Slice,
    at: Option<DateTime<Utc>>,
    (company, account): (&str, &str),
    limit: i64,
) -> Result<(Vec<Account>, bool), PostgresError> {
    let more = limit + 1;
    let list = match at {
        Some(at) => {
            let wanted = Wanted { account: None, after: (company, account), limit: Some(more) };
            let list = moment::accounts(pool, (&slice.entity, &slice.period), at, &wanted).await?;
            list.into_iter().map(Account::from).collect()
        }
        None => {
            let (entity, period) = (slice.entity.as_str(), slice.period.as_str());
            let parameters: [&(dyn ToSql + Sync); 5] = [&entity, &period, &company, &account, &more];
            let rows = db::query(pool, "list the accounts", ACCOUNTS, &parameters).await?;
            rows.iter().map(Account::from).collect()
        }
    };
    Ok(cut(list, limit))
}

/// Where the next page of accounts begins.
pub(super) fn next(slice: &Slice, list: &[Account], query: &Query) -> Option<String> {
    let last = &list.last()?.account;
    let fields =
        [("as_of", part(query, "as_of")), ("after_company", &last.company_code), ("after_account", &last.account_code)];
    Some(place(slice, "", &fields))
}

/// A file and a line of it, which leads to the job.
pub(super) fn origin(job: Option<Uuid>, file: Option<&str>, line: Option<i64>) -> Markup {
    let name = file.and_then(|file| file.rsplit('/').next()).unwrap_or("-");
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    html! {
        @match job {
            Some(job) => a href=(format!("/jobs/{job}")) title=[file] { (shortened(name, 60)) (line) },
            None => { (shortened(name, 60)) (line) }
        }
    }
}

/// The accounts as a table.
pub(super) fn rows(list: &[Account], next: Option<&str>) -> Markup {
    html! {
        @if list.is_empty() {
            h2 { "Accounts" }
            p { "None." }
        } @else {
            (table("Accounts", &["company", "account", "name", "BS/PL", "status", "balance", "file and line"], &html! {
                @for row in list {
                    tr {
                        td { (row.account.company_code) }
                        td { (row.account.account_code) }
                        td { (or_dash(row.account.account_name.as_ref().map(|name| shortened(name, 80)))) }
                        td { (or_dash(row.account.bs_pl.as_deref())) }
                        td { (or_dash(row.account.status.as_deref())) }
                        td class="number" { (row.account.balance) }
                        td { (origin(row.job_id, row.file.as_deref(), row.source_line)) }
                    }
                }
            }))
            @if let Some(next) = next { p { a href=(format!("{next}#accounts")) { "Next accounts" } } }
        }
    }
}
