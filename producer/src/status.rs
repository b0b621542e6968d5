//! `status`: what PostgreSQL knows of jobs and batches.

pub(crate) mod run;
mod watch;

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::Serialize;
use shared::{settings::Settings, stores::postgres::PostgresError};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    db,
    errors::{CommandError, ExitStatus},
    output::{self, count, or_dash, time},
};
use run::Run;

const BATCHES: &str = include_str!("status/batches.sql");
const NEWEST_BATCHES: &str = include_str!("status/newest_batches.sql");
const RUNS: &str = include_str!("status/runs.sql");
const CANCELLED: &str = "SELECT cancelled_at FROM batches WHERE batch_id = $1 AND cancelled_at IS NOT NULL";
const COUNTS: &str = include_str!("status/counts.sql");
/// Jobs of a status that the overview counts; of more it only says that there are more.
const COUNTED: i64 = 100_000;
/// Batches that the overview lists, and jobs of batches that it looks at to find them.
const NEWEST: i64 = 20;
const LOOKED_AT: i64 = 10_000;
/// Jobs that the overview lists.
const RECENT: i64 = 20;
/// Jobs of a batch that people are shown.
const SHOWN: usize = 100;

/// Tells what has become of jobs and batches
///
/// Without an argument: the newest batches, and what is under way. A job is known here once a worker
/// has seen it.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  aura-producer status\n  aura-producer status --watch\n  aura-producer status 01981f6e-0000-7000-8000-000000000000"
)]
pub(crate) struct Args {
    /// A job's identity, or else a batch's
    #[arg(value_name = "BATCH|JOB")]
    id: Option<Uuid>,
    /// Keeps one screen of what is going on live, until q or Ctrl-C
    #[arg(long, conflicts_with = "id")]
    watch: bool,
}

/// How many jobs of a batch stand where.
#[derive(Serialize)]
struct Batch {
    batch_id: Uuid,
    jobs: i64,
    success: i64,
    failed: i64,
    skipped: i64,
    superseded: i64,
    cancelled: i64,
    running: i64,
    retrying: i64,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
}

impl From<&Row> for Batch {
    fn from(row: &Row) -> Self {
        Self {
            batch_id: row.get("batch_id"),
            jobs: row.get("jobs"),
            success: row.get("success"),
            failed: row.get("failed"),
            skipped: row.get("skipped"),
            superseded: row.get("superseded"),
            cancelled: row.get("cancelled"),
            running: row.get("running"),
            retrying: row.get("retrying"),
            started_at: row.get("started_at"),
            finished_at: row.get("finished_at"),
            cancelled_at: row.get("cancelled_at"),
        }
    }
}

impl Batch {
    fn unseen(batch_id: Uuid, cancelled_at: DateTime<Utc>) -> Self {
        Self {
            batch_id,
            jobs: 0,
            success: 0,
            failed: 0,
            skipped: 0,
            superseded: 0,
            cancelled: 0,
            running: 0,
            retrying: 0,
            started_at: None,
            finished_at: None,
            cancelled_at: Some(cancelled_at),
        }
    }
}

#[derive(Serialize)]
struct Overview {
    /// Jobs by status.
    jobs: BTreeMap<String, i64>,
    /// Statuses that more jobs have than were counted.
    more_than_counted: Vec<String>,
    batches: Vec<Batch>,
    /// Whether there may be further batches, of which none of the newest jobs is.
    batches_are_of_newest_jobs: bool,
    /// Jobs that run or wait for their next attempt.
    active: Vec<Run>,
    recent: Vec<Run>,
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.jobs.is_empty() {
            return writeln!(f, "no worker has seen a job yet");
        }
        let more = |status| if self.more_than_counted.contains(status) { "more than " } else { "" };
        let jobs = self.jobs.iter().map(|(status, number)| format!("{}{number} {status}", more(status)));
        let jobs: Vec<String> = jobs.collect();
        writeln!(f, "jobs: {}", jobs.join(", "))?;
        if !self.batches.is_empty() {
            let note = if self.batches_are_of_newest_jobs {
                format!(" (those of the newest {LOOKED_AT} jobs)")
            } else {
                String::new()
            };
            writeln!(f, "\nnewest batches{note}")?;
            writeln!(f, "{}", batch_table(&self.batches))?;
        }
        if !self.active.is_empty() {
            writeln!(f, "\nunder way")?;
            writeln!(f, "{}", run::table(&self.active).trim_fmt())?;
        }
        if !self.recent.is_empty() {
            writeln!(f, "\nnewest jobs")?;
            writeln!(f, "{}", run::table(&self.recent).trim_fmt())?;
        }
        Ok(())
    }
}

