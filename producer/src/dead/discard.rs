//! `dead discard`: gives dead jobs up, on the record.

use chrono::Utc;
use deadpool_postgres::Pool;
use shared::{
    message::{
        event::EventType,
        letter::{Letter, merge},
    },
    settings::Settings,
};
use uuid::Uuid;

use super::{
    filter::Filter,
    operation::{Operation, Progress, Wanted},
    queue::{self, Dead, Held},
    settled::{Left, Report, Settled},
    taking::{self, Act, Named},
};
use crate::{
    actor_event, db,
    errors::{CommandError, ExitStatus},
    output,
};

/// Jobs that are discarded at a time.
const CHUNK: usize = 200;

/// Gives dead jobs up
///
/// Who did so, and why, goes to the audit trail before the letter goes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "Examples:
  aura-producer dead discard 01981f6e-0000-7000-8000-000000000000 --reason 'sent twice by the ERP'
  aura-producer dead discard --code slice_not_found --older-than 30d --reason 'entity was sold'")]
pub(crate) struct Args {
    /// Jobs, by identity
    pub(crate) jobs: Vec<Uuid>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Every letter there is
    #[arg(long)]
    pub(crate) all: bool,
    /// Why, for the audit trail
    #[arg(long)]
    pub(crate) reason: String,
}

/// Discards what is selected, and tells about it.
pub(crate) async fn run(args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let report = discard(args, Uuid::now_v7(), settings).await?;
    let exit_status = report.exit_status();
    output::print(json, &report)?;
    Ok(exit_status)
}

/// Discards what is selected, as the operation of this identity.
///
/// # Errors
/// What was asked for is wrong, or a service fails before anything was done.
pub(crate) async fn discard(mut args: Args, id: Uuid, settings: &Settings) -> Result<Report, CommandError> {
    args.filter.ids.append(&mut args.jobs);
    args.filter.or_all(args.all)?;
    if args.reason.trim().is_empty() {
        return Err(CommandError::Input("--reason is empty".to_owned()));
    }
    let pool = db::connect(settings).await?;
    let failed = CommandError::postgres(settings);
    let now = Utc::now();
    let selects = |letter: &Letter| args.filter.selects(letter, now);
    let mut held = queue::hold(settings, selects).await?;
    let mut report = Report::new("discarded", &held);
    report.missing = args.filter.missing(held.letters.iter().map(|dead| &dead.letter));
    let (words, reason) = (args.filter.words(), Some(args.reason.as_str()));
    let begun = async {
        args.filter.check_code(&held.codes)?;
        Operation::begin(&pool, id, "discard", &settings.actor, &words, reason).await.map_err(failed)
    };
    let operation = match begun.await {
        Ok(operation) => operation,
        Err(error) => {
            held.release().await;
            return Err(error);
        }
    };
    report.operation_id = Some(operation.id);
    let mut done = Done { progress: Progress::default(), report };
    let ended = loop {
        let pause = in_hand(&pool, &operation, &mut held, &args.reason, settings, &mut done).await;
        held.release().await;
        match pause {
            Ok(Pause::Over) => break Ok(()),
            Err(error) => break Err(error),
            Ok(Pause::Wanted | Pause::Stale) => {}
        }
        // What is paused gives everything back, and takes it in hand again once it is resumed.
        match operation.until_wanted(done.progress).await {
            Ok(Wanted::Cancel) => {
                done.report.cancelled = true;
                done.report.not_tried += done.progress.total - done.progress.done;
                break Ok(());
            }
            Ok(Wanted::Run | Wanted::Pause) => {}
            Err(error) => break Err(failed(error)),
        }
        held = match queue::hold(settings, selects).await {
            Ok(held) => held,
            Err(error) => break Err(error),
        };
    };
    let Done { progress, report } = done;
    let (state, note) = match (&ended, report.cancelled, report.left.is_empty()) {
        (Err(error), ..) => ("failed", Some(error.line())),
        (Ok(()), true, _) => ("cancelled", None),
        (Ok(()), false, true) => ("done", None),
        (Ok(()), false, false) => ("failed", report.left.first().map(|left| left.error.clone())),
    };
    let written = operation.end(state, progress, note.as_deref()).await.map_err(failed);
    ended.and(written).map(|()| report)
}

