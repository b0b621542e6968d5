//! What `prune` answers.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use shared::printable::line;

use super::{Order, slice::Gone};
use crate::{
    errors::ExitStatus,
    output::{self, time},
};

/// A slice that could not be looked at.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PruneLeft")]
pub(super) struct Left {
    pub(super) entity: String,
    pub(super) period: String,
    pub(super) why: String,
}

/// What goes of an entity, or went.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "PruneOfEntity")]
struct OfEntity {
    slices: i64,
    runs: i64,
    changes: i64,
    rejected_rows: i64,
}

/// What goes, or went.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pruned")]
pub(crate) struct Report {
    /// Whether it was taken away; otherwise it would be.
    applied: bool,
    /// What was over before this moment goes.
    before: DateTime<Utc>,
    letters_before: DateTime<Utc>,
    /// Slices of which something goes.
    pub(super) slices: i64,
    /// Runs, by status.
    pub(super) runs: BTreeMap<String, i64>,
    /// Changes of the log.
    pub(super) changes: i64,
    /// What these changes moved in all, a decimal. No balance of the ledger changes.
    pub(super) movement: String,
    pub(super) rejected_rows: i64,
    /// Old runs that stay: the ledger's rows are of them, a dead letter in the queue is, or a state is rebuilt from them.
    kept: i64,
    /// Letters by how they left the queue, refusals and operations.
    pub(super) letters: BTreeMap<String, i64>,
    entities: BTreeMap<String, OfEntity>,
    /// Slices that could not be looked at.
    pub(super) left: Vec<Left>,
}

/// Entities that people are shown; programs get all.
const SHOWN: usize = 30;

impl Report {
    pub(super) fn new(order: &Order<'_>) -> Self {
        Self {
            applied: order.apply,
            before: order.before,
            letters_before: order.letters_before,
            slices: 0,
            runs: BTreeMap::new(),
            changes: 0,
            movement: "0".to_owned(),
            rejected_rows: 0,
            kept: 0,
            letters: BTreeMap::new(),
            entities: BTreeMap::new(),
            left: Vec::new(),
        }
    }

    /// Adds what goes of a slice.
    pub(super) fn add(&mut self, entity: String, gone: Gone) {
        self.kept += gone.kept;
        if gone.runs.is_empty() {
            return;
        }
        let of_entity = self.entities.entry(entity).or_default();
        for (status, runs) in gone.runs {
            *self.runs.entry(status).or_default() += runs;
            of_entity.runs += runs;
        }
        self.slices += 1;
        of_entity.slices += 1;
        self.changes += gone.changes;
        of_entity.changes += gone.changes;
        self.rejected_rows += gone.rejected_rows;
        of_entity.rejected_rows += gone.rejected_rows;
    }

    pub(super) fn exit_status(&self) -> ExitStatus {
        if self.left.is_empty() { ExitStatus::Done } else { ExitStatus::Undone }
    }

    fn write_entities(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = output::table(["entity", "slices", "runs", "changes", "rejected rows"]);
        for (entity, of) in self.entities.iter().take(SHOWN) {
            table.add_row([
                line(entity).into_owned(),
                of.slices.to_string(),
                of.runs.to_string(),
                of.changes.to_string(),
                of.rejected_rows.to_string(),
            ]);
        }
        writeln!(f, "{}", table.trim_fmt())?;
        match self.entities.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "and {more} more: --json"),
        }
    }
}

fn listed(counts: &BTreeMap<String, i64>) -> String {
    counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let goes = if self.applied { "went" } else { "would go" };
        if self.runs.is_empty() {
            writeln!(f, "no run of before {} {goes}", time(self.before))?;
        } else {
            let runs: i64 = self.runs.values().sum();
            writeln!(f, "of before {}, {goes}:", time(self.before))?;
            writeln!(f, "  {runs} runs of {} slices ({})", self.slices, listed(&self.runs))?;
            writeln!(f, "  {} changes, which moved {} in all", self.changes, self.movement)?;
            writeln!(f, "  {} rejected rows", self.rejected_rows)?;
        }
        if self.kept > 0 {
            writeln!(f, "  ({} older runs stay: the ledger, a dead letter or a later state needs them)", self.kept)?;
        }
        if !self.letters.is_empty() {
            writeln!(f, "of before {}, {goes}: {}", time(self.letters_before), listed(&self.letters))?;
        }
        if !self.entities.is_empty() {
            writeln!(f)?;
            self.write_entities(f)?;
        }
        for left in &self.left {
            writeln!(f, "left alone: {} {}: {}", line(&left.entity), line(&left.period), left.why)?;
        }
        if self.applied {
            writeln!(f, "\nno balance was changed; the audit trail says what went")
        } else if self.runs.is_empty() && self.letters.is_empty() {
            Ok(())
        } else {
            writeln!(
                f,
                "\nnothing was changed. Archive the years first, since how a slice stood before then cannot be asked \
                 afterwards; then: --apply"
            )
        }
    }
}
