//! `dead replay`: sends dead jobs back to work.
//!
//! For each job: the event is recorded, the message published and confirmed, and only then the
//! letter taken out. Whatever fails on the way leaves the letter; replaying it again does no harm.

use std::{collections::HashSet, ops::ControlFlow, time::Duration};

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use shared::{
    broker::{publisher::Publisher, topology::Topology},
    message::{event::EventType, receipt::Status},
    settings::Settings,
    stores::{outbox, postgres::PostgresError},
};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::{
    filter::Filter,
    letter::{Letter, merge},
    outgoing::{again, corrected},
    queue::{self, Dead, Held},
    settled::{Left, Report, Settled},
};
use crate::{
    actor_event, db,
    errors::{CommandError, ExitStatus},
    output,
    publish::{
        message::publisher,
        send::{Outcome, send_one},
    },
    receipts::{Ended, Inbox, deadline, ended::EndedRuns},
};

const EARLIER_END: &str = "SELECT finished_at FROM ingestion_runs WHERE job_id = $1";

/// Sends dead jobs back to work
///
/// Each keeps its identity and order: a job whose slice has seen a newer export meanwhile ends as
/// superseded. Its attempts start at 1 again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer dead replay --code file_not_found --newer-than 2h
  aura-producer dead replay --all --canary --rate 5/s
  aura-producer dead replay --as-new --file /data/in/ABEX_corrected.csv 01981f6e-0000-7000-8000-000000000000")]
pub(crate) struct Args {
    /// Jobs, by identity
    jobs: Vec<Uuid>,
    #[command(flatten)]
    filter: Filter,
    /// Every letter there is
    #[arg(long)]
    all: bool,
    /// At most so many a second, or minute: 5/s, 30/m
    #[arg(long, value_parser = rate)]
    rate: Option<Duration>,
    /// Replays one job first, and the others only once that has not failed
    #[arg(long)]
    canary: bool,
    /// Seconds that the canary gets
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "canary")]
    timeout: u64,
    /// Publishes a corrected file as a new job, exported now, in the place of one dead job
    #[arg(long, requires = "file", conflicts_with_all = ["all", "canary"])]
    as_new: bool,
    /// The corrected file
    #[arg(long, requires = "as_new")]
    file: Option<String>,
}

/// What replaying needs.
struct Replay<'a> {
    settings: &'a Settings,
    topology: Topology,
    pool: Pool,
    publisher: Publisher,
    as_new: Option<String>,
}

/// Replays what is selected.
pub(crate) async fn run(mut args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    args.filter.ids.append(&mut args.jobs);
    args.filter.or_all(args.all)?;
    if args.as_new && args.filter.ids.len() != 1 {
        return Err(CommandError::Input("--as-new takes the identity of exactly one job".to_owned()));
    }
    let pool = db::connect(settings).await?;
    let replay = Replay {
        settings,
        topology: Topology::new(&settings.namespace),
        pool,
        publisher: Publisher::new(settings.amqp_url.expose(), "aura-producer replay"),
        as_new: args.file.clone().filter(|_| args.as_new),
    };
    replay.publisher.ensure_connected().await.map_err(CommandError::broker(settings))?;
    let report = replay.all(&args).await?;
    replay.publisher.close().await;
    let exit_status = report.exit_status();
    output::print(json, &report)?;
    Ok(exit_status)
}

