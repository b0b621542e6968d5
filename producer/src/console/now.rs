//! *Now*: queues, what runs, what waits, what is dead, and whatever stands still and why.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Console, answer,
    entrance::Asked,
    markup::{ago, job, live, slice, table},
    problem::Problem,
    watch::{COUNTED, Pace, Queue, Sample},
};
use crate::{
    dead::{
        filter::Filter,
        operation::{self, Seen},
        written::{self, Group},
    },
    output::shortened,
    status::{self, run::Run},
};

/// Jobs under way that are shown.
const SHOWN: i64 = 50;
/// Groups of dead letters that are shown.
const GROUPS: usize = 5;
/// An audit event or file that has waited for so many seconds is told of.
const OVERDUE: i64 = 300;

/// What the page tells.
#[derive(Serialize, JsonSchema)]
pub(super) struct Now {
    #[serde(flatten)]
    sample: Sample,
    /// What needs somebody, in words.
    needs_attention: Vec<String>,
    /// Jobs that run or wait for their next attempt, at most 50.
    under_way: Vec<Run>,
    /// Replays and discards under way.
    operations: Vec<Seen>,
    /// Dead letters by cause.
    dead_letter_groups: Vec<Group>,
}

/// The page.
pub(crate) async fn page(State(console): State<Arc<Console>>, asked: Asked) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    let pool = &console.pool;
    let sample = Sample::clone(&*console.watch.sample().await);
    let under_way = status::runs(pool, None, None, Some(&["running", "retrying"]), SHOWN).await.map_err(failed)?;
    let groups = written::groups(pool, &Filter::default(), Utc::now()).await.map_err(failed)?;
    let mut operations = operation::newest(pool, 10).await.map_err(failed)?;
    operations.retain(Seen::is_under_way);
    let dead = console.dead_queue();
    let needs_attention = needs_attention(&sample, &dead, &console.jobs_queue(), &operations);
    let now = Now { sample, needs_attention, under_way, operations, dead_letter_groups: groups };
    Ok(answer::page(&console, &asked, "Now", &now, || {
        html! { h1 { "Now" } (live("now", &["now"], "/", &body(&now))) }
    }))
}

/// What stands still, and why.
fn needs_attention(sample: &Sample, dead: &str, jobs: &str, operations: &[Seen]) -> Vec<String> {
    let mut told: Vec<String> = sample.rabbitmq_error.iter().chain(&sample.postgres_error).cloned().collect();
    if let Some(queue) = sample.queues.iter().find(|queue| queue.name == jobs) {
        if queue.consumers == 0 && queue.messages > 0 {
            told.push(format!(
                "no worker takes jobs while {} wait: each worker's /readyz says why, or none runs",
                queue.messages
            ));
        } else if queue.consumers == 0 {
            told.push("no worker takes jobs: each worker's /readyz says why, or none runs".to_owned());
        }
    }
    let unwritten = sample.unwritten(dead);
    if unwritten > 0 {
        told.push(format!(
            "{unwritten} messages in {dead} are not written down, so this page lacks them; Dead letters can write them down"
        ));
    }
    for waiting in &sample.waiting {
        let seconds = waiting.oldest.map_or(0, |at| (sample.at - at).num_seconds());
        if seconds > OVERDUE {
            told.push(format!("{} have waited for {seconds} s: see that what takes them is well", waiting.what));
        }
    }
    if sample.halted_chains > 0 {
        told.push(format!(
            "{} audit chains are halted: MongoDB holds another event at a place; aura-producer verify says which",
            sample.halted_chains
        ));
    }
    for seen in operations.iter().filter(|seen| seen.wanted == "pause") {
        let by = seen.wanted_by.as_deref().unwrap_or("somebody");
        told.push(format!("the {} of {} ({}) is paused by {by}", seen.act, seen.actor, seen.selected));
    }
    told
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

fn counted(number: i64) -> String {
    if number > COUNTED { format!("more than {COUNTED}") } else { number.to_string() }
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
    let ended = || pace.iter().filter(|pace| !matches!(pace.status.as_str(), "running" | "retrying"));
    let (jobs, rows): (i64, i64) = (ended().map(|pace| pace.jobs).sum(), ended().map(|pace| pace.rows).sum());
    html! {
        p {
            "Of the jobs that began in the last ten minutes " strong { (counted(jobs)) } " have ended, with "
            strong { (rows) } " rows: " (jobs / 10) " jobs and " (rows / 10) " rows a minute."
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
