//! What a command did with dead jobs, and what it left.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    message::{letter::Letter, receipt::Status},
    printable::line,
};
use uuid::Uuid;

use super::queue::{Dead, Held, Seen};
use crate::{
    errors::ExitStatus,
    output::{self, count, or_dash, shortened},
};

/// Jobs that people are shown; programs get all.
const SHOWN: usize = 50;

/// A dead job that was dealt with.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Settled {
    pub(crate) job_id: Option<Uuid>,
    pub(crate) batch_id: Option<Uuid>,
    entity: Option<String>,
    period: Option<String>,
    file: Option<String>,
    /// What it had died of.
    code: String,
    /// How often it has been replayed, this time included.
    pub(crate) replays: u32,
    /// How many letters it had.
    copies: usize,
    /// The job that takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new_job_id: Option<Uuid>,
}

impl Settled {
    /// What names the job in texts.
    pub(crate) fn name(&self) -> String {
        self.job_id.map_or_else(|| "without an identity".to_owned(), |id| id.to_string())
    }

    pub(crate) fn new(copies: &[Dead], letter: &Letter) -> Self {
        Self {
            job_id: letter.job_id,
            batch_id: letter.batch_id,
            entity: letter.entity.clone(),
            period: letter.period.clone(),
            file: letter.file.clone(),
            code: letter.code.clone(),
            replays: letter.replays,
            copies: copies.len(),
            new_job_id: None,
        }
    }
}

/// A dead job that a command could not deal with.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Left {
    pub(crate) job: String,
    pub(crate) error: String,
}

/// How the job went that was replayed before the others of its cause.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Canary {
    pub(crate) group_id: String,
    pub(crate) job_id: Uuid,
    pub(crate) told: String,
    /// Whether the others were held back for it.
    pub(crate) failed: bool,
}

/// What became of replayed jobs that were waited for.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Outcomes {
    /// How many ended in which status.
    pub(crate) ended: BTreeMap<&'static str, usize>,
    /// How many had not ended in time, or cannot be followed.
    pub(crate) outstanding: usize,
    /// Why some failed again.
    pub(crate) errors: Vec<String>,
}

/// The answer of `replay` and `discard`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SettledReport")]
pub(crate) struct Report {
    queue: String,
    /// Under which `dead operations` knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation_id: Option<Uuid>,
    /// Letters in the queue before, whether meant or not, and how many were looked at.
    #[serde(flatten)]
    pub(crate) seen: Seen,
    /// `replayed` or `discarded`.
    act: &'static str,
    pub(crate) jobs: Vec<Settled>,
    /// What failed; its letters are in the queue still.
    pub(crate) left: Vec<Left>,
    /// What cannot be dealt with as it is; it does not keep the others back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<Left>,
    /// Selected jobs that were not tried after that.
    pub(crate) not_tried: usize,
    /// Identities that were asked for and that no letter has.
    pub(crate) missing: Vec<Uuid>,
    /// How the jobs went that were replayed before the others of their cause, in one text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary: Option<String>,
    /// The same one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) canaries: Vec<Canary>,
    /// Jobs of groups whose canary failed.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) held_back: usize,
    /// Whether somebody cancelled it from another terminal.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) cancelled: bool,
    /// What became of them, if that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcomes: Option<Outcomes>,
    /// Whether a canary failed.
    #[serde(skip)]
    pub(crate) canary_failed: bool,
}

impl Report {
    pub(crate) fn new(act: &'static str, held: &Held) -> Self {
        Self {
            queue: held.queue.clone(),
            operation_id: None,
            seen: held.seen,
            act,
            jobs: Vec::new(),
            left: Vec::new(),
            refused: Vec::new(),
            not_tried: 0,
            missing: Vec::new(),
            canary: None,
            canaries: Vec::new(),
            held_back: 0,
            cancelled: false,
            outcomes: None,
            canary_failed: false,
        }
    }

