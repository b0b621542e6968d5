//! `dead list`: what lies in the queue, by cause and by job.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::settings::Settings;

use super::{
    filter::Filter,
    letter::{Letter, merge},
    queue::{self, Dead, Seen},
};
use crate::{
    errors::{CommandError, ExitStatus},
    output::{self, age, count, or_dash, shortened, time},
};

/// Lists the dead letters, grouped by cause
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer dead list
  aura-producer dead list --code row_invalid --period 2022-06 --newer-than 2h --json")]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
}

/// The jobs that died of the same cause.
#[derive(Serialize)]
struct Group {
    code: String,
    jobs: usize,
    oldest: Option<DateTime<Utc>>,
    newest: Option<DateTime<Utc>>,
}

/// A dead job, and how many letters lie there for it.
#[derive(Serialize)]
struct DeadJob {
    #[serde(flatten)]
    letter: Letter,
    copies: usize,
    age_seconds: Option<i64>,
}

#[derive(Serialize)]
struct Listed {
    queue: String,
    /// Letters in the queue, whether listed or not, and how many were looked at.
    #[serde(flatten)]
    seen: Seen,
    /// Whether there are more than could be looked at.
    truncated: bool,
    groups: Vec<Group>,
    jobs: Vec<DeadJob>,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl Listed {
    fn new(queue: String, seen: Seen, letters: Vec<Letter>, now: DateTime<Utc>) -> Self {
        let jobs: Vec<DeadJob> = merge(letters, |letter| letter)
            .into_iter()
            .filter_map(|mut copies| {
                let number = copies.len();
                let letter = copies.pop()?;
                let age_seconds = letter.at().map(|at| (now - at).num_seconds());
                Some(DeadJob { letter, copies: number, age_seconds })
            })
            .collect();
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        for DeadJob { letter, .. } in &jobs {
            let group = groups.entry(&letter.code).or_insert_with(|| Group {
                code: letter.code.clone(),
                jobs: 0,
                oldest: None,
                newest: None,
            });
            group.jobs += 1;
            group.oldest = group.oldest.into_iter().chain(letter.at()).min();
            group.newest = group.newest.into_iter().chain(letter.at()).max();
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by(|a, b| b.jobs.cmp(&a.jobs).then_with(|| a.code.cmp(&b.code)));
        Self { queue, seen, truncated: seen.is_partial(), groups, jobs, now }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (jobs, letters) = (count(self.jobs.len(), "dead job"), count(self.seen.letters, "letter"));
        let jobs = if self.jobs.is_empty() { "no dead job listed".to_owned() } else { jobs };
        writeln!(f, "{jobs}; {} holds {letters}", self.queue)?;
        if let Some(warning) = self.seen.warning(&self.queue) {
            writeln!(f, "{warning}")?;
        }
        if self.jobs.is_empty() {
            return Ok(());
        }
        let mut table = output::table(["cause", "jobs", "oldest", "newest"]);
        for group in &self.groups {
            let (oldest, newest) = (or_dash(group.oldest.map(time)), or_dash(group.newest.map(time)));
            table.add_row([&group.code, &group.jobs.to_string(), &oldest, &newest]);
        }
        writeln!(f, "\n{}\n", table.trim_fmt())?;
        let header = ["job", "entity", "period", "cause", "attempts", "replays", "age", "file", "message"];
        let mut table = output::table(header);
        for DeadJob { letter, .. } in &self.jobs {
            table.add_row([
                letter.name(),
                or_dash(letter.entity.as_ref()),
                or_dash(letter.period.as_ref()),
                letter.code.clone(),
                letter.attempts.to_string(),
                letter.replays.to_string(),
                or_dash(letter.at().map(|at| age(at, self.now))),
                or_dash(letter.file.as_ref().map(|file| shortened(file, 100))),
                or_dash(letter.message.as_ref().map(|message| shortened(message, 120))),
            ]);
        }
        writeln!(f, "{}", table.trim_fmt())
    }
}

/// Lists, and gives everything back.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let now = Utc::now();
    let mut held = queue::hold(settings, |letter| args.filter.selects(letter, now)).await?;
    let letters = std::mem::take(&mut held.letters);
    let (queue, seen) = (held.queue.clone(), held.seen);
    let known = args.filter.check_code(&held.codes);
    held.release().await;
    known?;
    let letters = letters.into_iter().map(|Dead { letter, .. }| letter).collect();
    output::print(json, &Listed::new(queue, seen, letters, now))?;
    Ok(if seen.is_partial() { ExitStatus::Failed } else { ExitStatus::Done })
}

#[cfg(test)]
mod tests {
    use super::{
        super::letter::tests::{letter, now},
        *,
    };

    #[test]
    fn jobs_are_grouped_by_cause_the_most_frequent_first() {
        let letters = vec![
            letter(1, "A", "timeout", 50, 0),
            letter(2, "B", "row_invalid", 40, 0),
            letter(3, "C", "row_invalid", 30, 1),
            letter(3, "C", "row_invalid", 20, 1),
        ];
        let listed = Listed::new("aura.dead".into(), Seen { letters: 4, seen: 4 }, letters, now());
        let groups: Vec<_> = listed.groups.iter().map(|group| (group.code.as_str(), group.jobs)).collect();
        assert_eq!(groups, [("row_invalid", 2), ("timeout", 1)]);
        assert_eq!(listed.jobs[2].copies, 2);
        assert_eq!(listed.jobs[2].age_seconds, Some(20 * 60), "the newest copy's");
        let text = listed.to_string();
        assert!(text.starts_with("3 dead jobs; aura.dead holds 4 letters\n"), "{text}");
        assert!(!listed.truncated);
    }

    #[test]
    fn an_empty_answer_says_if_not_all_letters_were_seen() {
        let listed = Listed::new("aura.dead".into(), Seen { letters: 9, seen: 4 }, Vec::new(), now());
        let text = listed.to_string();
        assert!(listed.truncated && text.contains("only 4 of 9 letters"), "{text}");
    }
}
