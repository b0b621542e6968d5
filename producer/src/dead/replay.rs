//! `dead replay`: sends dead jobs back to work.
//!
//! For each job: the event is recorded, the message published and confirmed, and only then the
//! letter taken out. Whatever fails on the way leaves the letter; replaying it again does no harm.

mod canaries;
mod dry;
mod following;
mod send;

use std::{collections::HashSet, time::Duration};

use chrono::Utc;
use deadpool_postgres::Pool;
use shared::{
    broker::{publisher::Publisher, topology::Topology},
    fingerprint::Fingerprint,
    message::{
        job::SourceName,
        letter::{Letter, merge},
    },
    settings::Settings,
};
use tokio::time::{Interval, MissedTickBehavior, interval};
use uuid::Uuid;

use self::following::Following;
use super::{
    filter::Filter,
    operation::{Operation, Progress, Wanted},
    queue::{self, Dead, Held},
    settled::{Left, Report},
};
use crate::{
    db, dry_run,
    errors::{CommandError, ExitStatus},
    output::{self, remark},
};

/// Jobs that are replayed at a time.
const CHUNK: usize = 200;

/// Sends dead jobs back to work
///
/// Each keeps its identity and order: a job whose slice has seen a newer export meanwhile ends as
/// superseded. `dead operations` shows how far it is, pauses and cancels it.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "Examples:
  aura-producer dead replay --all --canary --rate 5/s --wait
  aura-producer dead replay --as-new --new-source sap-fi --code schema_invalid")]
pub(crate) struct Args {
    /// Jobs, by identity
    pub(crate) jobs: Vec<Uuid>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Every letter there is
    #[arg(long)]
    pub(crate) all: bool,
    /// At most so many a second, or minute: 5/s, 30/m
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<Duration>,
    /// One job of each cause first, the others if it lives
    #[arg(long)]
    pub(crate) canary: bool,
    /// Only tells what each job would do to the books
    #[arg(long, conflicts_with_all = ["rate", "canary", "wait"])]
    pub(crate) dry_run: bool,
    /// Waits for all, and fails if one does
    #[arg(long)]
    pub(crate) wait: bool,
    /// Seconds that canaries get, and --wait
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// As a new job, exported now, in its place
    #[arg(long)]
    pub(crate) as_new: bool,
    /// The corrected file; otherwise each job's own
    #[arg(long, requires = "as_new")]
    pub(crate) file: Option<String>,
    /// Another mapping profile
    #[arg(long, value_name = "SOURCE", requires = "as_new")]
    pub(crate) new_source: Option<SourceName>,
}

/// What replaying needs.
struct Replay<'a> {
    settings: &'a Settings,
    topology: Topology,
    pool: Pool,
    publisher: Publisher,
    operation: Operation,
    args: &'a Args,
}

/// Seconds that jobs get to end unless it is said.
const TIMEOUT: u64 = 300;

/// Replays what is selected, and tells about it.
pub(crate) async fn run(args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    if args.dry_run {
        let report = tried(args, settings, usize::MAX).await?;
        let exit_status = report.exit_status();
        output::print(json, &report)?;
        return Ok(exit_status);
    }
    let report = replay(args, Uuid::now_v7(), settings).await?;
    let exit_status = report.exit_status();
    output::print(json, &report)?;
    Ok(exit_status)
}

/// Has workers try what is selected, and changes nothing. At most so many bad rows are kept of each job.
///
/// # Errors
/// What was asked for is wrong, or a service fails.
pub(crate) async fn tried(
    mut args: Args,
    settings: &Settings,
    bad_rows: usize,
) -> Result<dry_run::report::Report, CommandError> {
    check(&mut args)?;
    dry::dry_run(&args, settings, bad_rows).await
}

/// Makes sure that it is said which letters are meant.
fn check(args: &mut Args) -> Result<(), CommandError> {
    args.filter.ids.append(&mut args.jobs);
    args.filter.or_all(args.all)?;
    match args.file.is_some() && args.filter.ids.len() != 1 {
        true => Err(CommandError::Input("--file takes the identity of exactly one job".to_owned())),
        false => Ok(()),
    }
}

