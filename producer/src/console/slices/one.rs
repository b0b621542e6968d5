//! One slice: its figures, its jobs, the balances they changed, and its accounts, now or at a moment.

use std::sync::Arc;

use axum::{
    extract::{Path, Query as Fields, State as Shared},
    response::Response,
};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use shared::slice::Slice;

use super::{
    Query,
    accounts::{self, Account},
    as_of,
    cells::{self, Cell},
    changes::{self, After},
    field,
    figures::{self, Figures},
    known_at, named, part, place,
};
use crate::{
    console::{
        Console, answer,
        entrance::Asked,
        markup::{facts, job, live, or_dash, status, table, time},
        problem::Problem,
    },
    history::{
        self, cut,
        moment::{self, Check, Moment, Wanted},
        pruned::Pruned,
        report::{Change, Job},
    },
    output::shortened,
};

/// Jobs that are listed; all are among the jobs.
const JOBS: i64 = 20;
/// Changes and accounts of a page.
const CHANGES: i64 = 50;
const ACCOUNTS: i64 = 100;

/// What the page tells.
#[derive(Serialize, JsonSchema)]
pub(crate) struct One {
    entity: String,
    period: String,
    state: Cell,
    figures: Figures,
    /// What retention took away of it: then these are not all of its jobs and changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<Pruned>,
    /// The newest export first.
    jobs: Vec<Job>,
    more_jobs: bool,
    /// In the order of the accounts.
    changes: Vec<Change>,
    /// Where the next ones are.
    next_changes: Option<String>,
    /// The slice as it stood, if that was asked for; then the accounts are those of that moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    moment: Option<Moment>,
    accounts: Vec<Account>,
    next_accounts: Option<String>,
}

/// The page.
pub(crate) async fn one(
    Shared(console): Shared<Arc<Console>>,
    Path((entity, period)): Path<(String, String)>,
    Fields(query): Fields<Query>,
    asked: Asked,
) -> Result<Response, Problem> {
    let slice = named(&entity, &period)?;
    let (at, after) = (as_of(&query)?, After::read(&query)?);
    let failed = Problem::postgres(&console.settings);
    let (pool, settings) = (&console.pool, &console.settings);
    if !figures::is_known(pool, &slice).await.map_err(failed)? {
        return Err(Problem::unknown(history::unknown(&slice.entity, &slice.period)));
    }
    let pruned = known_at(pool, settings, &slice, at).await?;
    let (jobs, more_jobs) = history::jobs(pool, &slice.entity, &slice.period, JOBS).await.map_err(failed)?;
    let account = field(&query, "account");
    let (changes, more_changes) = changes::list(pool, &slice, account, &after, CHANGES).await.map_err(failed)?;
    let behind = (part(&query, "after_company"), part(&query, "after_account"));
    let (moment, (accounts, more_accounts)) = match at {
        Some(at) => {
            let wanted = Wanted { account: None, after: behind, limit: Some(ACCOUNTS + 1) };
            let mut moment =
                moment::at(pool, settings, (&slice.entity, &slice.period), at, &wanted).await.map_err(failed)?;
            let (listed, is_more) = cut(std::mem::take(&mut moment.accounts), ACCOUNTS);
            moment.accounts.clone_from(&listed);
            (Some(moment), (listed.into_iter().map(Account::from).collect(), is_more))
        }
        None => (None, accounts::list(pool, &slice, None, behind, ACCOUNTS).await.map_err(failed)?),
    };
    let page = One {
        state: cells::one(pool, &slice, settings).await.map_err(failed)?,
        figures: figures::look(pool, &slice, settings).await.map_err(failed)?,
        pruned,
        jobs,
        more_jobs,
        next_changes: changes::next(&slice, &changes, &query).filter(|_| more_changes),
        changes,
        moment,
        next_accounts: accounts::next(&slice, &accounts, &query).filter(|_| more_accounts),
        accounts,
        entity,
        period,
    };
    let title = format!("{} {}", slice.entity, slice.period);
    Ok(answer::page(&console, &asked, &title, &page, || body(&slice, &page, &query, &asked)))
}

