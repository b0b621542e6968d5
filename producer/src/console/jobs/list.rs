//! The list of jobs: the newest first, page by page, each page found along an index.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Query, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    slice::{Entity, Period},
    stores::postgres::PostgresError,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    console::{
        Console, answer,
        batches::place,
        entrance::Asked,
        markup::{self, ago, job, live, or_dash, slice, table, time},
        problem::Problem,
    },
    db,
    now::watch::STATUSES,
    output::shortened,
    status::place::Place,
};

const BY_STATUS: &str = include_str!("by_status.sql");
const OF_SLICE: &str = include_str!("of_slice.sql");
const OF_ENTITY: &str = include_str!("of_entity.sql");
const OF_BATCH: &str = include_str!("of_batch.sql");
const LISTED: &str = include_str!("listed.sql");
/// Jobs of a page.
const PAGE: usize = 50;
/// Jobs that are looked at in one go where not all of them need fit, and how often that is done for a page.
const LOOKED_AT: i64 = 500;
const LOOKS: usize = 8;
/// The same of an entity, where as many are read of each of its periods.
const OF_ENTITY_LOOKED_AT: i64 = 250;
const OF_ENTITY_LOOKS: usize = 4;
/// The same of a batch, whose jobs are read all at once.
const OF_BATCH_LOOKED_AT: i64 = 10_000;

/// Which jobs.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Filter {
    status: Option<&'static str>,
    entity: Option<Entity>,
    period: Option<Period>,
    batch: Option<Uuid>,
}

/// A job in the list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listed {
    pub(super) job_id: Uuid,
    pub(super) batch_id: Option<Uuid>,
    pub(super) entity: String,
    pub(super) period: String,
    pub(super) file: String,
    pub(super) status: String,
    pub(super) error_code: Option<String>,
    /// The beginning of what was wrong.
    pub(super) error_message: Option<String>,
    pub(super) attempts: i32,
    pub(super) replays: i32,
    pub(super) rows: i64,
    /// A decimal.
    pub(super) balance_sum: Option<String>,
    pub(super) exported_at: DateTime<Utc>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) worker: Option<String>,
    pub(super) published_by: Option<String>,
}

impl From<&Row> for Listed {
    fn from(row: &Row) -> Self {
        Self {
            job_id: row.get("job_id"),
            batch_id: row.get("batch_id"),
            entity: row.get("entity"),
            period: row.get("period"),
            file: row.get("file"),
            status: row.get("status"),
            error_code: row.get("error_code"),
            error_message: row.get("error_message"),
            attempts: row.get("attempts"),
            replays: row.get("replays"),
            rows: row.get("rows"),
            balance_sum: row.get("balance_sum"),
            exported_at: row.get("exported_at"),
            started_at: row.get("started_at"),
            finished_at: row.get("finished_at"),
            worker: row.get("claimed_by"),
            published_by: row.get("published_by"),
        }
    }
}

/// What the page tells.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Jobs {
    filter: Filter,
    /// `started_at` or `exported_at`: what the list is ordered by, the newest first.
    ordered_by: &'static str,
    jobs: Vec<Listed>,
    /// How many jobs were looked at to find these.
    looked_at: usize,
    /// Where the next page begins, unless this is the last. The page may hold fewer than fit although there are more.
    next: Option<Place>,
}

/// A job that was looked at.
struct Seen {
    place: Place,
    entity: String,
    period: String,
    status: String,
}

impl Filter {
    /// Reads the fields of the form.
    ///
    /// # Errors
    /// If one has a value that no job can have.
    fn read(query: &BTreeMap<String, String>) -> Result<Self, Problem> {
        let field = |name: &str| query.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let invalid = |error: shared::slice::InvalidCode| Problem::input(error.to_string());
        let status = field("status").map(|status| {
            let known = STATUSES.into_iter().find(|known| *known == status);
            known.ok_or_else(|| Problem::input(format!("status is one of {}", STATUSES.join(", "))))
        });
        let batch = field("batch").map(|batch| batch.parse().map_err(|_| Problem::input("batch is not a UUID")));
        Ok(Self {
            status: status.transpose()?,
            entity: field("entity").map(str::parse).transpose().map_err(invalid)?,
            period: field("period").map(str::parse).transpose().map_err(invalid)?,
            batch: batch.transpose()?,
        })
    }

