//! One job: its whole life, what it did to the ledger, and what every store has of it.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use deadpool_postgres::Pool;
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::stores::postgres::PostgresError;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    derived::{self, Derived},
    fate,
    life::{Moment, moments},
    linked,
    list::{self, Listed},
};
use crate::{
    console::{
        Console, answer,
        dead::bad_rows,
        entrance::Asked,
        markup::{self, facts, live, or_dash, slice, table, time},
        problem::Problem,
    },
    db,
    dead::written::{self, Whole},
    output::shortened,
    status::{self, run::Run, unseen},
};

const REJECTED: &str = include_str!("rejected.sql");
/// Rejected rows and other jobs of the slice that are told of.
const REJECTED_SHOWN: i64 = 1_000;
const OTHERS: i64 = 20;

/// A bad row that the job put aside, as it stood in the file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Rejected {
    line: i64,
    column: Option<String>,
    reason: String,
    text: String,
}

impl From<&Row> for Rejected {
    fn from(row: &Row) -> Self {
        Self {
            line: row.get("source_line"),
            column: row.get("column_name"),
            reason: row.get("reason"),
            text: row.get("line_text"),
        }
    }
}

/// What the page tells.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Job {
    job_id: Uuid,
    /// None of a message that was refused before it became a job.
    run: Option<Run>,
    moments: Vec<Moment>,
    /// Its letters, in the order in which they died.
    letters: Vec<Whole>,
    /// Rows that it put aside, at most 1,000.
    rejected_rows: Vec<Rejected>,
    more_rejected_rows: bool,
    #[serde(flatten)]
    derived: Derived,
    /// The trace that its publisher began, if a letter has it.
    trace_id: Option<String>,
    /// The newest exports of its slice, this one among them.
    jobs_of_slice: Vec<Listed>,
}

/// The page.
pub(crate) async fn one(
    State(console): State<Arc<Console>>,
    Path(id): Path<Uuid>,
    asked: Asked,
) -> Result<Response, Problem> {
    let failed = Problem::postgres(&console.settings);
    let found = look(&console, id).await.map_err(failed)?;
    let Some(job) = found else {
        return Err(Problem::unknown(unseen(&console.pool, &format!("job {id}")).await.map_err(failed)?));
    };
    Ok(answer::page(&console, &asked, &format!("Job {id}"), &job, || {
        let whole = whole(&job);
        html! {
            h1 { "Job" }
            @if job.is_under_way() { (live("job", &["jobs", "dead"], &format!("/jobs/{id}"), &whole)) } @else { (whole) }
        }
    }))
}

async fn look(console: &Console, id: Uuid) -> Result<Option<Job>, PostgresError> {
    let pool = &console.pool;
    let run = status::runs(pool, Some(id), None, None, 1).await?.pop();
    let letters = written::of_job(pool, id).await?;
    if run.is_none() && letters.is_empty() {
        return Ok(None);
    }
    let mut job = Job {
        job_id: id,
        moments: moments(run.as_ref(), &letters),
        trace_id: letters.iter().rev().find_map(trace_id),
        run,
        letters,
        rejected_rows: Vec::new(),
        more_rejected_rows: false,
        derived: Derived::default(),
        jobs_of_slice: Vec::new(),
    };
    if let Some(run) = &job.run {
        let of_slice = (run.entity.as_str(), run.period.as_str());
        let (rejected, derived, others) = tokio::join!(
            rejected(pool, of_slice, id),
            derived::look(pool, &console.settings, of_slice, id),
            list::of_slice(pool, of_slice.0, of_slice.1, OTHERS)
        );
        job.rejected_rows = rejected?;
        job.more_rejected_rows = job.rejected_rows.len() as i64 > REJECTED_SHOWN;
        job.rejected_rows.truncate(usize::try_from(REJECTED_SHOWN).unwrap_or_default());
        job.derived = derived?;
        job.jobs_of_slice = others?;
    }
    Ok(Some(job))
}

async fn rejected(pool: &Pool, (entity, period): (&str, &str), id: Uuid) -> Result<Vec<Rejected>, PostgresError> {
    let limit = REJECTED_SHOWN + 1;
    let rows = db::query(pool, "list rejected rows", REJECTED, &[&entity, &period, &id, &limit]).await?;
    Ok(rows.iter().map(Rejected::from).collect())
}

/// The trace that the letter's message belongs to: the second part of its `traceparent`.
fn trace_id(letter: &Whole) -> Option<String> {
    let parent = letter.headers.get("traceparent")?.as_str()?;
    parent.split('-').nth(1).filter(|id| id.len() == 32).map(str::to_owned)
}

impl Job {
    fn is_under_way(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.finished_at.is_none())
    }
}

fn whole(job: &Job) -> Markup {
    html! {
        @match &job.run {
            Some(run) => (of_run(job, run)),
            None => p class="bad" { "No worker has seen this job: its message was refused, as its dead letter says." },
        }
        @if let Some(letter) = job.letters.last() {
            p { a href=(format!("/dead/letters/{}", job.job_id)) { "Dead letter" } " (" (letter.listed.code) ", " (letter.listed.state) ")" }
        }
        (time_line(&job.moments))
        @if let Some(run) = &job.run {
            (errors(run))
            (rejected_rows(job))
            @let warnings: Vec<&str> = run.warnings().collect();
            @if !warnings.is_empty() {
                h2 { "Warnings" }
                ul { @for warning in warnings { li { (warning) } } }
            }
            (of_mongo(&job.derived))
            (list::rows("Newest exports of the slice", &job.jobs_of_slice))
            @if let Some(result) = &run.result { details { summary { "Receipt" } pre { (format!("{result:#}")) } } }
        }
    }
}