impl Replay<'_> {
    /// Replays job by job. The queue is taken in hand again before the broker takes it back.
    async fn all(&self, args: &Args) -> Result<Report, CommandError> {
        let mut pace = args.rate.map(interval);
        if let Some(pace) = &mut pace {
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let now = Utc::now();
        let mut done = HashSet::new();
        let mut report: Option<Report> = None;
        loop {
            let selects = |letter: &Letter| {
                !done.contains(&(letter.name(), letter.body_hash)) && args.filter.selects(letter, now)
            };
            let mut held = match (queue::hold(self.settings, selects).await, &mut report) {
                (Ok(held), _) => held,
                (Err(error), None) => return Err(error),
                (Err(error), Some(report)) => {
                    report.left.push(Left { job: "(the others)".to_owned(), error: error.line() });
                    break;
                }
            };
            if report.is_none() {
                args.filter.check_code(&held.codes)?;
            }
            let letters = std::mem::take(&mut held.letters);
            let report = report.get_or_insert_with(|| {
                let mut report = Report::new("replayed", &held);
                report.missing = args.filter.missing(letters.iter().map(|dead| &dead.letter));
                report
            });
            if held.seen.is_partial() {
                report.seen = held.seen;
            }
            let mut jobs = merge(letters, |dead| &dead.letter).into_iter();
            while !held.is_stale()
                && let Some(copies) = jobs.next()
            {
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                let Some(Dead { letter, .. }) = copies.last() else { continue };
                done.insert((letter.name(), letter.body_hash));
                if let Some(bytes) = letter.withheld {
                    report.refused.push(Left { job: letter.name(), error: too_large(bytes) });
                    continue;
                }
                let canary = args.canary && report.jobs.is_empty();
                let outcome = if canary {
                    self.canary(&held, &copies, Duration::from_secs(args.timeout), report).await
                } else {
                    self.one(&copies).await.map(|settled| report.jobs.push(settled))
                };
                if let Err(error) = outcome {
                    if error.exit_code() == 2 {
                        // It is what was asked for that is wrong, and nothing has been done yet.
                        return Err(error);
                    }
                    report.left.push(Left { job: letter.name(), error: error.line() });
                }
                if !report.left.is_empty() || report.canary_failed {
                    break;
                }
            }
            let (rest, stopped) = (jobs.count(), !report.left.is_empty() || report.canary_failed);
            held.release().await;
            if rest == 0 || stopped {
                report.not_tried = rest;
                break;
            }
        }
        report.ok_or_else(|| CommandError::Input("nothing was looked at".to_owned()))
    }

    /// Replays one job and waits for what becomes of it.
    async fn canary(
        &self,
        held: &Held,
        copies: &[Dead],
        limit: Duration,
        report: &mut Report,
    ) -> Result<(), CommandError> {
        let Some(Dead { letter, .. }) = copies.last() else { return Ok(()) };
        let Some(job) = letter.job_id else {
            return Err(CommandError::Input("it has no job_id to follow; replay it without --canary".to_owned()));
        };
        let inbox = Inbox::of_canary(job, letter.batch_id, self.settings, &self.topology);
        inbox.open(held.connection()).await.map_err(CommandError::broker(self.settings))?;
        let ended_runs = EndedRuns::of_round(letter.replays.saturating_add(1), self.settings);
        let earlier = self.earlier_end(job).await?.max(letter.failed_at);
        report.jobs.push(self.one(copies).await?);
        let mut receipt = None;
        let ended = inbox
            .follow(
                deadline(limit),
                &ended_runs,
                || vec![job],
                |arrived| {
                    // The receipt of an earlier round may be sent again; its failure is what is tried again.
                    let is_old =
                        arrived.status == Status::Failed && earlier.is_some_and(|at| arrived.finished_at <= at);
                    if arrived.job_id != job || is_old {
                        return ControlFlow::Continue(());
                    }
                    receipt = Some(arrived);
                    ControlFlow::Break(())
                },
            )
            .await;
        inbox.close().await;
        let (told, failed) = match (&receipt, ended) {
            (Some(receipt), Ended::Complete) => match &receipt.error {
                Some(error) => (format!("job {job} ended as {}: {error}", receipt.status), true),
                None => (format!("job {job} ended as {}", receipt.status), receipt.status == Status::Failed),
            },
            _ => (format!("job {job} has not ended within {} s", limit.as_secs()), true),
        };
        report.canary = Some(told);
        report.canary_failed = failed;
        Ok(())
    }

    /// When an earlier round of the job ended, as far as PostgreSQL knows.
    async fn earlier_end(&self, job: Uuid) -> Result<Option<DateTime<Utc>>, CommandError> {
        let rows = db::query(&self.pool, "look up when the job ended", EARLIER_END, &[&job]).await;
        let rows = rows.map_err(CommandError::postgres(self.settings))?;
        Ok(rows.first().and_then(|row| row.get("finished_at")))
    }

    /// Records, publishes, takes out.
    async fn one(&self, copies: &[Dead]) -> Result<Settled, CommandError> {
        let Some(dead) = copies.last() else {
            return Err(CommandError::Input("there is no letter".to_owned()));
        };
        let number = dead.letter.replays.saturating_add(1);
        let mut settled = Settled::new(copies, &dead.letter);
        settled.replays = number;
        let mut event = dead.letter.event(EventType::Replayed, self.settings).with("replays", number);
        let message = match &self.as_new {
            None => again(dead, number, &self.topology, &publisher(self.settings)),
            Some(file) => {
                let new = corrected(dead, file, &self.topology, publisher(self.settings))?;
                settled.new_job_id = Some(new.job.job_id);
                event = event.with("as_new", new.job.job_id.to_string()).with("new_file", new.job.file.as_str());
                new.outgoing
            }
        };
        let once = dead.letter.once(EventType::Replayed, number);
        let record = async {
            let client = self.pool.get().await?;
            outbox::record_once(&client, &[(&event, Some(&once))]).await
        };
        record.await.map_err(|error: PostgresError| CommandError::postgres(self.settings)(error))?;
        match send_one(&self.publisher, &message).await {
            Outcome::Confirmed => {}
            Outcome::Uncertain(error) | Outcome::Refused(error) => return Err(CommandError::Undelivered(error)),
            Outcome::NotTried => return Err(CommandError::Undelivered("it was not tried".to_owned())),
        }
        actor_event::note(&event);
        for copy in copies {
            copy.take_out().await.map_err(CommandError::broker(self.settings))?;
        }
        Ok(settled)
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
fn rate(text: &str) -> Result<Duration, String> {
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
