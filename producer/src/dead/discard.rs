//! `dead discard`: gives dead jobs up, on the record.

use chrono::Utc;
use deadpool_postgres::Pool;
use shared::{
    message::{event::EventType, letter::merge},
    settings::Settings,
};
use uuid::Uuid;

use super::{
    filter::Filter,
    operation::{Operation, Progress, Wanted},
    queue::{self, Dead},
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
    let mut held = queue::hold(settings, |letter| args.filter.selects(letter, now)).await?;
    let mut report = Report::new("discarded", &held);
    report.missing = args.filter.missing(held.letters.iter().map(|dead| &dead.letter));
    let mut jobs = merge(std::mem::take(&mut held.letters), |dead| &dead.letter);
    let discarding = async {
        args.filter.check_code(&held.codes)?;
        let (words, reason) = (args.filter.words(), Some(args.reason.as_str()));
        let operation =
            Operation::begin(&pool, id, "discard", &settings.actor, &words, reason).await.map_err(failed)?;
        report.operation_id = Some(operation.id);
        let mut progress = Progress { total: jobs.len(), ..Progress::default() };
        while !jobs.is_empty() && report.left.is_empty() {
            match operation.beat(progress, None).await.map_err(failed)? {
                Wanted::Cancel => {
                    report.cancelled = true;
                    break;
                }
                Wanted::Pause => tokio::time::sleep(std::time::Duration::from_millis(250)).await,
                Wanted::Run => {
                    let chunk: Vec<_> = jobs.drain(..CHUNK.min(jobs.len())).collect();
                    discard_chunk(&pool, &operation, &chunk, &args.reason, settings, &mut report).await;
                    progress.done = report.jobs.len();
                }
            }
        }
        report.not_tried += jobs.len();
        let state = match (report.cancelled, report.left.is_empty()) {
            (true, _) => "cancelled",
            (false, true) => "done",
            (false, false) => "failed",
        };
        operation.end(state, progress, None).await.map_err(failed)
    };
    let discarded = discarding.await;
    held.release().await;
    discarded.map(|()| report)
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
