//! `dead discard`: gives dead jobs up, on the record.

use chrono::Utc;
use deadpool_postgres::Pool;
use shared::{
    message::event::EventType,
    settings::Settings,
    stores::{outbox, postgres::PostgresError},
};
use uuid::Uuid;

use super::{
    filter::Filter,
    letter::merge,
    queue::{self, Dead},
    settled::{Left, Report, Settled},
};
use crate::{
    actor_event, db,
    errors::{CommandError, ExitStatus},
    output,
};

/// Gives dead jobs up
///
/// Who did so, and why, goes to the audit trail before the letter goes.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer dead discard 01981f6e-0000-7000-8000-000000000000 --reason 'sent twice by the ERP'
  aura-producer dead discard --code slice_not_found --older-than 30d --reason 'entity was sold'")]
pub(crate) struct Args {
    /// Jobs, by identity
    jobs: Vec<Uuid>,
    #[command(flatten)]
    filter: Filter,
    /// Every letter there is
    #[arg(long)]
    all: bool,
    /// Why, for the audit trail
    #[arg(long)]
    reason: String,
}

/// Discards what is selected.
pub(crate) async fn run(mut args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    args.filter.ids.append(&mut args.jobs);
    args.filter.or_all(args.all)?;
    if args.reason.trim().is_empty() {
        return Err(CommandError::Input("--reason is empty".to_owned()));
    }
    let pool = db::connect(settings).await?;
    let now = Utc::now();
    let mut held = queue::hold(settings, |letter| args.filter.selects(letter, now)).await?;
    args.filter.check_code(&held.codes)?;
    let mut report = Report::new("discarded", &held);
    report.missing = args.filter.missing(held.letters.iter().map(|dead| &dead.letter));
    let mut jobs = merge(std::mem::take(&mut held.letters), |dead| &dead.letter).into_iter();
    for copies in jobs.by_ref() {
        match discard(&pool, &copies, &args.reason, settings).await {
            Ok(settled) => report.jobs.extend(settled),
            Err(error) => {
                let job = copies.first().map(|dead| dead.letter.name()).unwrap_or_default();
                report.left.push(Left { job, error: error.line() });
                break;
            }
        }
    }
    report.not_tried = jobs.count();
    held.release().await;
    let exit_status = report.exit_status();
    output::print(json, &report)?;
    Ok(exit_status)
}

async fn discard(
    pool: &Pool,
    copies: &[Dead],
    reason: &str,
    settings: &Settings,
) -> Result<Option<Settled>, CommandError> {
    let Some(Dead { letter, .. }) = copies.last() else { return Ok(None) };
    let event = letter.event(EventType::Discarded, settings).with("reason", reason);
    let once = letter.once(EventType::Discarded, letter.replays);
    let record = async {
        let client = pool.get().await?;
        outbox::record_once(&client, &[(&event, Some(&once))]).await
    };
    record.await.map_err(|error: PostgresError| CommandError::postgres(settings)(error))?;
    for dead in copies {
        dead.take_out().await.map_err(CommandError::broker(settings))?;
    }
    actor_event::note(&event);
    Ok(Some(Settled::new(copies, letter)))
}