/// What was done so far.
struct Done {
    progress: Progress,
    report: Report,
}

/// Why the queue is given back.
enum Pause {
    /// Nothing is left to do, or somebody wants it to end, or something failed, which the report says.
    Over,
    /// Somebody wants it to wait.
    Wanted,
    /// It has been in hand for so long that the broker will take it back.
    Stale,
}

/// Discards what is in hand, as far as it comes.
async fn in_hand(
    pool: &Pool,
    operation: &Operation,
    held: &mut Held,
    reason: &str,
    settings: &Settings,
    done: &mut Done,
) -> Result<Pause, CommandError> {
    let mut jobs = merge(std::mem::take(&mut held.letters), |dead| &dead.letter);
    done.progress.total = done.progress.done + jobs.len();
    loop {
        match operation.beat(done.progress, None).await.map_err(CommandError::postgres(settings))? {
            _ if jobs.is_empty() || !done.report.left.is_empty() => break,
            Wanted::Cancel => {
                done.report.cancelled = true;
                break;
            }
            Wanted::Pause => return Ok(Pause::Wanted),
            Wanted::Run if held.is_stale() => return Ok(Pause::Stale),
            Wanted::Run => {
                let chunk: Vec<_> = jobs.drain(..CHUNK.min(jobs.len())).collect();
                discard_chunk(pool, operation, &chunk, reason, settings, &mut done.report).await;
                done.progress.done = done.report.jobs.len();
            }
        }
    }
    done.report.not_tried += jobs.len();
    Ok(Pause::Over)
}

/// Records, then takes out; what failed is in the report.
async fn discard_chunk(
    pool: &Pool,
    operation: &Operation,
    chunk: &[Vec<Dead>],
    reason: &str,
    settings: &Settings,
    report: &mut Report,
) {
    let newest = || chunk.iter().filter_map(|copies| Some((copies, &copies.last()?.letter)));
    let events: Vec<Named> = newest()
        .map(|(_, letter)| {
            let event = letter.event(EventType::Discarded, &settings.actor).with("reason", reason);
            (event, letter.once(EventType::Discarded, letter.replays))
        })
        .collect();
    let letters = taking::written(chunk.iter().map(Vec::as_slice));
    let act = Act::Discard(reason);
    if let Err(error) = taking::take(pool, act, operation.id, &letters, &events).await {
        let job = newest().next().map(|(_, letter)| letter.name()).unwrap_or_default();
        report.not_tried += chunk.len().saturating_sub(1);
        report.left.push(Left { job, error: CommandError::postgres(settings)(error).line() });
        return;
    }
    let (mut gone, mut stays) = (Vec::new(), Vec::new());
    for ((copies, letter), (event, _)) in newest().zip(&events) {
        let mut failed = None;
        for dead in copies {
            failed = failed.or(dead.take_out().await.err());
        }
        let ids = copies.iter().map(|dead| dead.letter.id());
        match failed {
            None => {
                gone.extend(ids.map(|id| (id, None)));
                actor_event::note(event);
                report.jobs.push(Settled::new(copies, letter));
            }
            Some(error) => {
                stays.extend(ids);
                let error = CommandError::broker(settings)(error).line();
                report.left.push(Left { job: letter.name(), error });
            }
        }
    }
    let written = async {
        taking::settle(pool, act, &settings.actor, &gone).await?;
        taking::give_back(pool, &stays).await
    };
    if let Err(error) = written.await {
        output::remark(&format!("what became of the letters is not written down ({error}); verify --repair does"));
    }
}
