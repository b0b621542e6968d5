//! `dead show`: everything that is known of a job's dead letters.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::{message::failure::BadRow, printable::line, settings::Settings};
use uuid::Uuid;

use super::{
    advice::what_to_do,
    reconcile,
    written::{self, Whole},
};
use crate::{
    db,
    errors::{CommandError, ExitStatus},
    output::{self, or_dash, remark, shortened, time},
};

/// Bad rows that people are shown; programs get all that are kept.
const SHOWN: usize = 50;

/// Shows everything that is known of a dead letter: error, attempts, bad rows, headers, body
#[derive(clap::Args)]
#[command(after_help = "Example:\n  aura-producer dead show 01981f6e-0000-7000-8000-000000000000")]
pub(crate) struct Args {
    /// The job's identity
    id: Uuid,
}

/// The newest letter of a job, and what became of the others.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LettersOfJob")]
pub(crate) struct Letters {
    #[serde(flatten)]
    newest: Whole,
    others: Vec<Whole>,
}

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.newest)?;
        for whole in self.others.iter().rev() {
            let (at, round) = (or_dash(whole.listed.failed_at.map(time)), whole.listed.replays);
            writeln!(f, "\nearlier    {at}, round {round}: {}, {}", line(&whole.listed.code), fate(whole))?;
        }
        Ok(())
    }
}

/// What became of a letter.
pub(crate) fn fate(whole: &Whole) -> String {
    let (state, by, reason) = (&whole.listed.state, whole.settled_by.as_deref(), whole.reason.as_deref());
    settled(state, by, whole.settled_at, reason, whole.new_job_id)
}

/// What a letter of this state is: where it lies, or who did what with it.
pub(crate) fn settled(
    state: &str,
    by: Option<&str>,
    at: Option<DateTime<Utc>>,
    reason: Option<&str>,
    new_job_id: Option<Uuid>,
) -> String {
    let by = || format!("by {} at {}", or_dash(by), or_dash(at.map(time)));
    match (state, new_job_id) {
        ("waiting", _) => "waiting in the queue".to_owned(),
        ("replaying" | "discarding", _) => "in hand, or left when a command was cut off: it is in the queue".to_owned(),
        ("replayed", Some(job)) => format!("replaced {} by job {job}", by()),
        ("replayed", None) => format!("replayed {}", by()),
        ("discarded", _) => format!("discarded {}: {}", by(), or_dash(reason)),
        _ => format!("gone from the queue, as verify found {}", by()),
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = &self.listed;
        writeln!(f, "job        {}", letter.name())?;
        writeln!(f, "batch      {}", or_dash(letter.batch_id))?;
        writeln!(f, "slice      {} {}", or_dash(letter.entity.as_ref()), or_dash(letter.period.as_ref()))?;
        writeln!(f, "file       {}", or_dash(letter.file.as_ref()))?;
        writeln!(f, "source     {}", or_dash(letter.source.as_ref()))?;
        if let Some(fingerprint) = &letter.fingerprint {
            writeln!(f, "sha256     {}", line(fingerprint))?;
        }
        writeln!(f, "failed     {} by {}", or_dash(letter.failed_at.map(time)), or_dash(letter.worker.as_ref()))?;
        writeln!(f, "attempts   {}, replays {}", letter.attempts, letter.replays)?;
        for tried in self.tries.iter().flat_map(|tries| tries.as_array().into_iter().flatten()) {
            let text = |name: &str| tried.get(name).and_then(Value::as_str).map(line).unwrap_or_default().into_owned();
            let attempt = tried.get("attempt").and_then(Value::as_u64).unwrap_or_default();
            writeln!(f, "  {attempt}        {} {} by {}", text("at"), text("code"), text("worker"))?;
        }
        writeln!(
            f,
            "error      {} in {}, group {}",
            line(&letter.code),
            or_dash(letter.stage.as_ref()),
            letter.group_id
        )?;
        for part in letter.message.iter().flat_map(|message| message.lines()) {
            writeln!(f, "           {}", line(part))?;
        }
        let rows: Vec<BadRow> =
            self.bad_rows.clone().and_then(|rows| serde_json::from_value(rows).ok()).unwrap_or_default();
        for row in rows.iter().take(SHOWN) {
            writeln!(f, "           {}", shortened(&row.with_text(), 300))?;
        }
        let more = usize::try_from(letter.bad_rows_total).unwrap_or_default().saturating_sub(rows.len().min(SHOWN));
        if more > 0 && !rows.is_empty() {
            writeln!(f, "           and {more} more; the first 1,000 are in --json")?;
        }
        writeln!(f, "do         {}", what_to_do(&letter.code))?;
        writeln!(f, "state      {}", fate(self))?;
        if letter.copies > 1 {
            writeln!(f, "copies     {}", letter.copies)?;
        }
        if let Some(at) = letter.newer_export_at {
            writeln!(f, "slice      has seen an export of {}: replayed, this one ends as superseded", time(at))?;
        }
        if let Some(left_out) = &letter.malformed {
            writeln!(f, "left out   {}", shortened(left_out, 1_000))?;
        }
        writeln!(f, "properties {}", self.properties)?;
        writeln!(f, "headers")?;
        for (name, value) in self.headers.as_object().into_iter().flatten() {
            let name = line(name);
            match value.as_str() {
                Some(text) => writeln!(f, "  {name}: {}", shortened(text, 4096))?,
                None => writeln!(f, "  {name}: {value}")?,
            }
        }
        if let Some(bytes) = letter.withheld {
            return writeln!(f, "body       {bytes} bytes, too large to be read");
        }
        writeln!(f, "body")?;
        match self.body.as_str() {
            Some(text) => writeln!(f, "{text}"),
            None => writeln!(f, "{:#}", self.body),
        }
    }
}

/// Shows the letters of a job.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let pool = db::connect(settings).await?;
    let look = async || written::of_job(&pool, args.id).await.map_err(CommandError::postgres(settings));
    let mut letters = look().await?;
    if letters.is_empty() {
        let compared = reconcile::compare(&pool, settings).await?;
        if let Some(text) = compared.remark() {
            remark(&text);
        }
        letters = look().await?;
        if letters.is_empty() {
            return Err(CommandError::Unknown(format!("{} has held no letter of job {}", compared.queue, args.id)));
        }
    }
    newest_last(&mut letters);
    let Some(newest) = letters.pop() else { return Ok(ExitStatus::Done) };
    output::print(json, &Letters { newest, others: letters })?;
    Ok(ExitStatus::Done)
}

/// Puts the letters of a job into their order; one that waits comes before what became of others.
pub(crate) fn newest_last(letters: &mut [Whole]) {
    letters.sort_by_key(|whole| (is_open(whole), whole.listed.replays, whole.listed.place));
}

/// Whether the letter is in the queue.
pub(crate) fn is_open(whole: &Whole) -> bool {
    matches!(whole.listed.state.as_str(), "waiting" | "replaying" | "discarding")
}
