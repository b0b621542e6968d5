//! What would happen, in rows and in money.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    message::dry_run::{DryRun, Effect, Would},
    printable::line,
};
use uuid::Uuid;

use crate::{
    errors::ExitStatus,
    output::{self, count, or_dash, shortened},
};

/// Jobs that people are shown one by one; programs get all.
const SHOWN: usize = 20;

/// What the file is to the one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileNow {
    /// It has the same bytes.
    Same,
    /// It has others.
    Corrected,
    /// It is not there.
    Gone,
    /// One of both was not read.
    Unknown,
}

/// A job that was tried.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tried {
    pub(crate) job_id: Option<Uuid>,
    pub(crate) entity: Option<String>,
    pub(crate) period: Option<String>,
    pub(crate) file: Option<String>,
    /// What it had died of, if it is a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// What the file is to the one that failed, if it is a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_now: Option<FileNow>,
    pub(crate) would: Would,
    /// Why it would fail or cannot be told, in words.
    pub(crate) why: Option<String>,
    /// How many other jobs of the same slice were tried: each of them against the ledger as it is now.
    pub(crate) others_of_slice: usize,
    /// All that the worker told.
    pub(crate) told: Option<DryRun>,
}

/// What would happen.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DryRunReport")]
pub(crate) struct Report {
    /// Always true: nothing was changed.
    pub(crate) dry_run: bool,
    /// How many jobs would end how.
    pub(crate) would: BTreeMap<&'static str, usize>,
    pub(crate) jobs: Vec<Tried>,
    /// Identities that were asked for and that no letter has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<Uuid>,
}

impl Tried {
    /// Takes what a worker told, or that none did.
    pub(crate) fn told(mut self, told: Option<DryRun>, died_with: Option<&str>) -> Self {
        let Some(told) = told else {
            self.why = Some("no worker answered in time; are they busy, or did one end?".to_owned());
            return self;
        };
        self.would = told.would;
        self.why = told.error.as_ref().map(ToString::to_string).or_else(|| told.reason.clone());
        if self.code.is_some() {
            let is_gone = told.error.as_ref().is_some_and(|error| error.code.as_str() == "file_not_found");
            self.file_now = Some(match (died_with, told.fingerprint.as_deref()) {
                _ if is_gone => FileNow::Gone,
                (Some(then), Some(now)) if then == now => FileNow::Same,
                (Some(_), Some(_)) => FileNow::Corrected,
                _ => FileNow::Unknown,
            });
        }
        self.told = Some(told);
        self
    }
}

impl Report {
    pub(crate) fn new(mut jobs: Vec<Tried>, missing: Vec<Uuid>) -> Self {
        let mut slices: HashMap<_, usize> = HashMap::new();
        for job in &jobs {
            *slices.entry((job.entity.clone(), job.period.clone())).or_default() += 1;
        }
        let mut would = BTreeMap::new();
        for job in &mut jobs {
            *would.entry(job.would.as_str()).or_default() += 1;
            job.others_of_slice = slices.get(&(job.entity.clone(), job.period.clone())).map_or(0, |number| number - 1);
        }
        Self { dry_run: true, would, jobs, missing }
    }

    /// The exit code that this deserves: 1 if a job would fail, 3 if that could not be told of one.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        let any = |would: Would| self.jobs.iter().any(|job| job.would == would);
        if any(Would::Unknown) {
            ExitStatus::Undone
        } else if any(Would::Fail) || !self.missing.is_empty() {
            ExitStatus::Failed
        } else {
            ExitStatus::Done
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would: Vec<String> = self.would.iter().map(|(would, number)| format!("{number} {would}")).collect();
        writeln!(f, "dry run, nothing was changed: {} would {}", count(self.jobs.len(), "job"), would.join(", "))?;
        for job in self.jobs.iter().take(SHOWN) {
            write!(f, "\n{job}")?;
        }
        if self.jobs.len() > SHOWN {
            writeln!(f, "\nand {}, with --json", count(self.jobs.len() - SHOWN, "more job"))?;
        }
        self.missing.iter().try_for_each(|id| writeln!(f, "no letter of job {id} is written down"))
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entity, period) = (or_dash(self.entity.as_ref()), or_dash(self.period.as_ref()));
        let file = match self.file_now {
            Some(FileNow::Same) => ", the file is the same",
            Some(FileNow::Corrected) => ", the file is another",
            Some(FileNow::Gone) => ", the file is not there",
            Some(FileNow::Unknown) | None => "",
        };
        writeln!(f, "{entity} {period}: would {}{file} (job {})", self.would.as_str(), or_dash(self.job_id))?;
        if let Some(why) = &self.why {
            writeln!(f, "    {}", shortened(why, 500))?;
        }
        if self.others_of_slice > 0 {
            let others = count(self.others_of_slice, "other job");
            writeln!(f, "    {others} of this slice: each was tried against the ledger as it is now")?;
        }
        match self.told.as_ref().and_then(|told| told.effect.as_ref()) {
            Some(effect) => write_effect(f, effect),
            None => Ok(()),
        }
    }
}

fn write_effect(f: &mut fmt::Formatter<'_>, effect: &Effect) -> fmt::Result {
    let Effect { inserted, updated, deleted, unchanged, absent, failed, slice_rows, slice_sum, net_movement, largest } =
        effect;
    writeln!(
        f,
        "    {inserted} new, {updated} changed, {deleted} gone, {unchanged} unchanged, {absent} left standing, {failed} \
         put aside"
    )?;
    writeln!(f, "    net movement {net_movement}; the slice would have {slice_rows} accounts, sum {slice_sum}")?;
    if largest.is_empty() {
        return Ok(());
    }
    let mut table = output::table(["account", "name", "change", "from", "to", "movement"]);
    table.indent(4);
    table.spare(&[2, 5]);
    for one in largest {
        table.add_row([
            one.account_code.clone(),
            or_dash(one.account_name.as_ref().map(|name| shortened(name, 30))),
            one.change.clone(),
            or_dash(one.old_balance.as_ref()),
            or_dash(one.new_balance.as_ref()),
            one.movement.clone(),
        ]);
    }
    table.trim_fmt().lines().try_for_each(|row| writeln!(f, "    {}", line(row)))
}