fn of_run(job: &Job, run: &Run) -> Markup {
    let replays = if run.replays > 0 { format!(", replayed {} times", run.replays) } else { String::new() };
    html! {
        p role="status" {
            (markup::status(&run.status)) " " @if let Some(code) = &run.error_code { strong { (code) } }
            " attempts " (run.attempts) (replays)
        }
        @if let Some(message) = run.error_message() { @for part in message.lines() { p { (part) } } }
        @if let Some(became) = &run.fate { p class=(if became.is_missing { "bad" } else { "note" }) { (fate(became)) } }
        (facts(&[
            ("job", html! { span class="id" { (run.job_id.to_string()) } }),
            ("slice", slice(&run.entity, &run.period)),
            ("batch", html! { @match run.batch_id { Some(id) => a class="id" href=(format!("/batches/{id}")) { (id.to_string()) }, None => "-" } }),
            ("file", html! { (run.file) }),
            ("SHA-256", or_dash(run.fingerprint.as_deref())),
            ("source, mode", html! { (run.source) ", " (or_dash(run.mode.as_deref())) }),
            ("exported", time(run.exported_at)),
            ("published by", html! { (or_dash(run.published_by.as_deref())) @if let Some(user) = &run.broker_user { " (RabbitMQ's user " (user) ")" } }),
            ("worker", or_dash(run.worker.as_deref())),
            ("rows", html! {
                (run.rows) ": " (run.inserted) " inserted, " (run.updated) " updated, " (run.unchanged) " unchanged, "
                (run.deleted) " deleted, " (run.absent) " absent, " (run.failed) " failed"
            }),
            ("sum of the rows", or_dash(run.balance_sum.as_deref())),
            ("slice afterwards", html! { @match (run.slice_rows, &run.slice_sum) { (Some(rows), Some(sum)) => { (rows) " rows, sum " (sum) }, _ => "-" } }),
            ("trace", or_dash(job.trace_id.as_deref())),
        ]))
    }
}

fn time_line(moments: &[Moment]) -> Markup {
    table(
        "Time line",
        &["at", "what", "by", "in words"],
        &html! {
            @for moment in moments {
                tr {
                    td { (or_dash(moment.at.map(time))) }
                    td { (moment.what) }
                    td { (or_dash(moment.by.as_deref())) }
                    td { (linked(&moment.text, &moment.names.into_iter().collect::<Vec<_>>())) }
                }
            }
        },
    )
}

fn errors(run: &Run) -> Markup {
    let failure = run.failure();
    html! {
        @if let Some(failure) = failure {
            (bad_rows(&failure.rows, i64::try_from(failure.rows_total).unwrap_or(i64::MAX)))
            @if let Some(fault) = &failure.schema {
                (facts(&[
                    ("missing columns", html! { (fault.missing_required.join(", ")) }),
                    ("columns besides", html! { (fault.extra_columns.join(", ")) }),
                    ("optional columns", html! { (fault.present_optional.join(", ")) }),
                ]))
            }
        }
    }
}

fn rejected_rows(job: &Job) -> Markup {
    html! {
        @if !job.rejected_rows.is_empty() {
            (table("Rows put aside", &["line", "column", "reason", "as it stood in the file"], &html! {
                @for row in &job.rejected_rows {
                    tr {
                        td class="number" { (row.line) }
                        td { (or_dash(row.column.as_deref())) }
                        td { (row.reason) }
                        td { (shortened(&row.text, 1_000)) }
                    }
                }
            }))
            @if job.more_rejected_rows { p class="note" { "The first " (REJECTED_SHOWN) "; gl_rejected_rows has all." } }
        }
    }
}

fn of_mongo(derived: &Derived) -> Markup {
    let text = |event: &Map<String, Value>, name: &str| match event.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(value) => value.to_string(),
    };
    html! {
        @if let Some(why) = &derived.unseen {
            p class="bad" role="alert" { "What MongoDB has of the job cannot be seen, neither audit events nor data profile: " (why) }
        }
        @if !derived.events.is_empty() {
            (table("Audit events", &["seq", "event", "at", "attempt", "worker", "what it says"], &html! {
                @for event in &derived.events {
                    tr {
                        td class="number" { @if event.get("seq").is_none_or(Value::is_null) { "on its way" } @else { (text(event, "seq")) } }
                        td { (text(event, "event_type")) }
                        td { (text(event, "timestamp")) }
                        td class="number" { (text(event, "attempt")) }
                        td { (text(event, "worker")) }
                        td { (shortened(&text(event, "metadata"), 500)) }
                    }
                }
            }))
        }
        @if let Some(profile) = &derived.data_profile {
            details { summary { "Data profile" } pre { (format!("{profile:#}")) } }
        }
    }
}
