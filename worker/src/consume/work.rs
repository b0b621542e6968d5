//! One delivery's work, from its message to its acknowledgement.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use shared::{
    message::{
        failure::{ErrorCode, Failure},
        job::Job,
    },
    stores::lease::Statements,
    telemetry::continue_trace,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    isolation::{Exclusive, Isolation},
    taken::{Said, Taken},
};
use crate::{
    attempt::{Attempt, CurrentStage},
    ingest::{self, diagnosis::failed},
    outcome::{Outage, Outcome},
    run::{claim::Claimant, durable, finish, ownership},
    services::Services,
    settlement::{
        self, delivery,
        policy::{Next, settle},
    },
};

/// How long a busy slice is waited for, and how often is looked.
const BUSY_WAIT: Duration = Duration::from_secs(1);
const BUSY_INTERVAL: Duration = Duration::from_millis(20);
/// How long an attempt whose time is over may take to end, once its statements are cancelled.
const CANCELLED: Duration = Duration::from_secs(5);

/// One delivery's work.
pub(super) struct Work {
    pub(super) services: Arc<Services>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) isolation: Isolation,
    pub(super) timeout: Duration,
}

impl Work {
    /// Reads the message, tries the job as often as that takes here, and settles the delivery.
    pub(super) async fn process(self, taken: Taken, permit: OwnedSemaphorePermit) {
        let message = taken.read(&self.services);
        self.services.metrics.consumed(&self.services.topology.jobs);
        // Clocks of machines differ a little: less than nothing is nothing.
        let waited = message.published_at.map(|at| (Utc::now() - at).to_std().unwrap_or_default());
        if let Some(waited) = waited {
            self.services.metrics.waited(waited);
        }
        match message.said {
            Said::Job(job) => {
                let span = tracing::info_span!(
                    "job",
                    job_id = %job.job_id,
                    batch_id = job.batch_id.map(tracing::field::display),
                    entity = job.slice.entity.as_str(),
                    period = job.slice.period.as_str(),
                    attempt = job.attempt,
                    trace_id = tracing::field::Empty,
                );
                continue_trace(&span, message.traceparent.as_deref());
                self.run(taken, *job, permit).instrument(span).await;
            }
            Said::Refused(refusal) => {
                let span = tracing::info_span!(
                    "refused",
                    job_id = %refusal.job_id,
                    entity = refusal.slice.as_ref().map(|slice| slice.entity.as_str()),
                    period = refusal.slice.as_ref().map(|slice| slice.period.as_str()),
                    trace_id = tracing::field::Empty,
                );
                continue_trace(&span, message.traceparent.as_deref());
                settlement::refuse(&self.services, &taken.delivery, &refusal).instrument(span).await;
                drop(permit);
            }
            Said::Withheld(reason) => settlement::reject(&taken.delivery, &reason).await,
        }
    }

