//! Replays, discards and dry runs: how far they are, and whether they go on.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::tried;
use crate::{
    console::{
        Console,
        acts::{Act, Outcome},
        answer,
        entrance::{Asked, Viewer},
        markup::{ago, csrf, facts, live, or_dash, status, table, time},
        people::Role,
        problem::Problem,
    },
    dead::operation::{self, Seen, Wanted},
    output::shortened,
};

/// Operations that are listed.
const LISTED: i64 = 50;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OperationsPage")]
pub(in crate::console) struct Operations {
    /// Replays and discards, by whomever and wherever, the newest first.
    operations: Vec<Seen>,
    /// What this console was asked for, dry runs included.
    of_this_console: Vec<Act>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OperationPage")]
pub(in crate::console) struct Operation {
    operation: Option<Seen>,
    act: Option<Act>,
}

/// The list.
pub(crate) async fn operations(State(console): State<Arc<Console>>, asked: Asked) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    let operations = operation::newest(&console.pool, LISTED).await.map_err(failed)?;
    let mut page = Operations { operations, of_this_console: console.acts.newest() };
    // What each came to stands on its own page.
    page.of_this_console.iter_mut().for_each(|act| act.outcome = None);
    Ok(answer::page(&console, &asked, "Replays and discards", &page, || {
        let tried = page.of_this_console.iter().filter(|act| act.act == "dry run");
        let body = html! {
            @if page.operations.is_empty() { p { "Nobody has replayed or discarded anything yet." } }
            @else {
                (table("Replays and discards", &["act", "state", "done", "began", "by", "which", "reason"], &html! {
                    @for seen in &page.operations {
                        tr {
                            td { a href=(format!("/dead/operations/{}", seen.operation_id)) { (seen.act) } }
                            td { (status(&seen.state)) }
                            td class="number" { (seen.done) " of " (seen.total) }
                            td { (ago(seen.started_at)) }
                            td { (seen.actor) }
                            td { (shortened(&seen.selected, 80)) }
                            td { (or_dash(seen.reason.as_deref())) }
                        }
                    }
                }))
            }
            h2 { "Dry runs of this console" }
            ul { @for act in tried { li { a href=(format!("/dead/operations/{}", act.operation_id)) { (act.selected) } " by " (act.actor) ", " (ago(act.began_at)) } } }
        };
        html! { h1 { "Replays and discards" } (live("operations", &["acts"], "/dead/operations", &body)) }
    }))
}

/// One of them.
pub(crate) async fn operation_page(
    State(console): State<Arc<Console>>,
    Path(id): Path<Uuid>,
    asked: Asked,
) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    let page =
        Operation { operation: operation::one(&console.pool, id).await.map_err(failed)?, act: console.acts.one(id) };
    if page.operation.is_none() && page.act.is_none() {
        let message = format!("there is no operation {id}; what a dry run told is kept by the console that made it");
        return Err(Problem::unknown(message));
    }
    let act = page.operation.as_ref().map(|seen| seen.act.as_str()).or(page.act.as_ref().map(|act| act.act));
    let title = act.map_or_else(String::new, |act| format!("{}{}", act[..1].to_uppercase(), &act[1..]));
    let place = format!("/dead/operations/{id}");
    Ok(answer::page(&console, &asked, &title, &page, || {
        html! {
            h1 { (title) }
            (live("operation", &["acts", "dead"], &place, &body(&page, &asked.viewer)))
        }
    }))
}

fn body(page: &Operation, viewer: &Viewer) -> Markup {
    html! {
        @if let Some(seen) = &page.operation { (progress(seen, viewer)) }
        @if let Some(act) = &page.act {
            @if page.operation.is_none() {
                (facts(&[
                    ("by", html! { (act.actor) }),
                    ("which", html! { (act.selected) }),
                    ("began", time(act.began_at)),
                    ("ended", or_dash(act.ended_at.map(time))),
                ]))
            }
            @if act.ended_at.is_none() { p class="note" role="status" { "Under way." } }
            @if let Some(error) = &act.error { p class="bad" role="alert" { (error) } }
            @match act.outcome.as_deref() {
                Some(Outcome::Tried(report)) => (tried::report(report)),
                Some(Outcome::Settled(report)) => { h2 { "What was done" } pre { (report.to_string()) } }
                None => {}
            }
        }
    }
}

fn progress(seen: &Seen, viewer: &Viewer) -> Markup {
    let button = |to: &str, name: &str| {
        html! {
            form class="inline" method="post" action=(format!("/dead/operations/{}/{to}", seen.operation_id)) {
                (csrf(viewer)) button { (name) }
            }
        }
    };
    html! {
        p role="status" {
            (status(&seen.state)) " " strong { (seen.done) } " of " strong { (seen.total) } " jobs"
            @if seen.held_back > 0 { ", " (seen.held_back) " held back by their canary" }
        }
        progress max=(seen.total.max(1)) value=(seen.done) aria-label="Jobs that are done" {}
        @if seen.is_under_way() && viewer.may(Role::Operator) {
            p {
                @if seen.wanted == "pause" { (button("resume", "Go on")) } @else { (button("pause", "Pause")) }
                (button("cancel", "Cancel"))
            }
        }
        @if let (Some(by), true) = (&seen.wanted_by, seen.is_under_way()) { p class="note" { "wanted: " (seen.wanted) " by " (by) } }
        @if let Some(note) = &seen.note { p { (note) } }
        (facts(&[
            ("by", html! { (seen.actor) }),
            ("which", html! { (seen.selected) }),
            ("reason", or_dash(seen.reason.as_deref())),
            ("began", time(seen.started_at)),
            ("ended", or_dash(seen.ended_at.map(time))),
        ]))
    }
}

/// Asks something of one.
pub(crate) async fn want(
    State(console): State<Arc<Console>>,
    Path((id, wanted)): Path<(Uuid, String)>,
    asked: Asked,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let csrf = fields.get("csrf").map(String::as_str).or(asked.csrf.as_deref());
    let person = asked.viewer.act(Role::Operator, csrf)?;
    let wanted = match wanted.as_str() {
        "pause" => Wanted::Pause,
        "resume" => Wanted::Run,
        "cancel" => Wanted::Cancel,
        _ => return Err(Problem::unknown("an operation is paused, resumed or cancelled")),
    };
    let failed = Problem::postgres(&console.settings);
    if !operation::want(&console.pool, id, wanted, &person.name).await.map_err(failed)? {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!("operation {id} is over or cancelled already, or there is none"),
        ));
    }
    if asked.wants_json {
        let seen = operation::one(&console.pool, id).await.map_err(failed)?;
        return Ok(answer::document(StatusCode::OK, &seen));
    }
    Ok(Redirect::to(&format!("/dead/operations/{id}")).into_response())
}