    /// Whether a job that was looked at is one of these.
    fn fits(&self, seen: &Seen) -> bool {
        self.status.is_none_or(|status| status == seen.status)
            && self.entity.as_ref().is_none_or(|entity| entity.as_str() == seen.entity)
            && self.period.as_ref().is_none_or(|period| period.as_str() == seen.period)
    }

    /// Whether all jobs that are looked at are.
    fn all_fit(&self) -> bool {
        match (self.batch, &self.entity) {
            (Some(_), _) => self.status.is_none() && self.entity.is_none() && self.period.is_none(),
            (None, Some(_)) => self.status.is_none(),
            (None, None) => self.period.is_none(),
        }
    }

    fn ordered_by(&self) -> &'static str {
        if self.batch.is_none() && self.entity.is_some() { "exported_at" } else { "started_at" }
    }

    /// The next jobs before a place among which these are: those of the batch, the slice, the entity, or by status.
    async fn look(&self, pool: &Pool, before: Option<Place>, limit: i64) -> Result<Vec<Seen>, PostgresError> {
        let (at, id) = (before.map(|place| place.at), before.map(|place| place.id));
        let rows = match (self.batch, &self.entity, &self.period) {
            (Some(batch), _, _) => {
                db::query(pool, "list the jobs of a batch", OF_BATCH, &[&batch, &at, &id, &limit]).await?
            }
            (None, Some(entity), Some(period)) => {
                let (entity, period) = (entity.as_str(), period.as_str());
                db::query(pool, "list the jobs of a slice", OF_SLICE, &[&entity, &at, &id, &limit, &period]).await?
            }
            (None, Some(entity), None) => {
                let entity = entity.as_str();
                db::query(pool, "list the jobs of an entity", OF_ENTITY, &[&entity, &at, &id, &limit]).await?
            }
            (None, None, _) => {
                let statuses = self.status.map_or(STATUSES.to_vec(), |status| vec![status]);
                db::query(pool, "list the jobs", BY_STATUS, &[&statuses, &at, &id, &limit]).await?
            }
        };
        let seen = |row: &Row| Seen {
            place: Place { at: row.get("at"), id: row.get("job_id") },
            entity: row.get("entity"),
            period: row.get("period"),
            status: row.get("status"),
        };
        Ok(rows.iter().map(seen).collect())
    }
}

/// The next jobs of these before a place.
async fn jobs(pool: &Pool, filter: Filter, before: Option<Place>) -> Result<Jobs, PostgresError> {
    let (limit, looks) = match (filter.batch, &filter.entity, &filter.period) {
        _ if filter.all_fit() => (PAGE as i64 + 1, 1),
        (Some(_), _, _) => (OF_BATCH_LOOKED_AT, LOOKS),
        (None, Some(_), None) => (OF_ENTITY_LOOKED_AT, OF_ENTITY_LOOKS),
        (None, _, _) => (LOOKED_AT, LOOKS),
    };
    let (mut found, mut looked_at, mut next) = (Vec::new(), 0, before);
    for _ in 0..looks {
        let seen = filter.look(pool, next, limit).await?;
        looked_at += seen.len();
        let is_last = (seen.len() as i64) < limit;
        next = if is_last { None } else { seen.last().map(|seen| seen.place) };
        found.extend(seen.into_iter().filter(|seen| filter.fits(seen)).map(|seen| seen.place));
        if is_last || found.len() > PAGE {
            break;
        }
    }
    if found.len() > PAGE {
        found.truncate(PAGE);
        next = found.last().copied();
    }
    let ids: Vec<Uuid> = found.iter().map(|place| place.id).collect();
    Ok(Jobs { ordered_by: filter.ordered_by(), filter, jobs: listed(pool, &ids).await?, looked_at, next })
}

async fn listed(pool: &Pool, ids: &[Uuid]) -> Result<Vec<Listed>, PostgresError> {
    let rows = db::query(pool, "look jobs up", LISTED, &[&ids]).await?;
    Ok(rows.iter().map(Listed::from).collect())
}

