//! `dead operations`: replays and discards under way, watched, paused, resumed and cancelled from anywhere.

use std::{fmt, time::Duration};

use chrono::Utc;
use schemars::JsonSchema;
use serde::Serialize;
use shared::settings::Settings;
use uuid::Uuid;

use super::operation::{self, Seen, Wanted};
use crate::{
    db,
    errors::{CommandError, ExitStatus},
    output::{self, age, remark, shortened, time},
};

/// Operations that are listed.
const LISTED: i64 = 20;
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// Lists replays and discards, and watches, pauses, resumes or cancels one
///
/// What is paused gives the queue back, and takes it in hand again once it is resumed. What is cancelled leaves the
/// letters that it has not dealt with where they are.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer dead operations
  aura-producer dead operations 01981f6e-0000-7000-8000-000000000000 --watch
  aura-producer dead operations 01981f6e-0000-7000-8000-000000000000 --cancel")]
pub(crate) struct Args {
    /// An operation's identity
    id: Option<Uuid>,
    /// Tells how far it is until it ends
    #[arg(long, requires = "id")]
    watch: bool,
    /// Has it wait
    #[arg(long, requires = "id", conflicts_with_all = ["resume", "cancel"])]
    pause: bool,
    /// Has it go on
    #[arg(long, requires = "id", conflicts_with = "cancel")]
    resume: bool,
    /// Ends it
    #[arg(long, requires = "id")]
    cancel: bool,
}

impl Args {
    /// Returns whether nothing is asked of the operation.
    pub(crate) fn only_reads(&self) -> bool {
        !(self.pause || self.resume || self.cancel)
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OperationList")]
pub(crate) struct List {
    operations: Vec<Seen>,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.operations.is_empty() {
            return writeln!(f, "nobody has replayed or discarded anything yet");
        }
        let now = Utc::now();
        let mut table = output::table(["act", "state", "done", "began", "by", "which", "operation"]);
        table.identity(6);
        table.spare(&[4]);
        for seen in &self.operations {
            table.add_row([
                seen.act.clone(),
                output::status(&seen.state),
                format!("{}/{}", seen.done, seen.total),
                format!("{} ago", age(seen.started_at, now)),
                seen.actor.clone(),
                shortened(&seen.selected, 40),
                seen.operation_id.to_string(),
            ]);
        }
        writeln!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} by {}: {}", self.act, self.operation_id, self.actor, self.selected)?;
        let back =
            if self.held_back > 0 { format!(", {} held back by their canary", self.held_back) } else { String::new() };
        writeln!(f, "{}: {} of {} jobs{back}", self.state, self.done, self.total)?;
        if let (Some(by), true) = (&self.wanted_by, self.is_under_way()) {
            writeln!(f, "wanted: {} by {by}", self.wanted)?;
        }
        if let Some(note) = &self.note {
            writeln!(f, "{}", shortened(note, 500))?;
        }
        match self.ended_at {
            Some(at) => writeln!(f, "began {}, ended {}", time(self.started_at), time(at)),
            None => writeln!(f, "began {}, last heard of {}", time(self.started_at), time(self.beat_at)),
        }
    }
}

/// Lists, or does what is asked with one.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let pool = db::connect(settings).await?;
    let failed = CommandError::postgres(settings);
    let Some(id) = args.id else {
        let operations = operation::newest(&pool, LISTED).await.map_err(failed)?;
        output::print(json, &List { operations })?;
        return Ok(ExitStatus::Done);
    };
    let look = async || -> Result<Seen, CommandError> {
        let seen = operation::one(&pool, id).await.map_err(failed)?;
        seen.ok_or_else(|| CommandError::Unknown(format!("there is no operation {id}; dead operations lists them")))
    };
    let mut seen = look().await?;
    let wanted = [(args.pause, Wanted::Pause), (args.resume, Wanted::Run), (args.cancel, Wanted::Cancel)];
    if let Some((_, wanted)) = wanted.into_iter().find(|(is_asked, _)| *is_asked) {
        if !operation::want(&pool, id, wanted, &settings.actor).await.map_err(failed)? {
            return Err(CommandError::Unknown(format!("operation {id} is {} already", seen.state)));
        }
        seen = look().await?;
    }
    while args.watch && seen.is_under_way() {
        remark(&format!("{}: {} of {} jobs", seen.state, seen.done, seen.total));
        tokio::time::sleep(LOOK).await;
        seen = look().await?;
    }
    output::print(json, &seen)?;
    Ok(if seen.state == "failed" || seen.state == "silent" { ExitStatus::Failed } else { ExitStatus::Done })
}
