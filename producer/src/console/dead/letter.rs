//! One letter: why it died, what it is, and what was done with it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State},
    response::Response,
};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::message::failure::BadRow;
use uuid::Uuid;

use super::{forms, job_of, of};
use crate::{
    console::{
        Console, answer,
        entrance::Asked,
        markup::{facts, or_dash, table, time},
        people::Role,
        problem::Problem,
    },
    dead::{
        advice::what_to_do,
        filter::Filter,
        show::{fate, is_open, newest_last},
        written::{self, Whole},
    },
};

/// What the page tells: the letters of a job, the one that waits or the newest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LetterPage")]
pub(in crate::console) struct Letters {
    letters: Vec<Whole>,
}

/// The page.
pub(crate) async fn letter(
    State(console): State<Arc<Console>>,
    Path(id): Path<Uuid>,
    asked: Asked,
) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    let mut letters = written::of_job(&console.pool, id).await.map_err(failed)?;
    if letters.is_empty() {
        return Err(Problem::unknown(format!("no letter of job {id} is written down")));
    }
    newest_last(&mut letters);
    letters.reverse();
    let page = Letters { letters };
    let title = format!("Dead letter of job {id}");
    let Some(newest) = page.letters.first() else { return Err(Problem::unknown("there is no such letter")) };
    let selected = BTreeMap::from([("id".to_owned(), id.to_string())]);
    let filter = Filter::read(&selected)?;
    Ok(answer::page(&console, &asked, &title, &page, || {
        html! {
            h1 { "Dead letter" }
            (whole(newest))
            @if is_open(newest) && asked.viewer.may(Role::Operator) {
                section class="card acts" aria-label="Act on this letter" {
                    (forms(&selected, &filter, &asked.viewer, "this letter"))
                }
            }
            @if page.letters.len() > 1 {
                h2 { "Earlier letters of this job" }
                ul { @for letter in &page.letters[1..] { li { "round " (letter.listed.replays) ": " (letter.listed.code) ", " (fate(letter)) } } }
            }
        }
    }))
}

fn whole(letter: &Whole) -> Markup {
    let listed = &letter.listed;
    let rows = letter.bad_rows.as_ref().and_then(|rows| serde_json::from_value(rows.clone()).ok());
    let rows: Vec<BadRow> = rows.unwrap_or_default();
    html! {
        p class="bad" { strong { (listed.code) } @if let Some(stage) = &listed.stage { " in " (stage) } }
        @for part in listed.message.iter().flat_map(|message| message.lines()) { p { (part) } }
        p { strong { "Do: " } (what_to_do(&listed.code)) }
        @if let Some(at) = listed.newer_export_at {
            p class="note" { "The slice has seen an export of " (time(at)) ": replayed, this one ends as superseded." }
        }
        (facts(&[
            ("state", html! { (fate(letter)) }),
            ("job", job_of(listed)),
            ("slice", of(listed)),
            ("batch", html! { @match listed.batch_id { Some(id) => a href=(format!("/batches/{id}")) { (id.to_string()) }, None => "-" } }),
            ("file", or_dash(listed.file.as_deref())),
            ("SHA-256", or_dash(listed.fingerprint.as_deref())),
            ("source", or_dash(listed.source.as_deref())),
            ("died", or_dash(listed.failed_at.map(time))),
            ("worker", or_dash(listed.worker.as_deref())),
            ("attempts, replays", html! { (listed.attempts) ", " (listed.replays) }),
            ("group", html! { a href=(format!("/dead?group={}", listed.group_id)) { (listed.group_id) } }),
        ]))
        (tries(letter.tries.as_ref()))
        (bad_rows(&rows, listed.bad_rows_total))
        details { summary { "Message" } pre { (format!("{:#}", letter.body)) } }
        details { summary { "Headers" } pre { (format!("{:#}", letter.headers)) } }
    }
}

/// The attempts that failed.
pub(crate) fn tries(tries: Option<&Value>) -> Markup {
    let tries: Vec<&Value> = tries.iter().filter_map(|tries| tries.as_array()).flatten().collect();
    let text = |tried: &Value, name: &str| match tried.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) | None => "-".to_owned(),
    };
    html! {
        @if !tries.is_empty() {
            (table("Attempts that failed", &["attempt", "at", "worker", "code", "stage", "what was wrong"], &html! {
                @for tried in tries {
                    tr { @for name in ["attempt", "at", "worker", "code", "stage", "message"] { td { (text(tried, name)) } } }
                }
            }))
        }
    }
}

/// The bad rows that are kept, of so many.
pub(crate) fn bad_rows(rows: &[BadRow], total: i64) -> Markup {
    html! {
        @if !rows.is_empty() {
            (table("Bad rows", &["line", "column", "what stands there", "reason"], &html! {
                @for row in rows {
                    tr {
                        td class="number" { (row.line) }
                        td { (or_dash(row.column.as_deref())) }
                        td { (or_dash(row.text.as_deref())) }
                        td { (row.reason) }
                    }
                }
            }))
            @if total > rows.len() as i64 { p class="note" { "The first " (rows.len()) " of " (total) " bad rows." } }
        }
    }
}
