//! `status`: what PostgreSQL knows of jobs and batches.

pub(crate) mod batch;
pub(crate) mod fate;
pub(crate) mod place;
pub(crate) mod run;
mod watch;

use std::{collections::BTreeMap, fmt};

use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{settings::Settings, stores::postgres::PostgresError};
use uuid::Uuid;

use crate::{
    db,
    errors::{CommandError, ExitStatus},
    history::pruned::Pruned,
    output,
};
use batch::Batch;
use run::Run;

const RUNS: &str = include_str!("status/runs.sql");
const COUNTS: &str = include_str!("status/counts.sql");
/// Jobs of a status that the overview counts; of more it only says that there are more.
const COUNTED: i64 = 100_000;
/// Batches that the overview lists.
const NEWEST: i64 = 20;
/// Jobs that the overview lists.
const RECENT: i64 = 20;

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

/// Jobs by status, the newest batches, and what is under way.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Overview {
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
                format!(" (those of the newest {} jobs)", batch::LOOKED_AT)
            } else {
                String::new()
            };
            writeln!(f, "\nnewest batches{note}")?;
            writeln!(f, "{}", batch::table(&self.batches))?;
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
    if let Some(standing) = batch::look(&pool, id).await.map_err(failed)? {
        let results = runs(&pool, None, Some(id), None, 100_000).await.map_err(failed)?;
        output::print(json, &batch::Page { standing, results })?;
        return Ok(ExitStatus::Done);
    }
    Err(CommandError::Unknown(unseen(&pool, &format!("job or batch {id}")).await.map_err(failed)?))
}

/// What to say of what is not there.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn unseen(pool: &Pool, what: &str) -> Result<String, PostgresError> {
    let or_pruned = match Pruned::any(pool).await? {
        true => ", or retention took it away",
        false => "",
    };
    Ok(format!("no worker has seen a {what}{or_pruned}; if it was published just now, it waits in the queue"))
}

async fn overview(pool: &Pool) -> Result<Overview, PostgresError> {
    // One more than is told, to know that there are more.
    let jobs = db::query(pool, "count the jobs", COUNTS, &[&(COUNTED + 1)]).await?;
    let jobs: BTreeMap<String, i64> = jobs.iter().map(|row| (row.get("status"), row.get("jobs"))).collect();
    let more = jobs.iter().filter(|(_, number)| **number > COUNTED).map(|(status, _)| status.clone());
    let newest = batch::newest(pool, None, NEWEST).await?;
    Ok(Overview {
        more_than_counted: more.collect(),
        jobs: jobs.into_iter().map(|(status, number)| (status, number.min(COUNTED))).collect(),
        batches_are_of_newest_jobs: newest.looked_at == batch::LOOKED_AT && (newest.batches.len() as i64) < NEWEST,
        batches: newest.batches,
        active: runs(pool, None, None, Some(&["running", "retrying"]), 1000).await?,
        recent: runs(pool, None, None, Some(&["success", "failed", "skipped", "superseded", "cancelled"]), RECENT)
            .await?,
    })
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
    let mut runs: Vec<Run> = rows.iter().map(Run::from).collect();
    let unloaded = runs.iter().filter(|run| matches!(run.status.as_str(), "failed" | "cancelled"));
    let unloaded: Vec<Uuid> = unloaded.map(|run| run.job_id).collect();
    if !unloaded.is_empty() {
        let mut fates = fate::of_jobs(pool, &unloaded).await?;
        for run in &mut runs {
            run.fate = fates.remove(&run.job_id);
        }
    }
    Ok(runs)
}