    async fn run(self, taken: Taken, mut job: Job, permit: OwnedSemaphorePermit) {
        let _running = self.services.metrics.run();
        let mut shared = self.isolation.shared_guard();
        if shared.is_none() {
            // Another job is to run alone here.
            return delivery::return_unbegun(&self.services, &taken.delivery, Some(&job)).await;
        }
        let mut exclusive: Option<Exclusive> = None;
        let began = Instant::now();
        loop {
            let claim = Uuid::new_v4();
            let outcome = self.attempt(&job, claim, exclusive.is_some()).await;
            // As long as other jobs find a place, a busy slice is waited for where it is.
            if matches!(outcome, Outcome::Busy) && self.permits.available_permits() > 0 && began.elapsed() < BUSY_WAIT {
                tokio::time::sleep(BUSY_INTERVAL).await;
                continue;
            }
            let failed_with = outcome.failed_with();
            match settle(outcome, job.attempt, claim) {
                Next::Settle(settlement) => {
                    self.services.metrics.processed(&self.services.topology.jobs, began.elapsed(), failed_with);
                    delivery::apply(&self.services, &taken.delivery, &job, claim, settlement).await;
                    drop(permit);
                    return;
                }
                Next::RunAs(job_id) => {
                    tracing::warn!(%job_id, "the message has no identity; the job takes up the run that its worker left");
                    (job.job_id, job.id_is_made) = (job_id, false);
                    tracing::Span::current().record("job_id", tracing::field::display(job_id));
                }
                Next::RunAt { attempt, replays } => {
                    tracing::warn!(
                        attempt,
                        replays,
                        "the message claims an attempt that nobody made; its own is taken"
                    );
                    (job.attempt, job.replays) = (attempt, replays);
                }
                Next::RunIsolated => {
                    drop(shared.take());
                    // Two such jobs do not wait for each other: the second one goes elsewhere.
                    let Some(mut own) = self.isolation.exclusive_guard() else {
                        return delivery::return_unbegun(&self.services, &taken.delivery, Some(&job)).await;
                    };
                    tracing::warn!("the job had begun when its worker died; it is tried again alone");
                    tokio::select! {
                        () = own.exclusive() => {}
                        () = self.services.abort.cancelled() => {
                            return delivery::return_unbegun(&self.services, &taken.delivery, Some(&job)).await;
                        }
                    }
                    exclusive = Some(own);
                }
            }
        }
    }

    async fn attempt(&self, job: &Job, claim: Uuid, is_isolated: bool) -> Outcome {
        let (statements, stage) = (Statements::new(), CurrentStage::new());
        let claimant = Claimant { claim, worker: &self.services.worker, is_isolated };
        let mut attempt = std::pin::pin!(ingest::ingest(&self.services, job, claimant, &statements, &stage));
        let ended = tokio::select! {
            biased;
            () = self.services.abort.cancelled() => return Outcome::Stopped,
            ended = tokio::time::timeout(self.timeout, &mut attempt) => ended,
        };
        if let Ok(outcome) = ended {
            self.services.metrics.stages(&stage.durations());
            return outcome;
        }
        // What it does in PostgreSQL ends now, and then so does the attempt, with what really came of it.
        statements.cancel().await;
        match tokio::time::timeout(CANCELLED, attempt).await {
            Ok(Outcome::Failed(mut failed)) if failed.failure.code == ErrorCode::Timeout => {
                failed.change(|failure| failure.message = self.too_long());
                Outcome::Failed(failed)
            }
            // The answer to a commit that waited for the standby, and was cancelled then, is a success.
            Ok(Outcome::Ended(ended)) => match durable::settle(&self.services.pool).await {
                Ok(()) => Outcome::Ended(ended),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "whether what was committed outlives its server is not known yet"
                    );
                    Outcome::Outage(Outage::Postgres(Some(claim)))
                }
            },
            Ok(outcome) => outcome,
            Err(_) => self.timed_out(job, claim, &stage).await,
        }
    }

    /// An attempt took too long and cannot be ended: for its own sake, or because PostgreSQL is away.
    async fn timed_out(&self, job: &Job, claim: Uuid, stage: &CurrentStage) -> Outcome {
        if self.services.outages.probe_postgres(&self.services.pool).await.is_err() {
            return Outcome::Outage(Outage::Postgres(Some(claim)));
        }
        match finish::settled_end(&self.services.pool, job).await {
            Ok(Some(receipt)) => return Outcome::EndedBefore(receipt),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what came of an attempt that took too long is not known yet"
                );
                return Outcome::Outage(Outage::Postgres(Some(claim)));
            }
        }
        ownership::mark_settling(&self.services.pool, claim).await;
        let failure = Failure::new(ErrorCode::Timeout, stage.get(), self.too_long());
        Outcome::Failed(Box::new(failed(Attempt::begin(job, claim, &self.services.worker, stage), failure)))
    }

    fn too_long(&self) -> String {
        format!("the attempt took longer than {} s", self.timeout.as_secs())
    }
}