/// The newest exports of a slice.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn of_slice(
    pool: &Pool,
    entity: &str,
    period: &str,
    limit: i64,
) -> Result<Vec<Listed>, PostgresError> {
    let filter = Filter { entity: entity.parse().ok(), period: period.parse().ok(), ..Filter::default() };
    if filter.entity.is_none() || filter.period.is_none() {
        return Ok(Vec::new());
    }
    let seen = filter.look(pool, None, limit).await?;
    listed(pool, &seen.iter().map(|seen| seen.place.id).collect::<Vec<_>>()).await
}

/// The page.
pub(crate) async fn page(
    State(console): State<Arc<Console>>,
    Query(query): Query<BTreeMap<String, String>>,
    asked: Asked,
) -> Result<Response, Problem> {
    let (filter, before) = (Filter::read(&query)?, place(&query)?);
    let page = jobs(&console.pool, filter, before).await.map_err(Problem::postgres(&console.settings))?;
    Ok(answer::page(&console, &asked, "Jobs", &page, || {
        let list = list(&page);
        html! {
            h1 { "Jobs" }
            (form(&page.filter))
            @if before.is_none() { (live("jobs", &["jobs"], &asked.place, &list)) } @else { (list) }
        }
    }))
}

fn form(filter: &Filter) -> Markup {
    html! {
        form class="filter" method="get" action="/jobs" role="search" aria-label="Which jobs" {
            label { "Status"
                select name="status" {
                    option value="" { "any" }
                    @for status in STATUSES { option selected[filter.status == Some(status)] { (status) } }
                }
            }
            label { "Entity" input name="entity" value=(filter.entity.as_ref().map(Entity::as_str).unwrap_or_default()) autocomplete="off"; }
            label { "Period" input name="period" placeholder="2022-06" value=(filter.period.as_ref().map(Period::as_str).unwrap_or_default()) autocomplete="off"; }
            label { "Batch" input name="batch" value=(filter.batch.map(|batch| batch.to_string()).unwrap_or_default()) autocomplete="off"; }
            button { "Show" }
            a href="/jobs" { "All" }
        }
    }
}

/// The jobs of a slice or a list below each other.
pub(super) fn rows(caption: &str, jobs: &[Listed]) -> Markup {
    table(
        caption,
        &["slice", "status", "attempts", "rows", "sum", "exported", "started", "file", "job"],
        &html! {
            @for listed in jobs {
                tr {
                    td { (slice(&listed.entity, &listed.period)) }
                    td {
                        (markup::status(&listed.status))
                        @if let Some(code) = &listed.error_code { " " (code) }
                        @if let Some(message) = &listed.error_message { br; (shortened(message, 160)) }
                    }
                    td class="number" { (listed.attempts) @if listed.replays > 0 { ", replayed " (listed.replays) } }
                    td class="number" { (listed.rows) }
                    td class="number" { (or_dash(listed.balance_sum.as_deref())) }
                    td { (time(listed.exported_at)) }
                    td { (ago(listed.started_at)) }
                    td { (shortened(&listed.file, 80)) }
                    td { (job(listed.job_id)) }
                }
            }
        },
    )
}

fn list(page: &Jobs) -> Markup {
    let order = if page.ordered_by == "started_at" {
        "Jobs, those first that began last"
    } else {
        "Jobs, the newest export first"
    };
    html! {
        @if page.jobs.is_empty() {
            @if page.next.is_some() { p { "None of the " (page.looked_at) " jobs looked at is one of these; older ones may be." } }
            @else { p { "No worker has seen such a job." } }
        } @else {
            (rows(order, &page.jobs))
        }
        @if let Some(next) = page.next { p { a href=(address(&page.filter, next)) { "Older jobs" } } }
    }
}

/// Where the next page is.
fn address(filter: &Filter, next: Place) -> String {
    let batch = filter.batch.map(|batch| batch.to_string());
    let fields = [
        ("status", filter.status),
        ("entity", filter.entity.as_ref().map(Entity::as_str)),
        ("period", filter.period.as_ref().map(Period::as_str)),
        ("batch", batch.as_deref()),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}&", answer::encoded(value?))));
    format!("/jobs?{}before={}", given.collect::<String>(), answer::encoded(&next.to_string()))
}