fn batch_table(batches: &[Batch]) -> String {
    let mut table = output::table([
        "batch",
        "jobs",
        "success",
        "failed",
        "skipped",
        "superseded",
        "cancelled",
        "under way",
        "started",
        "finished",
    ]);
    table.identity(0);
    table.spare(&[5, 4, 6, 9, 8]);
    for batch in batches {
        let under_way = batch.running + batch.retrying;
        table.add_row([
            batch.batch_id.to_string(),
            batch.jobs.to_string(),
            batch.success.to_string(),
            batch.failed.to_string(),
            batch.skipped.to_string(),
            batch.superseded.to_string(),
            batch.cancelled.to_string(),
            under_way.to_string(),
            or_dash(batch.started_at.map(time)),
            or_dash(batch.finished_at.filter(|_| under_way == 0).map(time)),
        ]);
    }
    table.trim_fmt()
}

#[derive(Serialize)]
struct BatchPage {
    #[serde(flatten)]
    batch: Batch,
    results: Vec<Run>,
}

impl fmt::Display for BatchPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", batch_table(std::slice::from_ref(&self.batch)))?;
        if let Some(at) = self.batch.cancelled_at {
            writeln!(f, "cancelled at {}: none of its jobs has loaded since", time(at))?;
        }
        let shown = &self.results[..self.results.len().min(SHOWN)];
        if !shown.is_empty() {
            writeln!(f, "{}", run::table(shown).trim_fmt())?;
        }
        if self.results.len() > SHOWN {
            writeln!(f, "and {} more, with --json", count(self.results.len() - SHOWN, "job"))?;
        }
        Ok(())
    }
}

/// Looks up what is asked for.
pub(crate) async fn run(args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    if args.watch {
        return watch::run(settings, json).await;
    }
    let pool = db::connect(settings).await?;
    let failed = CommandError::postgres(settings);
    let Some(id) = args.id else {
        output::print(json, &overview(&pool).await.map_err(failed)?)?;
        return Ok(ExitStatus::Done);
    };
    if let Some(run) = runs(&pool, Some(id), None, None, 1).await.map_err(failed)?.pop() {
        output::print(json, &run)?;
        return Ok(ExitStatus::Done);
    }
    if let Some(page) = batch(&pool, id).await.map_err(failed)? {
        output::print(json, &page)?;
        return Ok(ExitStatus::Done);
    }
    Err(CommandError::Unknown(format!(
        "no worker has seen a job or batch {id}; if it was published just now, it waits in the queue"
    )))
}

async fn overview(pool: &Pool) -> Result<Overview, PostgresError> {
    // One more than is told, to know that there are more.
    let jobs = db::query(pool, "count the jobs", COUNTS, &[&(COUNTED + 1)]).await?;
    let jobs: BTreeMap<String, i64> = jobs.iter().map(|row| (row.get("status"), row.get("jobs"))).collect();
    let more = jobs.iter().filter(|(_, number)| **number > COUNTED).map(|(status, _)| status.clone());
    let newest = db::query(pool, "find the newest batches", NEWEST_BATCHES, &[&LOOKED_AT, &NEWEST]).await?;
    let looked_at = newest.first().map_or(0, |row| row.get::<_, i64>("looked_at"));
    let ids: Vec<Uuid> = newest.iter().map(|row| row.get("batch_id")).collect();
    let batches = db::query(pool, "list the batches", BATCHES, &[&ids]).await?;
    Ok(Overview {
        more_than_counted: more.collect(),
        jobs: jobs.into_iter().map(|(status, number)| (status, number.min(COUNTED))).collect(),
        batches_are_of_newest_jobs: looked_at == LOOKED_AT && (ids.len() as i64) < NEWEST,
        batches: batches.iter().map(Batch::from).collect(),
        active: runs(pool, None, None, Some(&["running", "retrying"]), 1000).await?,
        recent: runs(pool, None, None, Some(&["success", "failed", "skipped", "superseded", "cancelled"]), RECENT)
            .await?,
    })
}

async fn batch(pool: &Pool, id: Uuid) -> Result<Option<BatchPage>, PostgresError> {
    let rows = db::query(pool, "find the batch", BATCHES, &[&[id].as_slice()]).await?;
    let batch = match rows.first() {
        Some(row) => Batch::from(row),
        None => match db::query(pool, "find the batch", CANCELLED, &[&id]).await?.first() {
            Some(row) => Batch::unseen(id, row.get(0)),
            None => return Ok(None),
        },
    };
    Ok(Some(BatchPage { batch, results: runs(pool, None, Some(id), None, 100_000).await? }))
}

/// Runs of a job, of a batch, or the newest of some statuses.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn runs(
    pool: &Pool,
    job: Option<Uuid>,
    batch: Option<Uuid>,
    statuses: Option<&[&str]>,
    limit: i64,
) -> Result<Vec<Run>, PostgresError> {
    let rows = db::query(pool, "list the runs", RUNS, &[&job, &batch, &statuses, &limit]).await?;
    Ok(rows.iter().map(Run::from).collect())
}