fn body(slice: &Slice, page: &One, query: &Query, asked: &Asked) -> Markup {
    html! {
        h1 { (slice.entity) " " (slice.period) }
        (live("slice", &["jobs"], &asked.place, &html! {
            p role="status" { span class=(format!("mark {}", page.state.state.class())) { (page.state.state.mark()) } " " (page.state.title(slice.entity.as_str())) }
            (figures::list(&page.figures))
            (jobs(slice, page))
            @if let Some(pruned) = &page.pruned { p { (pruned.to_string()) "." } }
        }))
        (acts(slice, query))
        @if let Some(moment) = &page.moment { (then(moment)) }
        section id="accounts" { (accounts::rows(&page.accounts, page.next_accounts.as_deref())) }
        section id="changes" { (changes::rows(slice, &page.changes, query, page.next_changes.as_deref())) }
    }
}

/// What else can be asked of the slice.
fn acts(slice: &Slice, query: &Query) -> Markup {
    let at = part(query, "as_of");
    html! {
        section class="card acts" aria-label="What can be asked" {
            p {
                a class="button" href=(place(slice, "/verify", &[])) { "Verify" } " "
                a href=(place(slice, "/accounts.csv", &[("as_of", at)])) download { "Accounts as CSV" } " "
                a href=(place(slice, "/changes.csv", &[("account", part(query, "account"))])) download { "Changes as CSV" } " "
                a href=(place(slice, "/accounts.parquet", &[])) download { "Parquet" } " "
                a href=(format!("/dead?entity={}&period={}", slice.entity, slice.period)) { "Dead letters" }
            }
            form method="get" action=(place(slice, "", &[])) {
                label { "As it stood at" input name="as_of" value=(at) placeholder="2022-07-05T18:00:00Z" autocomplete="off"; }
                button { "Show" }
                @if !at.is_empty() { a href=(place(slice, "", &[])) { "Now" } }
            }
        }
    }
}

fn jobs(slice: &Slice, page: &One) -> Markup {
    html! {
        @if page.jobs.is_empty() {
            p { "No worker has seen a job of it; if one was published just now, it waits in the queue." }
        } @else {
            (table("Jobs, the newest export first", &["exported", "status", "new", "changed", "gone", "rows", "sum", "loaded", "by", "file", "job"], &html! {
                @for one in &page.jobs {
                    tr {
                        td { (time(one.exported_at)) }
                        td { (status(&one.status)) @if let Some(code) = &one.error_code { " (" (code) ")" } }
                        td class="number" { (one.inserted) }
                        td class="number" { (one.updated) }
                        td class="number" { (one.deleted) }
                        td class="number" { (or_dash(one.slice_rows)) }
                        td class="number" { (or_dash(one.slice_sum.as_deref())) }
                        td { (or_dash(one.applied_at.map(time))) }
                        td { (or_dash(one.published_by.as_deref())) }
                        td { (shortened(one.file.rsplit('/').next().unwrap_or_default(), 60)) }
                        td { (job(one.job_id)) }
                    }
                }
            }))
            @if page.more_jobs {
                p { a href=(format!("/jobs?entity={}&period={}", slice.entity, slice.period)) { "All jobs of the slice" } }
            }
        }
    }
}

/// The slice at a moment, and whether that is what its job left.
fn then(moment: &Moment) -> Markup {
    let class = match moment.check {
        Check::Agrees => "good",
        Check::Differs => "bad",
        Check::NothingYet | Check::Unchecked => "note",
    };
    html! {
        section class="card" aria-label="At a moment" {
            h2 { "As of " (time(moment.at)) }
            p class=(class) role="status" { (moment.checked()) }
            (facts(&[
                ("rebuilt", html! { (moment.rebuilt.rows) " rows that sum to " (moment.rebuilt.sum) }),
                ("left by job", html! { @match moment.job_id { Some(id) => (job(id)), None => "-" } }),
                ("loaded", or_dash(moment.applied_at.map(time))),
            ]))
        }
    }
}
