//! The summary of a batch, from its receipts.

use std::{cell::RefCell, collections::HashMap, fmt, ops::ControlFlow, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;
use shared::message::receipt::{Receipt, Status};
use uuid::Uuid;

use crate::{
    errors::ExitStatus,
    output::{self, count, or_dash, shortened},
    receipts::{Ended, Inbox, deadline, ended::EndedRuns},
};

/// Failures, warnings and outstanding jobs that people are shown, each; programs get all.
const SHOWN: usize = 20;

/// What became of the jobs of a batch.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Summary {
    #[serde(skip)]
    batch_id: Uuid,
    total: usize,
    successful: usize,
    failed: usize,
    skipped: usize,
    superseded: usize,
    cancelled: usize,
    /// Jobs of which no receipt came in time.
    outstanding: Vec<Uuid>,
    results: Vec<Receipt>,
}

/// The newest receipt of each awaited job.
struct Collected {
    expected: Vec<Uuid>,
    newest: HashMap<Uuid, Option<Receipt>>,
    ended: usize,
    failed: usize,
}

impl Collected {
    fn new(expected: Vec<Uuid>) -> Self {
        let newest = expected.iter().map(|job| (*job, None)).collect();
        Self { expected, newest, ended: 0, failed: 0 }
    }

    /// Takes a receipt; one that comes again replaces the one before, as a success may follow a failure.
    fn take(&mut self, receipt: Receipt) {
        let Some(newest) = self.newest.get_mut(&receipt.job_id) else { return };
        let is_failed = |receipt: &Receipt| usize::from(receipt.status == Status::Failed);
        self.failed += is_failed(&receipt);
        match newest.replace(receipt) {
            None => self.ended += 1,
            Some(earlier) => self.failed -= is_failed(&earlier),
        }
    }

    fn awaited(&self) -> Vec<Uuid> {
        self.expected.iter().filter(|job| self.newest.get(job).is_none_or(Option::is_none)).copied().collect()
    }

    fn is_complete(&self) -> bool {
        self.ended == self.expected.len()
    }

    fn into_summary(mut self, batch_id: Uuid) -> Summary {
        let mut summary = Summary {
            batch_id,
            total: self.expected.len(),
            successful: 0,
            failed: 0,
            skipped: 0,
            superseded: 0,
            cancelled: 0,
            outstanding: Vec::new(),
            results: Vec::with_capacity(self.ended),
        };
        for job in self.expected {
            let Some(receipt) = self.newest.remove(&job).flatten() else {
                summary.outstanding.push(job);
                continue;
            };
            match receipt.status {
                Status::Success => summary.successful += 1,
                Status::Failed => summary.failed += 1,
                Status::Skipped => summary.skipped += 1,
                Status::Superseded => summary.superseded += 1,
                Status::Cancelled => summary.cancelled += 1,
            }
            summary.results.push(receipt);
        }
        summary
    }
}

