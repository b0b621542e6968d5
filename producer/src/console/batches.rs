//! *Batches*: how far each is, and what is missing of it still.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Form,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use shared::settings::Settings;
use uuid::Uuid;

use super::{
    Console, answer,
    entrance::{Asked, Viewer},
    jobs,
    markup::{self, ago, csrf, facts, job, live, or_dash, slice, table, time},
    people::Role,
    problem::Problem,
};
use crate::{
    cancel,
    output::{count, shortened},
    status::{
        batch::{self, Batch, Batches, Standing},
        fate::Unloaded,
        place::Place,
        unseen,
    },
};

/// Batches of a page.
const PAGE: i64 = 20;
/// How often it is looked further for the batches of a page.
const LOOKS: usize = 5;
/// Jobs of a batch that did not load and are shown.
const SHOWN: usize = 200;

/// The page.
pub(crate) async fn page(
    State(console): State<Arc<Console>>,
    Query(query): Query<BTreeMap<String, String>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let before = place(&query)?;
    let failed = Problem::postgres(&console.settings);
    let mut page = batch::newest(&console.pool, before, PAGE).await.map_err(failed)?;
    for _ in 1..LOOKS {
        let missing = PAGE - page.batches.len() as i64;
        let Some(next) = page.next.filter(|_| missing > 0) else { break };
        let further = batch::newest(&console.pool, Some(next), missing).await.map_err(failed)?;
        page.batches.extend(further.batches);
        page.looked_at += further.looked_at;
        page.next = further.next;
    }
    Ok(answer::page(&console, &asked, "Batches", &page, || {
        let list = list(&page);
        html! {
            h1 { "Batches" }
            @if before.is_none() { (live("batches", &["jobs"], "/batches", &list)) } @else { (list) }
        }
    }))
}

/// Where a page of a list begins.
///
/// # Errors
/// If that is no place.
pub(crate) fn place(query: &BTreeMap<String, String>) -> Result<Option<Place>, Problem> {
    let before = query.get("before").map(|before| before.parse());
    before.transpose().map_err(|error| Problem::input(format!("before {error}")))
}

fn list(page: &Batches) -> Markup {
    html! {
        @if page.batches.is_empty() {
            @if page.next.is_none() { p { "No worker has seen a job of a batch here." } }
            @else { p { "Of the " (count_jobs(page.looked_at)) " looked at none is of a further batch." } }
        } @else {
            (table("Batches, those first whose jobs workers saw last", &["batch", "progress", "jobs", "started", "finished", "cancelled"], &html! {
                @for batch in &page.batches {
                    tr {
                        td { a class="id" href=(format!("/batches/{}", batch.batch_id)) { (batch.batch_id.to_string()) } }
                        td { (progress(batch)) }
                        td { (counts(batch)) }
                        td { (or_dash(batch.started_at.map(ago))) }
                        td { (or_dash(batch.ended_at().map(ago))) }
                        td {
                            (or_dash(batch.cancelled_at.map(ago)))
                            @if let Some(by) = &batch.cancelled_by { " by " (by) }
                            @if let Some(reason) = &batch.reason { ": " (shortened(reason, 120)) }
                        }
                    }
                }
            }))
        }
        @if let Some(next) = page.next {
            p { a href=(format!("/batches?before={}", answer::encoded(&next.to_string()))) { "Older batches" } }
        }
    }
}

fn count_jobs(jobs: i64) -> String {
    count(usize::try_from(jobs).unwrap_or_default(), "job")
}

/// How many of the jobs that workers have seen have ended, as a bar and in words.
fn progress(batch: &Batch) -> Markup {
    let ended = batch.jobs - batch.under_way();
    html! {
        progress max=(batch.jobs.max(1)) value=(ended) aria-label="Jobs that have ended" {}
        br;
        (ended) " of " (count_jobs(batch.jobs)) " ended"
    }
}

/// How many jobs stand where, each with a link to them.
fn counts(batch: &Batch) -> Markup {
    let counts = batch.by_status().into_iter().filter(|(_, jobs)| *jobs > 0);
    html! {
        @for (number, (status, jobs)) in counts.enumerate() {
            @if number > 0 { ", " }
            a href=(format!("/jobs?batch={}&status={status}", batch.batch_id)) { (jobs) " " (markup::status(status)) }
        }
    }
}