/// Replays what is selected, as the operation of this identity.
///
/// # Errors
/// What was asked for is wrong, or a service fails before anything was done.
pub(crate) async fn replay(mut args: Args, id: Uuid, settings: &Settings) -> Result<Report, CommandError> {
    check(&mut args)?;
    if args.timeout.is_some() && !args.canary && !args.wait {
        return Err(CommandError::Input("--timeout goes with --canary or --wait".to_owned()));
    }
    let pool = db::connect(settings).await?;
    let failed = CommandError::postgres(settings);
    let publisher = Publisher::new(&settings.amqp_url, "aura-producer replay");
    publisher.ensure_connected().await.map_err(CommandError::broker(settings))?;
    let words = args.filter.words();
    let words = if args.as_new { format!("{words}, as new jobs") } else { words };
    let operation = Operation::begin(&pool, id, "replay", &settings.actor, &words, None).await.map_err(failed)?;
    let topology = Topology::new(&settings.namespace);
    let replay = Replay { settings, topology, pool, publisher, operation, args: &args };
    let replayed = replay.all().await;
    replay.publisher.close().await;
    replayed
}

/// What is left of an operation between two times that it has the queue in hand.
struct Standing<'a> {
    done: HashSet<(String, Fingerprint)>,
    held_back: HashSet<String>,
    canaries_are_through: bool,
    following: Option<Following<'a>>,
    pace: Option<Interval>,
    report: Option<Report>,
    total: usize,
}

impl<'a> Standing<'a> {
    fn progress(&self) -> Progress {
        let report = self.report.as_ref();
        let done = report.map_or(0, |report| report.jobs.len() + report.refused.len());
        Progress { total: self.total, done, held_back: report.map_or(0, |report| report.held_back) }
    }
}

/// Why the queue is given back.
enum Pause {
    /// Nothing is left to do.
    Through,
    /// It has been in hand for long enough.
    Stale,
    /// Somebody wants it to wait.
    Wanted,
    /// Somebody wants it to end.
    Cancelled,
    /// Something failed, which the report says.
    Failed,
}