/// Follows a batch until each of its jobs has ended or the time is up.
pub(crate) async fn follow(
    inbox: &Inbox,
    ended_runs: &EndedRuns<'_>,
    batch_id: Uuid,
    expected: Vec<Uuid>,
    limit: Duration,
) -> Summary {
    let bar = ProgressBar::with_draw_target(Some(expected.len() as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} jobs {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    let collected = RefCell::new(Collected::new(expected));
    let until = deadline(limit);
    let ended = inbox
        .follow(
            until,
            ended_runs,
            || collected.borrow().awaited(),
            |receipt| {
                let mut collected = collected.borrow_mut();
                collected.take(receipt);
                bar.set_position(collected.ended as u64);
                if collected.failed > 0 {
                    bar.set_message(format!("({} failed)", collected.failed));
                }
                if collected.is_complete() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )
        .await;
    bar.finish_and_clear();
    if ended == Ended::TimedOut {
        tracing::info!(%batch_id, "gave up waiting");
    }
    collected.into_inner().into_summary(batch_id)
}

impl Summary {
    /// Whether a job failed, or has not ended.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        if self.failed == 0 && self.outstanding.is_empty() { ExitStatus::Done } else { ExitStatus::Failed }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.successful, "successful"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.superseded, "superseded"),
            (self.cancelled, "cancelled"),
            (self.outstanding.len(), "outstanding"),
        ];
        let told: Vec<String> = counts
            .iter()
            .filter(|(number, what)| *number > 0 || *what == "successful")
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        writeln!(f, "{} of {}", told.join(", "), count(self.total, "job"))?;
        self.write_failures(f)?;
        self.write_warnings(f)?;
        if !self.outstanding.is_empty() {
            writeln!(f, "no receipt came in time for:")?;
            for job in self.outstanding.iter().take(SHOWN) {
                writeln!(f, "  {job}")?;
            }
            if self.outstanding.len() > SHOWN {
                writeln!(f, "  and {} more", self.outstanding.len() - SHOWN)?;
            }
            writeln!(f, "they go on; see: aura-producer status {}", self.batch_id)?;
        }
        Ok(())
    }
}

impl Summary {
    fn write_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failed == 0 {
            return Ok(());
        }
        let mut table = output::table(["failed job", "entity", "period", "code", "message"]);
        table.identity(0);
        let failures = self.results.iter().filter(|receipt| receipt.status == Status::Failed);
        for receipt in failures.take(SHOWN) {
            table.add_row([
                receipt.job_id.to_string(),
                or_dash(receipt.entity.as_ref()),
                or_dash(receipt.period.as_ref()),
                or_dash(receipt.error.as_ref().map(|error| error.code)),
                or_dash(receipt.error.as_ref().map(|error| shortened(&error.message, 300))),
            ]);
        }
        writeln!(f, "{}", table.trim_fmt())?;
        if self.failed > SHOWN {
            writeln!(f, "and {}", count(self.failed - SHOWN, "more failed job"))?;
        }
        writeln!(f, "see: aura-producer dead list --batch {}", self.batch_id)
    }

    fn write_warnings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warnings: Vec<(&Receipt, &String)> = self
            .results
            .iter()
            .flat_map(|receipt| receipt.warnings.iter().map(move |warning| (receipt, warning)))
            .collect();
        for (receipt, warning) in warnings.iter().take(SHOWN) {
            let (entity, period) = (or_dash(receipt.entity.as_ref()), or_dash(receipt.period.as_ref()));
            writeln!(f, "warning: {entity} {period}: {}", shortened(warning, 300))?;
        }
        if warnings.len() > SHOWN {
            writeln!(f, "and {}, with --json or status", count(warnings.len() - SHOWN, "more warning"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn receipt(job: u128, status: &str) -> Receipt {
        let error = json!({"code": "row_invalid", "stage": "map", "message": "2 rows are bad"});
        serde_json::from_value(json!({
            "status": status, "reason": null, "job_id": Uuid::from_u128(job), "batch_id": Uuid::from_u128(9),
            "entity": "ABEX", "period": "2022-06", "file": "/in/a.csv", "fingerprint": null, "source": "default",
            "mode": null, "attempt": 1, "rows": 0, "rows_other_slices": 0, "inserted": 0, "updated": 0,
            "unchanged": 0, "deleted": 0, "absent": 1, "failed": 0, "balance_sum": null,
            "warnings": if status == "success" { vec!["1 account is absent"] } else { vec![] },
            "error": (status == "failed").then_some(error), "duration_seconds": 0.5,
            "finished_at": "2022-07-01T06:00:00Z"
        }))
        .unwrap()
    }

    fn summary(receipts: &[(u128, &str)]) -> Summary {
        let mut collected = Collected::new([1, 2, 3].map(Uuid::from_u128).to_vec());
        for (job, status) in receipts {
            collected.take(receipt(*job, status));
        }
        collected.into_summary(Uuid::from_u128(9))
    }

    #[test]
    fn each_job_counts_once_and_its_last_receipt_wins() {
        let all =
            summary(&[(3, "skipped"), (1, "failed"), (1, "success"), (1, "success"), (7, "failed"), (2, "superseded")]);
        assert_eq!((all.total, all.successful, all.skipped, all.superseded, all.failed), (3, 1, 1, 1, 0));
        assert_eq!(all.exit_status(), ExitStatus::Done);
        let order: Vec<u128> = all.results.iter().map(|receipt| receipt.job_id.as_u128()).collect();
        assert_eq!(order, [1, 2, 3], "in the order of publishing");
    }

    #[test]
    fn what_failed_and_what_is_outstanding_is_told() {
        let some = summary(&[(1, "failed"), (2, "success")]);
        assert_eq!(some.exit_status(), ExitStatus::Failed);
        let told = some.to_string();
        for part in [
            "1 successful, 1 failed, 1 outstanding of 3 jobs",
            "row_invalid   2 rows are bad",
            "aura-producer dead list --batch 00000000-0000-0000-0000-000000000009",
            "warning: ABEX 2022-06: 1 account is absent",
            "no receipt came in time for:\n  00000000-0000-0000-0000-000000000003\n",
        ] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
    }
}