/// One batch.
pub(crate) async fn one(
    State(console): State<Arc<Console>>,
    Path(id): Path<Uuid>,
    asked: Asked,
) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    let Some(standing) = batch::look(&console.pool, id).await.map_err(failed)? else {
        return Err(Problem::unknown(unseen(&console.pool, &format!("job of a batch {id}")).await.map_err(failed)?));
    };
    Ok(answer::page(&console, &asked, &format!("Batch {id}"), &standing, || {
        html! {
            h1 { "Batch" }
            (live("batch", &["jobs", "dead"], &format!("/batches/{id}"), &whole(&standing)))
            @if standing.batch.cancelled_at.is_none() && asked.viewer.may(Role::Operator) {
                (cancel_form(id, &asked.viewer))
            }
        }
    }))
}

fn whole(standing: &Standing) -> Markup {
    let batch = &standing.batch;
    let settled = || standing.not_loaded.iter().filter(|job| !job.fate.is_missing);
    let missing = || standing.not_loaded.iter().filter(|job| job.fate.is_missing);
    let is_under_way = standing.not_loaded.iter().any(|job| job.fate.is_under_way);
    let class = match (standing.still_missing, standing.refused, is_under_way) {
        (0, 0, true) => "busy",
        (0, 0, false) => "good",
        (_, _, _) => "bad",
    };
    html! {
        @if let Some(text) = standing.missing() {
            p class=(class) role="status" { (text) "." }
        } @else if batch.under_way() == 0 && batch.jobs > 0 {
            p class="good" role="status" { "Nothing is missing of the " (count_jobs(batch.jobs)) " that workers have seen." }
        }
        @if let Some(text) = batch.cancellation() { p class="note" { (text) "." } }
        (facts(&[
            ("batch", html! { span class="id" { (batch.batch_id.to_string()) } }),
            ("progress", progress(batch)),
            ("jobs", counts(batch)),
            ("started", or_dash(batch.started_at.map(time))),
            ("finished", or_dash(batch.ended_at().map(time))),
        ]))
        p { a href=(format!("/jobs?batch={}", batch.batch_id)) { "All jobs of the batch" } }
        (not_loaded("Missing still", missing(), batch.batch_id))
        (not_loaded("Did not load, and are not missing", settled(), batch.batch_id))
    }
}

fn not_loaded<'a>(caption: &str, unloaded: impl Iterator<Item = &'a Unloaded> + Clone, batch: Uuid) -> Markup {
    let number = unloaded.clone().count();
    html! {
        @if number > 0 {
            (table(caption, &["slice", "status", "cause", "what has become of it", "job"], &html! {
                @for unloaded in unloaded.take(SHOWN) {
                    tr {
                        td { (slice(&unloaded.entity, &unloaded.period)) }
                        td { (markup::status(&unloaded.status)) }
                        td { (or_dash(unloaded.error_code.as_deref())) }
                        td {
                            (jobs::fate(&unloaded.fate))
                            @if unloaded.fate.is_missing { " " a href=(format!("/dead/letters/{}", unloaded.job_id)) { "Dead letter" } }
                        }
                        td { (job(unloaded.job_id)) }
                    }
                }
            }))
            @if number > SHOWN {
                p { "And " (number - SHOWN) " more: " a href=(format!("/jobs?batch={batch}&status=failed")) { "all that failed" } "." }
            }
        }
    }
}

fn cancel_form(id: Uuid, viewer: &Viewer) -> Markup {
    html! {
        section class="card acts" aria-label="Cancel the batch" {
            h2 { "Cancel the batch" }
            p { "Once it is cancelled, none of its jobs commits any more, nor one of it that is published later. What has loaded stays." }
            form method="post" action=(format!("/batches/{id}/cancel")) {
                (csrf(viewer))
                label { "Reason, for the audit trail" input name="reason" required autocomplete="off"; }
                button class="danger" { "Cancel the batch" }
            }
        }
    }
}

/// Cancels a batch.
pub(crate) async fn cancel(
    State(console): State<Arc<Console>>,
    Path(batch): Path<Uuid>,
    asked: Asked,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let field = |name: &str| fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let person = asked.viewer.act(Role::Operator, field("csrf").or(asked.csrf.as_deref()))?;
    let reason = field("reason").ok_or_else(|| Problem::input("say why: the audit trail keeps it"))?;
    let args = cancel::Args { batch, reason: Some(reason.to_owned()) };
    let settings = Settings { actor: person.name, ..console.settings.clone() };
    let cancelled = cancel::cancel(&console.pool, &args, &settings).await;
    let cancelled = cancelled.map_err(Problem::postgres(&console.settings))?;
    if asked.wants_json {
        return Ok(answer::document(StatusCode::OK, &cancelled));
    }
    Ok(Redirect::to(&format!("/batches/{batch}")).into_response())
}
