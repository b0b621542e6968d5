//! The balances of a slice that jobs changed, account by account.

use deadpool_postgres::Pool;
use maud::{Markup, html};
use shared::{slice::Slice, stores::postgres::PostgresError};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Query, accounts::origin, field, part, place};
use crate::{
    console::{
        markup::{or_dash, table, time},
        problem::Problem,
    },
    db,
    history::{cut, report::Change},
};

const CHANGES: &str = include_str!("changes.sql");

/// A change behind which a page begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct After {
    pub(super) company: String,
    pub(super) account: String,
    pub(super) job: Uuid,
}

impl After {
    /// Reads it from a query.
    pub(super) fn read(query: &Query) -> Result<Self, Problem> {
        let job = field(query, "changes_job").map(str::parse::<Uuid>).transpose();
        let job = job.map_err(|_| Problem::input("changes_job is not the UUID of a job"))?.unwrap_or_default();
        let (company, account) = (part(query, "changes_company").to_owned(), part(query, "changes_account").to_owned());
        Ok(Self { company, account, job })
    }
}

impl From<&Change> for After {
    fn from(change: &Change) -> Self {
        Self { company: change.company_code.clone(), account: change.account_code.clone(), job: change.job_id }
    }
}

/// Changes behind one of them, and whether there are more.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn list(
    pool: &Pool,
    slice: &Slice,
    account: Option<&str>,
    after: &After,
    limit: i64,
) -> Result<(Vec<Change>, bool), PostgresError> {
    let (entity, period, more) = (slice.entity.as_str(), slice.period.as_str(), limit + 1);
    let After { company, account: behind, job } = after;
    let parameters: [&(dyn ToSql + Sync); 7] = [&entity, &period, &account, company, behind, job, &more];
    let rows = db::query(pool, "list the changes", CHANGES, &parameters).await?;
    Ok(cut(rows.iter().map(Change::from).collect(), limit))
}

/// Where the next page of changes begins.
pub(super) fn next(slice: &Slice, list: &[Change], query: &Query) -> Option<String> {
    let last = list.last()?;
    let job = last.job_id.to_string();
    let fields = [
        ("account", part(query, "account")),
        ("changes_company", &last.company_code),
        ("changes_account", &last.account_code),
        ("changes_job", &job),
    ];
    Some(place(slice, "", &fields))
}

/// The changes as a table, with a form that selects an account.
pub(super) fn rows(slice: &Slice, list: &[Change], query: &Query, next: Option<&str>) -> Markup {
    html! {
        form class="filter" method="get" action=(place(slice, "", &[])) role="search" aria-label="Which changes" {
            label { "Changes of account" input name="account" value=(part(query, "account")) autocomplete="off"; }
            button { "Show" }
        }
        @if list.is_empty() {
            p { "No balance was changed since the first load." }
        } @else {
            (table("Balances that jobs changed", &["account", "at", "change", "from", "to", "movement", "by", "file and line"], &html! {
                @for change in list {
                    tr {
                        td {
                            @if change.company_code != slice.entity.as_str() { (change.company_code) "/" }
                            (change.account_code)
                        }
                        td { (or_dash(change.applied_at.map(time))) }
                        td { (change.change) (relabelled(change)) }
                        td class="number" { (or_dash(change.old_balance.as_deref())) }
                        td class="number" { (or_dash(change.new_balance.as_deref())) }
                        td class="number" { (change.movement) }
                        td { (or_dash(change.published_by.as_deref())) }
                        td { (origin(Some(change.job_id), change.file.as_deref(), change.source_line)) }
                    }
                }
            }))
            @if let Some(next) = next { p { a href=(format!("{next}#changes")) { "Next changes" } } }
        }
    }
}

/// What else than the balance was changed.
fn relabelled(change: &Change) -> Markup {
    let others = [
        ("name", &change.old_name, &change.new_name),
        ("BS/PL", &change.old_bs_pl, &change.new_bs_pl),
        ("status", &change.old_status, &change.new_status),
    ];
    let is_update = matches!(change.change.as_str(), "updated" | "relabelled");
    html! {
        @for (what, old, new) in others.into_iter().filter(|(_, old, new)| is_update && old != new) {
            br; (what) ": " (or_dash(old.as_deref())) " to " (or_dash(new.as_deref()))
        }
    }
}
