//! Replayed jobs until they have ended.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::ControlFlow,
    sync::Mutex,
    time::Duration,
};

use chrono::{DateTime, Utc};
use shared::message::receipt::{Receipt, Status};
use uuid::Uuid;

use super::{Replay, Standing};
use crate::{
    db,
    dead::{
        queue::{Dead, Held},
        settled::Outcomes,
    },
    errors::CommandError,
    output::count,
    receipts::{Inbox, deadline, ended::EndedRuns},
};

const EARLIER_ENDS: &str = "SELECT job_id, finished_at FROM ingestion_runs WHERE job_id = ANY($1)";

/// Jobs whose receipts come into an inbox from now on.
pub(super) struct Following<'a> {
    inbox: Inbox,
    ended: EndedRuns<'a>,
    /// When the failure was that is tried again.
    earlier: HashMap<Uuid, DateTime<Utc>>,
}

impl<'a> Replay<'a> {
    /// Listens to what becomes of jobs. Only what is published after this returns is certain to be heard of.
    pub(super) async fn follow(&self, held: &Held, jobs: &[Vec<Dead>]) -> Result<Following<'a>, CommandError> {
        let letters = || jobs.iter().filter_map(|copies| copies.last()).map(|dead| &dead.letter);
        let ids: Vec<Uuid> = letters().filter_map(|letter| letter.job_id).collect();
        let batches: BTreeSet<Option<Uuid>> = letters().map(|letter| letter.batch_id).collect();
        let inbox = Inbox::of_batches(self.operation.id, &batches, self.settings, &self.topology);
        inbox.open(held.connection()).await.map_err(CommandError::broker(self.settings))?;
        let rows = db::query(&self.pool, "look up when jobs ended", EARLIER_ENDS, &[&ids]).await;
        let rows = rows.map_err(CommandError::postgres(self.settings))?;
        let of_runs = rows.iter().filter_map(|row| Some((row.get("job_id"), row.get::<_, Option<_>>("finished_at")?)));
        let mut earlier: HashMap<Uuid, DateTime<Utc>> = of_runs.collect();
        for (id, at) in letters().filter_map(|letter| Some((letter.job_id?, letter.failed_at?))) {
            let known = earlier.entry(id).or_insert(at);
            *known = at.max(*known);
        }
        let round = letters().map(|letter| letter.replays.saturating_add(1)).min().unwrap_or(1);
        let round = if self.args.as_new { 0 } else { round };
        Ok(Following { inbox, ended: EndedRuns::of_round(round, self.settings), earlier })
    }

    /// Waits until every job has ended that was replayed, and puts that into the report.
    pub(super) async fn wait(&self, standing: &mut Standing<'a>) {
        let (Some(following), Some(report)) = (standing.following.take(), &mut standing.report) else { return };
        let jobs: Vec<Uuid> = report.jobs.iter().filter_map(|job| job.new_job_id.or(job.job_id)).collect();
        let unfollowed = report.jobs.len() - jobs.len();
        let receipts = following.until_ended(&jobs, self.limit()).await;
        following.close().await;
        let mut outcomes = Outcomes { outstanding: jobs.len() - receipts.len() + unfollowed, ..Outcomes::default() };
        for receipt in receipts.values() {
            *outcomes.ended.entry(receipt.status.as_str()).or_default() += 1;
            if let Some(error) = &receipt.error {
                outcomes.errors.push(format!("job {} failed again: {error}", receipt.job_id));
            }
        }
        report.outcomes = Some(outcomes);
    }
}

impl Following<'_> {
    /// The receipts of jobs, once all have ended or the time is up.
    pub(super) async fn until_ended(&self, jobs: &[Uuid], limit: Duration) -> HashMap<Uuid, Receipt> {
        let (awaited, receipts) =
            (Mutex::new(jobs.iter().copied().collect::<HashSet<_>>()), Mutex::new(HashMap::new()));
        if jobs.is_empty() {
            return HashMap::new();
        }
        let lock = |set: &Mutex<HashSet<Uuid>>| set.lock().map(|set| set.iter().copied().collect()).unwrap_or_default();
        self.inbox
            .follow(
                deadline(limit),
                &self.ended,
                || lock(&awaited),
                |arrived| {
                    let job = arrived.job_id;
                    // The receipt of an earlier round may be sent again; its failure is what is tried again.
                    let earlier = self.earlier.get(&job);
                    let is_old =
                        arrived.status == Status::Failed && earlier.is_some_and(|at| arrived.finished_at <= *at);
                    let Ok(mut awaited) = awaited.lock() else { return ControlFlow::Break(()) };
                    if !is_old
                        && awaited.remove(&job)
                        && let Ok(mut receipts) = receipts.lock()
                    {
                        receipts.insert(job, arrived);
                    }
                    if awaited.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            )
            .await;
        receipts.into_inner().unwrap_or_default()
    }

    /// Listens no longer.
    pub(super) async fn close(&self) {
        self.inbox.close().await;
    }
}

/// What is said of a job that has ended, or has not in time; and whether the others may not follow.
pub(super) fn told(job: Uuid, receipt: Option<&Receipt>, limit: Duration) -> (String, bool) {
    match receipt {
        Some(Receipt { status, error: Some(error), .. }) => (format!("job {job} ended as {status}: {error}"), true),
        Some(Receipt { status, .. }) => (format!("job {job} ended as {status}"), *status == Status::Failed),
        None => (format!("job {job} has not ended within {}", count(limit.as_secs() as usize, "second")), true),
    }
}
