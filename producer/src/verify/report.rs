//! What `verify` answers.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    finding::{CHAIN, Code, Finding},
    slice::Checked,
};
use crate::{
    errors::ExitStatus,
    output::{self, count, shortened},
};

/// Findings that people are shown; programs get all.
const SHOWN: usize = 100;

/// What has been committed and not yet delivered.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct OnTheWay {
    pub(crate) audit_events: i64,
    pub(crate) metadata: i64,
    pub(crate) parquet_files: i64,
    /// How long the oldest of it has waited.
    pub(crate) oldest_seconds: Option<i64>,
}

/// What `verify` answers.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Verification")]
pub(crate) struct Report {
    pub(crate) checked: Checked,
    pub(crate) findings: Vec<Finding>,
    pub(crate) on_the_way: OnTheWay,
    /// What could not be looked at, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unseen: Option<String>,
}

impl Report {
    pub(crate) fn exit_status(&self) -> ExitStatus {
        match (self.findings.is_empty(), &self.unseen) {
            (true, None) => ExitStatus::Done,
            (true, Some(_)) => ExitStatus::Undone,
            (false, _) => ExitStatus::Failed,
        }
    }

    /// What was looked at, and what is on its way, in a line each.
    pub(crate) fn looked_at(&self) -> Vec<String> {
        let Checked { slices, rows, runs, audit_events, metadata, parquet_files, dead_letters } = &self.checked;
        let mut lines = vec![format!(
            "checked {slices} slices: {rows} rows, {runs} runs, {audit_events} audit events, {metadata} metadata, \
             {parquet_files} Parquet files, {dead_letters} dead letters"
        )];
        let way = &self.on_the_way;
        if let Some(seconds) = way.oldest_seconds {
            let is_overdue = |finding: &Finding| matches!(finding.code, Code::CacheOverdue | Code::OutboxOverdue);
            let told = if self.findings.iter().any(is_overdue) { "on the way" } else { "on the way, no finding" };
            lines.push(format!(
                "{told}: {} audit events, {} metadata, {} Parquet files, the oldest for {seconds} s",
                way.audit_events, way.metadata, way.parquet_files
            ));
        }
        lines
    }

    /// Whether no audit event was changed, removed, added or reordered; none if that was not seen.
    pub(crate) fn chain_is_whole(&self) -> Option<bool> {
        let is_of_chain = |finding: &Finding| CHAIN.contains(&finding.code);
        self.unseen.is_none().then(|| !self.findings.iter().any(is_of_chain))
    }

    /// What it means that there is no finding.
    pub(crate) fn nothing_found(&self) -> &'static str {
        match self.unseen {
            Some(_) => "nothing found in what was looked at",
            None => "nothing found: the three stores agree",
        }
    }

    fn write_findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = output::table(["finding", "entity", "period", "what", "repair"]);
        for finding in self.findings.iter().take(SHOWN) {
            let job = finding.job_id.map(|job_id| format!(" (job {job_id})")).unwrap_or_default();
            table.add_row([
                finding.code.to_string(),
                finding.name.entity.clone(),
                finding.name.period.clone(),
                format!("{}{job}", shortened(&finding.detail, 400)),
                finding.repair.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        writeln!(f, "{}", table.trim_fmt())?;
        if self.findings.len() > SHOWN {
            writeln!(f, "and {} more, with --json", self.findings.len() - SHOWN)?;
        }
        let remedies: BTreeMap<Code, &str> =
            self.findings.iter().map(|finding| (finding.code, finding.remedy)).collect();
        writeln!(f, "\nwhat to do")?;
        remedies.iter().try_for_each(|(code, remedy)| writeln!(f, "  {code}: {remedy}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.looked_at().iter().try_for_each(|line| writeln!(f, "{line}"))?;
        if let Some(unseen) = &self.unseen {
            writeln!(f, "{}", shortened(unseen, 1_000))?;
        }
        if self.findings.is_empty() {
            return writeln!(f, "{}", self.nothing_found());
        }
        let repaired = self.findings.iter().filter(|finding| finding.repaired).count();
        writeln!(f, "{}, {repaired} repaired\n", count(self.findings.len(), "finding"))?;
        self.write_findings(f)
    }
}
