//! *Now*: queues, what runs, what waits, what is dead, and whatever stands still and why.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use shared::broker::topology::Topology;

use super::{
    Console, answer,
    entrance::Asked,
    markup::{ago, job, live, slice, table},
    problem::Problem,
};
use crate::{
    dead::{operation::Seen, written::Group},
    now::{
        Now,
        watch::{self, Pace, Queue, Sample, counted},
    },
    output::shortened,
    status::run::Run,
};

/// Groups of dead letters that are shown.
const GROUPS: usize = 5;

/// The page.
pub(crate) async fn page(State(console): State<Arc<Console>>, asked: Asked) -> Result<Response, Problem> {
    let sample = Sample::clone(&*console.watch.sample().await);
    let topology = Topology::new(&console.settings.namespace);
    let now = Now::look(&console.pool, &topology, sample).await.map_err(Problem::postgres(&console.settings))?;
    Ok(answer::page(&console, &asked, "Now", &now, || {
        html! { h1 { "Now" } (live("now", &["now"], "/", &body(&now))) }
    }))
}

fn body(now: &Now) -> Markup {
    html! {
        @if now.needs_attention.is_empty() {
            p class="good" { "Nothing stands still." }
        } @else {
            div role="status" { ul class="attention" { @for told in &now.needs_attention { li { (told) } } } }
        }
        p class="note" { "As of " (ago(now.sample.at)) "." }
        div class="columns" {
            section { (queues(&now.sample.queues)) }
            section {
                (pace(&now.sample.pace))
                (table("Waiting to be delivered", &["what", "how much", "oldest"], &html! {
                    @for waiting in &now.sample.waiting {
                        tr {
                            th scope="row" { (waiting.what) }
                            td class="number" { (counted(waiting.number)) }
                            td { @match waiting.oldest { Some(at) => (ago(at)), None => "-" } }
                        }
                    }
                }))
            }
        }
        (under_way(&now.under_way))
        (operations(&now.operations))
        (groups(&now.dead_letter_groups))
    }
}

fn queues(queues: &[Queue]) -> Markup {
    table(
        "Queues",
        &["queue", "messages", "trend", "consumers"],
        &html! {
            @for queue in queues {
                tr {
                    th scope="row" { (queue.name) }
                    td class="number" { (queue.messages) }
                    td { (trend(&queue.trend)) }
                    td class="number" { (queue.consumers) }
                }
            }
        },
    )
}

/// A line through the last counts, and the same in words.
fn trend(counts: &[u32]) -> Markup {
    let (first, last) = (counts.first().copied().unwrap_or(0), counts.last().copied().unwrap_or(0));
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let steps = counts.len().saturating_sub(1).max(1);
    let points: Vec<String> = counts
        .iter()
        .enumerate()
        .map(|(number, count)| format!("{},{}", number * 100 / steps, 20 - u64::from(*count) * 18 / u64::from(most)))
        .collect();
    let words = match first.cmp(&last) {
        std::cmp::Ordering::Less => "rising",
        std::cmp::Ordering::Equal => "level",
        std::cmp::Ordering::Greater => "falling",
    };
    html! {
        svg class="trend" viewBox="0 0 100 22" role="img" aria-label=(format!("{words}, from {first} to {last}")) {
            polyline points=(points.join(" ")) fill="none" stroke="currentColor" stroke-width="2" {}
        }
    }
}

fn pace(pace: &[Pace]) -> Markup {
    let (jobs, rows) = watch::ended(pace);
    let least = if pace.iter().any(|pace| pace.jobs > watch::COUNTED) { "at least " } else { "" };
    html! {
        p {
            "Of the jobs that began in the last ten minutes " (least) strong { (jobs) } " have ended, with " (least)
            strong { (rows) } " rows: " (jobs / 10) "." (jobs % 10) " jobs and " (rows / 10) " rows a minute."
        }
        @if !pace.is_empty() {
            p {
                @for (number, pace) in pace.iter().enumerate() {
                    @if number > 0 { ", " }
                    a href=(format!("/jobs?status={}", pace.status)) { (counted(pace.jobs)) " " (pace.status) }
                }
            }
        }
    }
}

fn since(at: DateTime<Utc>) -> Markup {
    ago(at)
}

fn under_way(runs: &[Run]) -> Markup {
    html! {
        section {
            @if runs.is_empty() {
                h2 { "Under way" }
                p { "No job runs." }
            } @else {
                (table("Jobs under way", &["slice", "status", "attempt", "since", "worker", "file", "job"], &html! {
                    @for run in runs {
                        tr {
                            td { (slice(&run.entity, &run.period)) }
                            td { (super::markup::status(&run.status)) }
                            td class="number" { (run.attempts) }
                            td { (since(run.started_at)) }
                            td { (run.worker.as_deref().unwrap_or("-")) }
                            td { (shortened(&run.file, 60)) }
                            td { (job(run.job_id)) }
                        }
                    }
                }))
            }
        }
    }
}

fn operations(operations: &[Seen]) -> Markup {
    html! {
        @if !operations.is_empty() {
            section {
                (table("Replays and discards under way", &["act", "state", "done", "began", "by", "which"], &html! {
                    @for seen in operations {
                        tr {
                            td { a href=(format!("/dead/operations/{}", seen.operation_id)) { (seen.act) } }
                            td { (super::markup::status(&seen.state)) }
                            td class="number" { (seen.done) " of " (seen.total) }
                            td { (since(seen.started_at)) }
                            td { (seen.actor) }
                            td { (shortened(&seen.selected, 60)) }
                        }
                    }
                }))
            }
        }
    }
}

fn groups(groups: &[Group]) -> Markup {
    html! {
        section {
            @if groups.is_empty() {
                h2 { "Dead letters" }
                p { "No dead letter is written down." }
            } @else {
                (table("Dead letters by cause", &["letters", "cause", "newest", "in ten minutes"], &html! {
                    @for group in groups.iter().take(GROUPS) {
                        tr {
                            td class="number" { (group.jobs) }
                            td {
                                a href=(format!("/dead?group={}", group.group_id)) { (group.code) } " "
                                (shortened(&group.cause, 120))
                            }
                            td { @match group.newest { Some(at) => (ago(at)), None => "-" } }
                            td class="number" { (group.last_10_minutes) }
                        }
                    }
                }))
                p { a href="/dead" { "All dead letters" } }
            }
        }
    }
}
