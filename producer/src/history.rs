//! `history`: what happened to a slice, and what it held at a moment.

pub(crate) mod moment;
pub(crate) mod pruned;
pub(crate) mod report;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use shared::{
    settings::Settings,
    slice::{Entity, Period},
    stores::postgres::PostgresError,
};

use self::{
    moment::Wanted,
    pruned::Pruned,
    report::{Change, Job, Report},
};
use crate::{
    db,
    errors::{CommandError, ExitStatus},
    output,
};

const JOBS: &str = include_str!("history/jobs.sql");
const CHANGES: &str = include_str!("history/changes.sql");
/// Jobs and changes that people are shown, and programs unless they say how many.
const SHOWN: i64 = 20;
const ALL: i64 = 100_000;

/// Tells what happened to a slice: every job, every balance it changed, and what it held at a moment
///
/// The slice as it stood is rebuilt from the log of changes, and checked against the sums that its newest job of that
/// moment left in the run and in the audit trail; exit code 1 if they differ. As SQL:
/// SELECT * FROM gl_accounts_as_of('ABEX', '2022-06', '2022-07-05T18:00:00Z')
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer history --entity ABEX --period 2022-06
  aura-producer history --entity ABEX --period 2022-06 --account 001200
  aura-producer history --entity ABEX --period 2022-06 --as-of 2022-07-05T18:00:00Z --json")]
pub(crate) struct Args {
    /// The legal entity
    #[arg(long)]
    pub(crate) entity: Entity,
    /// The period, YYYY-MM
    #[arg(long)]
    pub(crate) period: Period,
    /// Only this account, of whatever company
    #[arg(long, value_name = "CODE")]
    pub(crate) account: Option<String>,
    /// The moment, an RFC 3339 time with its offset; also lists the accounts
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<DateTime<Utc>>,
    /// Jobs and changes listed at most, the newest: 20, or with --json 100,000, unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=ALL))]
    pub(crate) limit: Option<i64>,
}

/// Looks, and tells.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let limit = args.limit.unwrap_or(if json { ALL } else { SHOWN });
    let report = look(args, settings, limit).await?;
    if report.jobs.is_empty() && report.moment.is_none() && report.pruned.is_none() {
        return Err(CommandError::Unknown(unknown(&args.entity, &args.period)));
    }
    let exit_status = report.exit_status();
    output::print(json, &report)?;
    Ok(exit_status)
}

/// Says that nothing is known of a slice.
pub(crate) fn unknown(entity: &Entity, period: &Period) -> String {
    format!("no worker has seen a job of {entity} {period}; if one was published just now, it waits in the queue")
}

/// What is known of the slice.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn look(args: &Args, settings: &Settings, limit: i64) -> Result<Report, CommandError> {
    let pool = db::connect(settings).await?;
    let failed = CommandError::postgres(settings);
    let slice = (&args.entity, &args.period);
    let pruned = Pruned::of(&pool, slice).await.map_err(failed)?;
    let refusal = pruned.as_ref().zip(args.as_of).and_then(|(pruned, at)| pruned.refusal(slice, at));
    if let Some(refusal) = refusal {
        return Err(CommandError::Unknown(refusal));
    }
    let (jobs, more_jobs) = jobs(&pool, &args.entity, &args.period, limit).await.map_err(failed)?;
    let (changes, more_changes) = changes(&pool, args, limit).await.map_err(failed)?;
    let moment = match args.as_of {
        Some(at) => {
            let wanted = Wanted { account: args.account.as_deref(), ..Wanted::default() };
            Some(moment::at(&pool, settings, slice, at, &wanted).await.map_err(failed)?)
        }
        None => None,
    };
    let (entity, period) = (args.entity.to_string(), args.period.to_string());
    let account = args.account.clone();
    Ok(Report { entity, period, account, pruned, jobs, more_jobs, changes, more_changes, moment })
}

/// The jobs of a slice, the newest export first, and whether there are more.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn jobs(
    pool: &Pool,
    entity: &Entity,
    period: &Period,
    limit: i64,
) -> Result<(Vec<Job>, bool), PostgresError> {
    let (entity, period, more) = (entity.as_str(), period.as_str(), limit + 1);
    let rows = db::query(pool, "list the jobs of a slice", JOBS, &[&entity, &period, &more]).await?;
    Ok(cut(rows.iter().map(Job::from).collect(), limit))
}

async fn changes(pool: &Pool, args: &Args, limit: i64) -> Result<(Vec<Change>, bool), PostgresError> {
    let (entity, period, more) = (args.entity.as_str(), args.period.as_str(), limit + 1);
    let rows = db::query(pool, "list the changes", CHANGES, &[&entity, &period, &args.account, &more]).await?;
    Ok(cut(rows.iter().map(Change::from).collect(), limit))
}

/// At most so many, and whether there are more.
pub(crate) fn cut<T>(mut list: Vec<T>, limit: i64) -> (Vec<T>, bool) {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = list.len() > most;
    list.truncate(most);
    (list, more)
}
