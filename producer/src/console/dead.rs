//! *Dead letters*: by cause and one by one, what a replay would do to the books, replay, and discard.

pub(super) mod act;
pub(super) mod letter;
pub(super) mod operations;
mod tried;

pub(crate) use self::{
    act::{discard, dry_run, replay, write_down},
    letter::{bad_rows, letter},
    operations::{operation_page, operations, want},
};

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Query, State},
    response::Response,
};
use chrono::Utc;
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Console, answer,
    entrance::{Asked, Viewer},
    markup::{ago, csrf, job, live, slice, table},
    people::Role,
    problem::Problem,
};
use crate::{
    dead::{
        filter::Filter,
        written::{self, Group, Listed},
    },
    output::{count, shortened},
};

/// Letters of a page.
const PAGE: i64 = 50;
/// The fields by which letters are selected, as `dead list` names them.
pub(crate) const FIELDS: [&str; 9] =
    ["id", "group", "entity", "period", "batch", "code", "source", "older_than", "newer_than"];

/// What the page tells.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LettersPage")]
pub(super) struct Letters {
    queue: String,
    /// Letters that are written down as being in the queue, whether selected or not.
    letters: i64,
    /// Messages that RabbitMQ counts beyond those.
    unwritten: i64,
    /// Why RabbitMQ could not be asked.
    rabbitmq_error: Option<String>,
    groups: Vec<Group>,
    jobs: Vec<Listed>,
    /// The place behind which the next page begins.
    next: Option<i64>,
}

/// The page.
pub(crate) async fn page(
    State(console): State<Arc<Console>>,
    Query(query): Query<BTreeMap<String, String>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    let filter = Filter::read(&query)?;
    let after: i64 = match query.get("after").map(|after| after.parse()) {
        Some(after) => after.map_err(|_| Problem::input("after is not a place"))?,
        None => 0,
    };
    let now = Utc::now();
    let sample = console.watch.sample().await;
    let queue = console.dead_queue();
    let groups = written::groups(&console.pool, &filter, now).await.map_err(failed)?;
    let mut jobs = written::letters(&console.pool, &filter, now, after, PAGE + 1).await.map_err(failed)?;
    let is_more = jobs.len() as i64 > PAGE;
    jobs.truncate(usize::try_from(PAGE).unwrap_or_default());
    let next = jobs.last().filter(|_| is_more).map(|letter| letter.place);
    let letters = Letters {
        letters: written::open(&console.pool).await.map_err(failed)?.letters,
        unwritten: sample.unwritten(&queue),
        rabbitmq_error: sample.rabbitmq_error.clone(),
        queue,
        groups,
        jobs,
        next,
    };
    Ok(answer::page(&console, &asked, "Dead letters", &letters, || {
        html! {
            h1 { "Dead letters" }
            (filter_form(&query))
            (live("dead", &["dead"], &asked.place, &html! { (summary(&letters, &asked.viewer)) (groups_of(&letters.groups, &query)) }))
            (acts(&letters, &filter, &query, &asked.viewer))
            (list(&letters, &query))
        }
    }))
}

/// The fields of a selection as a query, and others laid over them.
fn query_with(query: &BTreeMap<String, String>, more: &[(&str, &str)]) -> String {
    let mut all: BTreeMap<&str, &str> = query
        .iter()
        .filter(|(name, value)| FIELDS.contains(&name.as_str()) && !value.is_empty())
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    all.extend(more.iter().copied());
    let pairs: Vec<String> = all.iter().map(|(name, value)| format!("{name}={}", answer::encoded(value))).collect();
    format!("/dead?{}", pairs.join("&"))
}

fn filter_form(query: &BTreeMap<String, String>) -> Markup {
    let value = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    html! {
        form class="filter" method="get" action="/dead" role="search" aria-label="Which letters" {
            @for (name, label) in [("entity", "Entity"), ("period", "Period"), ("code", "Code"), ("source", "Source"), ("group", "Group"), ("batch", "Batch"), ("older_than", "Older than"), ("newer_than", "Newer than")] {
                label { (label) input name=(name) value=(value(name)) autocomplete="off"; }
            }
            button { "Show" }
            a href="/dead" { "All" }
            a href="/dead/operations" { "Replays and discards" }
        }
    }
}

fn summary(letters: &Letters, viewer: &Viewer) -> Markup {
    html! {
        p role="status" {
            strong { (count(usize::try_from(letters.letters).unwrap_or_default(), "letter")) }
            " written down as being in " (letters.queue) "."
        }
        @if letters.unwritten > 0 {
            p class="bad" {
                "RabbitMQ counts " (letters.unwritten) " messages more: they are not shown here."
                @if viewer.may(Role::Operator) {
                    form class="inline" method="post" action="/dead/write-down" {
                        (csrf(viewer)) button { "Write them down" }
                    }
                }
            }
        }
        @if let Some(error) = &letters.rabbitmq_error {
            p class="bad" { "Whether the queue holds more cannot be told: " (error) }
        }
    }
}

