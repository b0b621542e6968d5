//! `dead list`: the dead letters by cause, and one by one.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{printable::line, settings::Settings};

use super::{
    filter::Filter,
    reconcile::{self, Compared},
    written::{self, Group, Listed},
};
use crate::{
    db,
    errors::{CommandError, ExitStatus},
    output::{self, age, count, or_dash, remark, shortened},
};

/// Letters that people are shown unless they say how many.
const SHOWN: i64 = 20;
/// Groups that people are shown; programs get all.
const GROUPS: usize = 20;

/// Lists the dead letters, grouped by cause
///
/// It reads what is written down in PostgreSQL, and leaves the queue alone unless RabbitMQ counts more letters than
/// are written down: those are written down first.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer dead list
  aura-producer dead list --group 3f09c1d2a4b6 --limit 100
  aura-producer dead list --code row_invalid --period 2022-06 --newer-than 2h --json")]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Letters listed at most: 20, or with --json all, unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    limit: Option<i64>,
    /// Only letters behind this place: where the list before ended
    #[arg(long, value_name = "PLACE", default_value_t = 0, hide_default_value = true)]
    after: i64,
}

/// A dead job in a list, and how long ago it died.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AgedLetter")]
pub(crate) struct Aged {
    #[serde(flatten)]
    letter: Listed,
    age_seconds: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LetterList")]
pub(crate) struct List {
    queue: String,
    /// Letters in the queue, whether listed or not: as many as RabbitMQ counts, or are written down if that is more.
    letters: usize,
    /// Letters that RabbitMQ counts: those that nobody has in hand.
    counted: usize,
    /// Letters that are written down.
    seen: i64,
    /// Letters that were only in the queue until now.
    found: u64,
    /// Whether there are letters behind the last one listed.
    truncated: bool,
    groups: Vec<Group>,
    jobs: Vec<Aged>,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl List {
    fn new(compared: &Compared, groups: Vec<Group>, jobs: Vec<Listed>, truncated: bool, now: DateTime<Utc>) -> Self {
        let aged = |letter: Listed| Aged { age_seconds: letter.failed_at.map(|at| (now - at).num_seconds()), letter };
        Self {
            queue: compared.queue.clone(),
            letters: compared.messages.max(usize::try_from(compared.open.messages).unwrap_or_default()),
            counted: compared.messages,
            seen: compared.open.messages,
            found: compared.found,
            truncated,
            groups,
            jobs: jobs.into_iter().map(aged).collect(),
            now,
        }
    }

    fn write_groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in self.groups.iter().take(GROUPS) {
            let stage = group.stage.as_ref().map(|stage| format!(" in {}", line(stage))).unwrap_or_default();
            let source = group.source.as_ref().map(|source| format!(", source {}", line(source))).unwrap_or_default();
            let jobs = count(usize::try_from(group.jobs).unwrap_or_default(), "job");
            writeln!(f, "\n{}  {}{stage}{source}: {jobs}", group.group_id, line(&group.code))?;
            if group.cause != group.code {
                writeln!(f, "    {}", shortened(&group.cause, 300))?;
            }
            let some: Vec<_> = group.some_entities.iter().map(|entity| line(entity)).collect();
            let more = usize::try_from(group.entities).unwrap_or_default().saturating_sub(some.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let since = |at: Option<DateTime<Utc>>| or_dash(at.map(|at| age(at, self.now)));
            let (oldest, newest, recent) = (since(group.oldest), since(group.newest), group.last_10_minutes);
            writeln!(f, "    oldest {oldest} ago, newest {newest} ago, {recent} in the last 10 minutes")?;
            if !some.is_empty() {
                writeln!(f, "    of {}{more}", some.join(", "))?;
            }
            writeln!(f, "    {}", group.what_to_do)?;
        }
        if self.groups.len() > GROUPS {
            writeln!(f, "\nand {}, with --json", count(self.groups.len() - GROUPS, "further cause"))?;
        }
        Ok(())
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs: i64 = self.groups.iter().map(|group| group.jobs).sum();
        let (jobs, letters) =
            (count(usize::try_from(jobs).unwrap_or_default(), "dead job"), count(self.letters, "letter"));
        let jobs = if self.groups.is_empty() { "no dead job listed".to_owned() } else { jobs };
        writeln!(f, "{jobs}; {} holds {letters}", self.queue)?;
        self.write_groups(f)?;
        if self.jobs.is_empty() {
            return Ok(());
        }
        let mut table = output::table(["age", "entity", "period", "cause", "group", "job"]);
        table.identity(5);
        for Aged { letter, .. } in &self.jobs {
            let note = match letter.state.as_str() {
                "waiting" => "",
                _ => " (in hand)",
            };
            let newer = if letter.newer_export_at.is_some() { " (newer loaded)" } else { "" };
            table.add_row([
                or_dash(letter.failed_at.map(|at| age(at, self.now))),
                or_dash(letter.entity.as_ref()),
                or_dash(letter.period.as_ref()),
                format!("{}{note}{newer}", letter.code),
                letter.group_id.clone(),
                letter.name(),
            ]);
        }
        writeln!(f, "\n{}", table.trim_fmt())?;
        if let (true, Some(last)) = (self.truncated, self.jobs.last()) {
            writeln!(f, "and more: --limit, --after {}, or one group: --group", last.letter.place)?;
        }
        Ok(())
    }
}

/// Lists what is written down.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let now = Utc::now();
    let pool = db::connect(settings).await?;
    let failed = CommandError::postgres(settings);
    let compared = reconcile::compare(&pool, settings).await?;
    args.filter.check_code(&written::codes(&pool).await.map_err(failed)?)?;
    let groups = written::groups(&pool, &args.filter, now).await.map_err(failed)?;
    let limit = args.limit.unwrap_or(if json { i64::MAX - 1 } else { SHOWN });
    let mut jobs = written::letters(&pool, &args.filter, now, args.after, limit + 1).await.map_err(failed)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let truncated = jobs.len() > most;
    jobs.truncate(most);
    if let Some(text) = compared.remark() {
        remark(&text);
    }
    output::print(json, &List::new(&compared, groups, jobs, truncated, now))?;
    Ok(ExitStatus::Done)
}