impl<'a> Replay<'a> {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.args.timeout.unwrap_or(TIMEOUT))
    }

    /// Replays chunk by chunk. The queue is taken in hand again before the broker takes it back.
    async fn all(&'a self) -> Result<Report, CommandError> {
        let mut pace = self.args.rate.map(interval);
        if let Some(pace) = &mut pace {
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut standing = Standing {
            done: HashSet::new(),
            held_back: HashSet::new(),
            canaries_are_through: !self.args.canary,
            following: None,
            pace,
            report: None,
            total: 0,
        };
        let mut ended = self.rounds(&mut standing).await;
        if ended.is_ok() && self.args.wait {
            self.wait(&mut standing).await;
        }
        let progress = standing.progress();
        let failed = standing.report.as_ref().is_none_or(|report| !report.left.is_empty());
        let state = match &ended {
            Ok(Pause::Cancelled) => "cancelled",
            Ok(_) if !failed => "done",
            Ok(_) | Err(_) => "failed",
        };
        let note = match (&ended, &standing.report) {
            (Err(error), _) => Some(error.line()),
            (Ok(_), Some(report)) => {
                report.canary.clone().or_else(|| report.left.first().map(|left| left.error.clone()))
            }
            (Ok(_), None) => None,
        };
        if let Err(error) = self.operation.end(state, progress, note.as_deref()).await {
            remark(&format!("the end of the operation is not written down: {error}"));
        }
        if let (Ok(Pause::Cancelled), Some(report)) = (&mut ended, &mut standing.report) {
            report.cancelled = true;
        }
        ended?;
        standing.report.ok_or_else(|| CommandError::Input("nothing was looked at".to_owned()))
    }

    /// Takes the queue in hand as often as it takes.
    async fn rounds(&'a self, standing: &mut Standing<'a>) -> Result<Pause, CommandError> {
        let now = Utc::now();
        loop {
            let selects = |letter: &Letter| {
                !standing.done.contains(&(letter.name(), letter.body_hash))
                    && !standing.held_back.contains(&letter.cause().group_id)
                    && self.args.filter.selects(letter, now)
            };
            let mut held = match (queue::hold(self.settings, selects).await, &mut standing.report) {
                (Ok(held), _) => held,
                (Err(error), None) => return Err(error),
                (Err(error), Some(report)) => {
                    report.left.push(Left { job: "(the others)".to_owned(), error: error.line() });
                    return Ok(Pause::Failed);
                }
            };
            let pause = self.in_hand(&mut held, standing).await;
            held.release().await;
            match pause? {
                Pause::Stale => {}
                Pause::Wanted => {
                    remark(&format!("operation {} is paused", self.operation.id));
                    let wanted = self.operation.until_wanted(standing.progress()).await;
                    if wanted.map_err(CommandError::postgres(self.settings))? == Wanted::Cancel {
                        return Ok(Pause::Cancelled);
                    }
                }
                pause @ (Pause::Through | Pause::Cancelled | Pause::Failed) => return Ok(pause),
            }
        }
    }

    /// Replays what is in hand, as far as it comes.
    async fn in_hand(&'a self, held: &mut Held, standing: &mut Standing<'a>) -> Result<Pause, CommandError> {
        let letters = std::mem::take(&mut held.letters);
        if standing.report.is_none() {
            self.args.filter.check_code(&held.codes)?;
            let mut report = Report::new("replayed", held);
            report.operation_id = Some(self.operation.id);
            report.missing = self.args.filter.missing(letters.iter().map(|dead| &dead.letter));
            standing.report = Some(report);
        }
        let mut jobs = merge(letters, |dead| &dead.letter);
        self.refuse_unread(&mut jobs, standing);
        standing.total = standing.progress().done + jobs.len();
        if self.args.wait && standing.following.is_none() {
            standing.following = Some(self.follow(held, &jobs).await?);
        }
        if jobs.len() > CHUNK || standing.pace.is_some() && jobs.len() > 1 {
            remark(&format!(
                "operation {}: watch, pause or cancel it with: aura-producer dead operations {0} --watch",
                self.operation.id
            ));
        }
        if !standing.canaries_are_through {
            standing.canaries_are_through = true;
            let wanted = self.operation.beat(standing.progress(), Some("waiting for the canaries")).await;
            if wanted.map_err(CommandError::postgres(self.settings))? == Wanted::Cancel {
                if let Some(report) = &mut standing.report {
                    report.not_tried += jobs.len();
                }
                return Ok(Pause::Cancelled);
            }
            self.canaries(held, &mut jobs, standing).await?;
        }
        let size = if standing.pace.is_some() { 1 } else { CHUNK };
        loop {
            let failed = standing.report.as_ref().is_some_and(|report| !report.left.is_empty());
            let wanted = self.operation.beat(standing.progress(), None).await;
            let pause = match wanted.map_err(CommandError::postgres(self.settings))? {
                _ if jobs.is_empty() => Pause::Through,
                _ if failed => Pause::Failed,
                Wanted::Cancel => Pause::Cancelled,
                Wanted::Pause => Pause::Wanted,
                Wanted::Run if held.is_stale() => Pause::Stale,
                Wanted::Run => {
                    if let Some(pace) = &mut standing.pace {
                        pace.tick().await;
                    }
                    let chunk = jobs.drain(..size.min(jobs.len())).collect();
                    self.send(chunk, standing).await?;
                    continue;
                }
            };
            if let (Pause::Failed | Pause::Cancelled, Some(report)) = (&pause, &mut standing.report) {
                report.not_tried += jobs.len();
            }
            return Ok(pause);
        }
    }

    /// Leaves letters aside whose bodies were not read.
    fn refuse_unread(&self, jobs: &mut Vec<Vec<Dead>>, standing: &mut Standing<'_>) {
        jobs.retain(|copies| {
            let Some(Dead { letter, .. }) = copies.last() else { return false };
            let Some(bytes) = letter.withheld else { return true };
            standing.done.insert((letter.name(), letter.body_hash));
            if let Some(report) = &mut standing.report {
                report.refused.push(Left { job: letter.name(), error: too_large(bytes) });
            }
            false
        });
    }
}

/// The shortest pause between two jobs.
const FASTEST: Duration = Duration::from_millis(1);

/// Why a letter whose body was not read cannot be replayed.
fn too_large(bytes: i64) -> String {
    format!(
        "its body of {bytes} bytes is larger than a message may be, and was not read; have it published anew (a \
         message names a file, and does not contain it), and discard it"
    )
}

/// Reads a rate: the pause between two jobs.
pub(crate) fn rate(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let span = match unit {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err("is not a rate such as 5/s or 30/m".to_owned()),
    };
    match number.parse::<u32>() {
        // Faster than this, there is nothing to wait for.
        Ok(number) if number > 0 => Ok((span / number).max(FASTEST)),
        _ => Err("is not a rate such as 5/s or 30/m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_jobs_a_second_or_minute() {
        assert_eq!(rate("5/s").unwrap(), Duration::from_millis(200));
        assert_eq!(rate("30/m").unwrap(), Duration::from_secs(2));
        assert_eq!(rate("4").unwrap(), Duration::from_millis(250));
        assert_eq!(rate("4294967295/s").unwrap(), FASTEST);
        for bad in ["", "0", "0/s", "5/h", "-1/s", "x"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
