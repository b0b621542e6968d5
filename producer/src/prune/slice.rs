//! The old runs of one slice.

use std::collections::BTreeMap;

use deadpool_postgres::{GenericClient, Pool};
use serde_json::json;
use shared::{
    slice::Slice,
    stores::{
        locks::Lock,
        outbox,
        postgres::{PostgresError, transaction},
    },
};
use uuid::Uuid;

use super::Order;
use crate::actor_event;

const OLD_RUNS: &str = include_str!("old_runs.sql");
const WITH_RUNS: &str = include_str!("with_runs.sql");
const TAKE_RUNS: &str = include_str!("take_runs.sql");
const HORIZON: &str = include_str!("horizon.sql");
/// Runs that go in one transaction, for which a job of the slice would wait, and whose jobs one event names: some 40 KB.
const CHUNK: usize = 1_000;

/// What goes of a slice, or went.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Runs, by status.
    pub(super) runs: BTreeMap<String, i64>,
    pub(super) changes: i64,
    /// What the changes moved in all, a decimal.
    pub(super) movement: String,
    pub(super) rejected_rows: i64,
    /// Old runs that stay, since something needs them.
    pub(super) kept: i64,
}

/// Old runs that nothing needs.
#[derive(Default)]
struct Old {
    jobs: Vec<Uuid>,
    status_of: BTreeMap<Uuid, String>,
    kept: i64,
    /// Whether there are more than were asked for.
    is_more: bool,
}

async fn look(
    client: &impl GenericClient,
    slice: &Slice,
    order: &Order<'_>,
    most: usize,
) -> Result<Old, PostgresError> {
    let (entity, period) = (slice.entity.as_str(), slice.period.as_str());
    let rows = client.query(OLD_RUNS, &[&entity, &period, &order.before]).await;
    let mut old = Old::default();
    for row in rows.map_err(PostgresError::in_("look for old runs"))? {
        if row.get("is_needed") {
            old.kept += 1;
        } else if old.jobs.len() < most {
            let job_id = row.get("job_id");
            old.jobs.push(job_id);
            old.status_of.insert(job_id, row.get("status"));
        } else {
            old.is_more = true;
        }
    }
    Ok(old)
}

/// Takes the old runs of a slice away, or tells what would go.
pub(super) async fn prune(pool: &Pool, slice: &Slice, order: &Order<'_>) -> Result<Gone, PostgresError> {
    let mut gone = Gone { movement: "0".to_owned(), ..Gone::default() };
    if !order.apply {
        let client = pool.get().await?;
        let old = look(&client, slice, order, usize::MAX).await?;
        gone.kept = old.kept;
        for status in old.status_of.into_values() {
            *gone.runs.entry(status).or_default() += 1;
        }
        let (entity, period) = (slice.entity.as_str(), slice.period.as_str());
        let row = client.query_one(WITH_RUNS, &[&entity, &period, &old.jobs]).await;
        let row = row.map_err(PostgresError::in_("count what goes with old runs"))?;
        (gone.changes, gone.rejected_rows) = (row.get("changes"), row.get("rejected_rows"));
        gone.movement = row.get("movement");
        return Ok(gone);
    }
    let mut is_more = true;
    while is_more {
        let part = chunk(pool, slice, order).await?;
        is_more = part.is_more;
        gone.kept = part.gone.kept;
        for (status, runs) in part.gone.runs {
            *gone.runs.entry(status).or_default() += runs;
        }
        gone.changes += part.gone.changes;
        gone.rejected_rows += part.gone.rejected_rows;
        gone.movement = match gone.movement.as_str() {
            "0" => part.gone.movement,
            _ => add(pool, &gone.movement, &part.gone.movement).await?,
        };
    }
    Ok(gone)
}

async fn add(pool: &Pool, one: &str, other: &str) -> Result<String, PostgresError> {
    let rows = crate::db::query(pool, "add the movements up", super::SUM, &[&vec![one, other]]).await?;
    Ok(rows.first().map_or_else(|| "0".to_owned(), |row| row.get("sum")))
}

struct Part {
    gone: Gone,
    is_more: bool,
}

/// Takes some of the oldest away. A job of the slice that is about to commit is waited for, and waits.
async fn chunk(pool: &Pool, slice: &Slice, order: &Order<'_>) -> Result<Part, PostgresError> {
    let taken = transaction(pool, "prune_slice", move |transaction, _| {
        Box::pin(async move {
            Lock::Slice(slice).wait(transaction).await?;
            let old = look(transaction, slice, order, CHUNK).await?;
            let mut gone = Gone { kept: old.kept, movement: "0".to_owned(), ..Gone::default() };
            if old.jobs.is_empty() {
                return Ok::<_, PostgresError>((Part { gone, is_more: false }, None));
            }
            let (entity, period) = (slice.entity.as_str(), slice.period.as_str());
            let row = transaction.query_one(TAKE_RUNS, &[&entity, &period, &old.jobs]).await;
            let row = row.map_err(PostgresError::in_("take runs away"))?;
            let jobs: Vec<Uuid> = row.get("jobs");
            for job_id in &jobs {
                if let Some(status) = old.status_of.get(job_id) {
                    *gone.runs.entry(status.clone()).or_default() += 1;
                }
            }
            (gone.changes, gone.rejected_rows) = (row.get("changes"), row.get("rejected_rows"));
            gone.movement = row.get("movement");
            let runs = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                [&entity, &period, &order.before, &runs, &gone.changes, &gone.rejected_rows, &order.settings.actor];
            let noted = transaction.execute(HORIZON, &parameters).await;
            noted.map_err(PostgresError::in_("note the horizon"))?;
            let mut event = order
                .event(order.before)
                .with("runs", runs)
                .with("changes", gone.changes)
                .with("movement", gone.movement.as_str())
                .with("rejected_rows", gone.rejected_rows)
                .with("jobs", json!(jobs));
            event.slice = Some(slice.clone());
            outbox::record(transaction, std::slice::from_ref(&event)).await?;
            // What another process has begun with meanwhile is left to the next time.
            let is_more = old.is_more && !jobs.is_empty();
            Ok((Part { gone, is_more }, Some(event)))
        })
    });
    let (part, event) = taken.await?;
    if let Some(event) = event {
        actor_event::note(&event);
    }
    Ok(part)
}
