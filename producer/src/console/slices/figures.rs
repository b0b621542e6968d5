//! What a slice holds: as its newest job left it, and as it is counted now.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{settings::Settings, slice::Slice, stores::postgres::PostgresError};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    console::markup::{facts, job, or_dash, time},
    db,
    period::{self, Lock},
    verify::ledger::{Totals, totals},
};

/// How often figures are counted again because a job has come in between.
const LOOKS: u32 = 5;
const HEAD: &str = include_str!("head.sql");
const IS_BALANCED: &str = include_str!("is_balanced.sql");
const KNOWN: &str = include_str!("known.sql");

/// The export that a slice's rows come from, and what its job left.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Loaded {
    pub(super) job_id: Uuid,
    file: Option<String>,
    fingerprint: Option<String>,
    source: Option<String>,
    mode: Option<String>,
    exported_at: Option<DateTime<Utc>>,
    applied_at: Option<DateTime<Utc>>,
    published_by: Option<String>,
    rows: Option<i64>,
    /// A decimal.
    sum: Option<String>,
}

/// What is known of a slice as a whole.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Figures {
    /// None if no job has loaded it.
    pub(super) loaded: Option<Loaded>,
    /// The time of the newest export that it has seen, loaded or not.
    newest_export_at: Option<DateTime<Utc>>,
    /// What gl_accounts has of it now.
    pub(super) counted: Totals,
    /// Whether that is what the job left; none if no job has.
    agrees: Option<bool>,
    /// Whether its sum is zero within the tolerance.
    is_balanced: bool,
    tolerance: String,
    locks: Vec<Lock>,
}

fn loaded(row: &Row) -> Option<Loaded> {
    Some(Loaded {
        job_id: row.get::<_, Option<Uuid>>("job_id")?,
        file: row.get("file"),
        fingerprint: row.get("fingerprint"),
        source: row.get("source"),
        mode: row.get("mode"),
        exported_at: row.get("exported_at"),
        applied_at: row.get("applied_at"),
        published_by: row.get("published_by"),
        rows: row.get("slice_rows"),
        sum: row.get("slice_sum"),
    })
}

async fn head(pool: &Pool, slice: &Slice) -> Result<Option<Row>, PostgresError> {
    let (entity, period) = (slice.entity.as_str(), slice.period.as_str());
    Ok(db::query(pool, "look a slice up", HEAD, &[&entity, &period]).await?.pop())
}

/// The job whose rows a slice holds: as long as it is the same, so are they.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn current(pool: &Pool, slice: &Slice) -> Result<Option<Uuid>, PostgresError> {
    Ok(head(pool, slice).await?.and_then(|row| row.get("job_id")))
}

/// Whether anything has been seen of the slice's entity.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn is_known(pool: &Pool, slice: &Slice) -> Result<bool, PostgresError> {
    let rows = db::query(pool, "look an entity up", KNOWN, &[&slice.entity.as_str()]).await?;
    Ok(rows.first().is_some_and(|row| row.get("known")))
}

/// Looks at a slice as a whole.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn look(pool: &Pool, slice: &Slice, settings: &Settings) -> Result<Figures, PostgresError> {
    let job = |head: &Option<Row>| head.as_ref().and_then(|row| row.get::<_, Option<Uuid>>("job_id"));
    let (mut before, mut looks) = (head(pool, slice).await?, 0);
    // A job that commits between two looks would make both disagree.
    let (head, counted) = loop {
        let client = pool.get().await?;
        let counted = totals(&client, slice.entity.as_str(), slice.period.as_str()).await?;
        drop(client);
        let after = head(pool, slice).await?;
        looks += 1;
        if job(&before) == job(&after) || looks == LOOKS {
            break (after, counted);
        }
        before = after;
    };
    let tolerance = settings.nil_tolerance.to_string();
    let rows = db::query(pool, "hold a sum against zero", IS_BALANCED, &[&counted.sum, &tolerance]).await?;
    let loaded = head.as_ref().and_then(loaded);
    Ok(Figures {
        agrees: loaded.as_ref().map(|loaded| {
            loaded.rows == Some(counted.rows) && loaded.sum.as_ref() == Some(&counted.sum) && counted.of_no_run == 0
        }),
        loaded,
        newest_export_at: head.map(|row| row.get("newest_at")),
        counted,
        is_balanced: rows.first().is_some_and(|row| row.get("is_balanced")),
        tolerance,
        locks: period::locks_of(pool, &slice.entity, &slice.period).await?,
    })
}

/// The figures as a list.
pub(super) fn list(figures: &Figures) -> Markup {
    let counted = &figures.counted;
    let as_left = |loaded: &Loaded| match (loaded.rows, &loaded.sum) {
        (Some(rows), Some(sum)) => format!("{rows} rows that sum to {sum}"),
        (_, _) => "its run does not say".to_owned(),
    };
    html! {
        @match figures.agrees {
            Some(true) => p class="good" { "gl_accounts holds what the newest job left." },
            Some(false) => p class="bad" role="alert" { "gl_accounts does not hold what the newest job left: verify says more." },
            None if counted.rows > 0 => p class="bad" role="alert" { "gl_accounts has rows of it, and no job has loaded it: verify says more." },
            None => p { "No job has loaded it." },
        }
        (facts(&[
            ("counted now", html! { (counted.rows) " rows that sum to " (counted.sum) @if counted.absent > 0 { ", " (counted.absent) " of them absent from the newest export" } }),
            ("as the job left it", html! { @match &figures.loaded { Some(loaded) => (as_left(loaded)), None => "-" } }),
            ("nil check", html! {
                @if figures.is_balanced { span class="good" { "balanced" } } @else { span class="bad" { "out of balance" } }
                " (tolerance " (figures.tolerance) ")"
            }),
            ("locked", html! {
                @if figures.locks.is_empty() { "no" }
                @for lock in &figures.locks { div { (lock.to_string()) } }
            }),
            ("job", html! { @match &figures.loaded { Some(loaded) => (job(loaded.job_id)), None => "-" } }),
            ("file", or_dash(figures.loaded.as_ref().and_then(|loaded| loaded.file.as_deref()))),
            ("SHA-256", or_dash(figures.loaded.as_ref().and_then(|loaded| loaded.fingerprint.as_deref()))),
            ("source, mode", html! { @match &figures.loaded { Some(loaded) => { (or_dash(loaded.source.as_deref())) ", " (or_dash(loaded.mode.as_deref())) } None => "-" } }),
            ("exported", or_dash(figures.loaded.as_ref().and_then(|loaded| loaded.exported_at).map(time))),
            ("loaded", or_dash(figures.loaded.as_ref().and_then(|loaded| loaded.applied_at).map(time))),
            ("published by", or_dash(figures.loaded.as_ref().and_then(|loaded| loaded.published_by.as_deref()))),
            ("newest export seen", or_dash(figures.newest_export_at.map(time))),
        ]))
    }
}