    /// The exit code that this deserves.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        let failed_again = self
            .outcomes
            .as_ref()
            .is_some_and(|outcomes| outcomes.outstanding > 0 || outcomes.ended.contains_key(Status::Failed.as_str()));
        if !self.left.is_empty() {
            ExitStatus::Undone
        } else if failed_again
            || self.cancelled
            || self.canary_failed
            || !self.refused.is_empty()
            || !self.missing.is_empty()
            || self.seen.is_partial()
        {
            ExitStatus::Failed
        } else {
            ExitStatus::Done
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", count(self.jobs.len(), "job"), self.act)?;
        match self.jobs.is_empty() {
            true => writeln!(f, "; {} holds {}", self.queue, count(self.seen.letters, "letter"))?,
            false => writeln!(f)?,
        }
        if !self.jobs.is_empty() {
            let mut table = output::table(["job", "entity", "period", "had died of", "replays", "file"]);
            table.identity(0);
            table.spare(&[4]);
            for job in self.jobs.iter().take(SHOWN) {
                table.add_row([
                    or_dash(job.job_id),
                    or_dash(job.entity.as_ref()),
                    or_dash(job.period.as_ref()),
                    job.code.clone(),
                    job.replays.to_string(),
                    or_dash(job.file.as_ref().map(|file| shortened(file, 100))),
                ]);
            }
            writeln!(f, "{}", table.trim_fmt())?;
        }
        if self.jobs.len() > SHOWN {
            writeln!(f, "and {} more, with --json", self.jobs.len() - SHOWN)?;
        }
        for job in &self.jobs {
            if let Some(id) = job.new_job_id {
                writeln!(f, "job {id} takes its place; see: aura-producer status {id}")?;
            }
        }
        for canary in &self.canaries {
            let others = if canary.failed { "; the others of its cause stay" } else { "" };
            writeln!(f, "canary of {}: {}{others}", canary.group_id, line(&canary.told))?;
        }
        if let Some(outcomes) = &self.outcomes {
            let mut ended: Vec<String> =
                outcomes.ended.iter().map(|(status, number)| format!("{number} {status}")).collect();
            if outcomes.outstanding > 0 {
                ended.push(format!("{} not ended yet", outcomes.outstanding));
            }
            writeln!(f, "they ended: {}", if ended.is_empty() { "none".to_owned() } else { ended.join(", ") })?;
            for error in outcomes.errors.iter().take(SHOWN) {
                writeln!(f, "{}", line(error))?;
            }
        }
        if self.cancelled {
            writeln!(f, "cancelled from elsewhere")?;
        }
        for Left { job, error } in self.left.iter().chain(&self.refused) {
            writeln!(f, "job {job} stays in {}: {}", self.queue, line(error))?;
        }
        if self.not_tried > 0 {
            writeln!(f, "{} not tried", count(self.not_tried, "further job"))?;
        }
        let warning = self.seen.warning(&self.queue);
        for id in &self.missing {
            match &warning {
                Some(_) => writeln!(f, "no letter of job {id} was seen")?,
                None => {
                    writeln!(f, "{} holds no letter of job {id}; was it replayed or discarded already?", self.queue)?;
                }
            }
        }
        if let Some(warning) = warning {
            writeln!(f, "{warning}")?;
        }
        Ok(())
    }
}

fn is_none(number: &usize) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_a_letter_is_not_said_to_have_none_unless_all_were_seen() {
        let report = |seen| Report {
            queue: "aura.dead".to_owned(),
            operation_id: None,
            seen: Seen { letters: 9, seen },
            act: "replayed",
            jobs: Vec::new(),
            left: Vec::new(),
            refused: Vec::new(),
            not_tried: 0,
            missing: vec![Uuid::nil()],
            canary: None,
            canaries: Vec::new(),
            held_back: 0,
            cancelled: false,
            outcomes: None,
            canary_failed: false,
        };
        assert!(report(9).to_string().contains("aura.dead holds no letter of job"));
        let partial = report(4).to_string();
        assert!(partial.contains("only 4 of 9") && !partial.contains("holds no letter"), "{partial}");
        let nothing_missing = Report { missing: Vec::new(), ..report(4) };
        assert_eq!(nothing_missing.exit_status(), ExitStatus::Failed);
        assert_eq!(Report { missing: Vec::new(), ..report(9) }.exit_status(), ExitStatus::Done);
    }
}
