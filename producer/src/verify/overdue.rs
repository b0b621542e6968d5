//! What has waited for too long: to be delivered to the other stores, or for a worker.

use std::time::Duration;

use deadpool_postgres::Transaction;
use shared::{settings::Settings, stores::postgres::PostgresError};
use uuid::Uuid;

use super::{
    finding::{Code, Findings},
    snapshot::Snapshot,
    stores::query,
};

const OVERDUE: &str = include_str!("overdue.sql");
const STALLED: &str = include_str!("stalled.sql");
/// A job that has made no progress for so long is not one that runs, or waits for a busy slice or a retry.
const PROGRESS: Duration = Duration::from_secs(3600);

/// Finds it, within the transaction that sees one moment. What is younger than the limit is on its way.
pub(super) async fn check(
    tx: &Transaction<'_>,
    snapshot: &Snapshot,
    settings: &Settings,
    findings: &mut Findings,
) -> Result<(), PostgresError> {
    let name = findings.name.clone();
    // As much as an interval takes: what is set higher is never too long.
    let seconds = |limit: Duration| i64::try_from(limit.as_secs()).unwrap_or(i64::MAX).min(i64::from(i32::MAX));
    let what = "look for what waits too long";
    let rows = query(tx, what, OVERDUE, &[&name.entity, &name.period, &seconds(settings.outbox_warn)]).await?;
    for row in &rows {
        let waiting = |count: &str, age: &str| {
            let count: i64 = row.get(count);
            (count > 0).then(|| (count, row.get::<_, Option<i64>>(age).unwrap_or_default()))
        };
        if let Some((_, seconds)) = waiting("files", "files_seconds") {
            let detail = format!("the Parquet file has waited to be written for {seconds} s");
            findings.add(Code::CacheOverdue, detail);
        }
        // What waits behind a halt is told with that.
        let is_halted = snapshot.head.as_ref().is_some_and(|head| head.halted_by.is_some());
        if let Some((count, seconds)) = waiting("events", "events_seconds").filter(|_| !is_halted) {
            let detail = format!("{count} audit events wait to be delivered to MongoDB, the oldest for {seconds} s");
            findings.add(Code::OutboxOverdue, detail);
        }
        if let Some((count, seconds)) = waiting("documents", "documents_seconds") {
            let detail = format!("{count} documents wait for gl_metadata, the oldest for {seconds} s");
            findings.add(Code::OutboxOverdue, detail);
        }
    }
    let stalled = [
        &name.entity as &(dyn tokio_postgres::types::ToSql + Sync),
        &name.period,
        &seconds(PROGRESS.max(settings.job_timeout * 2)),
    ];
    for row in query(tx, "look for jobs without progress", STALLED, &stalled).await? {
        let (job_id, status, seconds): (Uuid, &str, i64) = (row.get("job_id"), row.get("status"), row.get("seconds"));
        let detail = format!("the job has been {status} for {seconds} s without progress");
        findings.add_of(Code::RunStalled, Some(job_id), detail);
    }
    Ok(())
}