fn groups_of(groups: &[Group], query: &BTreeMap<String, String>) -> Markup {
    html! {
        @if groups.is_empty() {
            p { "No letter is selected." }
        } @else {
            (table("By cause", &["letters", "cause", "of", "newest", "10 min", "hour", "what to do"], &html! {
                @for group in groups {
                    tr {
                        td class="number" { (group.jobs) }
                        td {
                            a href=(query_with(query, &[("group", &group.group_id)])) { (group.code) }
                            @if let Some(source) = &group.source { " (source " (source) ")" }
                            @if group.cause != group.code { br; (shortened(&group.cause, 200)) }
                        }
                        td {
                            (shortened(&group.some_entities.join(", "), 80))
                            @if group.entities > group.some_entities.len() as i64 { " and " (group.entities - group.some_entities.len() as i64) " more" }
                        }
                        td { @match group.newest { Some(at) => (ago(at)), None => "-" } }
                        td class="number" { (group.last_10_minutes) }
                        td class="number" { (group.last_hour) }
                        td { (group.what_to_do) }
                    }
                }
            }))
        }
    }
}

/// The selection as hidden fields of a form.
pub(crate) fn selection(query: &BTreeMap<String, String>, filter: &Filter) -> Markup {
    html! {
        @for (name, value) in query.iter().filter(|(name, value)| FIELDS.contains(&name.as_str()) && !value.is_empty()) {
            input type="hidden" name=(name) value=(value);
        }
        @if filter.is_empty() { input type="hidden" name="all" value="1"; }
    }
}

/// What can be done with the letters that are selected.
fn acts(letters: &Letters, filter: &Filter, query: &BTreeMap<String, String>, viewer: &Viewer) -> Markup {
    let number: i64 = letters.groups.iter().map(|group| group.jobs).sum();
    let which = format!("{} ({})", count(usize::try_from(number).unwrap_or_default(), "letter"), filter.words());
    html! {
        @if number > 0 && viewer.may(Role::Operator) {
            section class="card acts" aria-label="Act on the selected letters" {
                h2 { (which) }
                (forms(query, filter, viewer, &which))
            }
        } @else if number > 0 && viewer.person.is_none() {
            p class="note" { "To replay or discard, AURA_CONSOLE_USERS_PATH has to say who may; see README.md." }
        }
    }
}

/// The forms for what can be done with letters.
pub(crate) fn forms(query: &BTreeMap<String, String>, filter: &Filter, viewer: &Viewer, which: &str) -> Markup {
    html! {
        form method="post" action="/dead/dry-run" {
            (csrf(viewer)) (selection(query, filter))
            button { "Dry run: what would a replay do?" }
        }
        form method="post" action="/dead/replay" {
            (csrf(viewer)) (selection(query, filter))
            label class="check" { input type="checkbox" name="canary" value="1" checked; " One of each cause first" }
            label { "Rate" input name="rate" placeholder="as fast as it goes; or 5/s, 30/m" autocomplete="off"; }
            label class="check" { input type="checkbox" name="as_new" value="1"; " As new jobs, exported now" }
            label { "With the mapping profile" input name="new_source" placeholder="each job's own" autocomplete="off"; }
            button { "Replay " (which) }
        }
        form method="post" action="/dead/discard" {
            (csrf(viewer)) (selection(query, filter))
            label { "Reason, for the audit trail" input name="reason" required autocomplete="off"; }
            button class="danger" { "Discard " (which) }
        }
    }
}

fn list(letters: &Letters, query: &BTreeMap<String, String>) -> Markup {
    html! {
        @if !letters.jobs.is_empty() {
            (table("Letters", &["died", "slice", "cause", "attempts", "file", "job"], &html! {
                @for letter in &letters.jobs {
                    tr {
                        td { @match letter.failed_at { Some(at) => (ago(at)), None => "-" } }
                        td { (of(letter)) }
                        td {
                            (letter.code)
                            @if letter.state != "waiting" { " (in hand)" }
                            @if letter.newer_export_at.is_some() { " (the slice has seen a newer export)" }
                            @if let Some(message) = &letter.message { br; (shortened(message, 160)) }
                        }
                        td class="number" { (letter.attempts) @if letter.replays > 0 { ", replayed " (letter.replays) } }
                        td { (shortened(letter.file.as_deref().unwrap_or("-"), 80)) }
                        td { @match letter.job_id { Some(id) => a class="id" href=(format!("/dead/letters/{id}")) { (id.to_string()) }, None => (letter.name()) } }
                    }
                }
            }))
            @if let Some(next) = letters.next {
                p { a href=(query_with(query, &[("after", &next.to_string())])) { "Next letters" } }
            }
        }
    }
}

/// The slice of a letter, as far as its body names one.
fn of(letter: &Listed) -> Markup {
    html! {
        @match (&letter.entity, &letter.period) {
            (Some(entity), Some(period)) => (slice(entity, period)),
            (entity, period) => { (entity.as_deref().unwrap_or("-")) " " (period.as_deref().unwrap_or("-")) }
        }
    }
}

/// A link to the job of a letter, beside it.
fn job_of(letter: &Listed) -> Markup {
    html! { @match letter.job_id { Some(id) => (job(id)), None => (letter.name()) } }
}
