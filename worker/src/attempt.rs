//! One attempt at a job: what it knows, when it began and what it has to tell.

use std::time::Instant;

use chrono::{DateTime, SubsecRound, Utc};
use shared::{
    amount::Amount,
    file::trial_balance::CheckedSlice,
    fingerprint::Fingerprint,
    message::{
        envelope::PublishedBy,
        event::{Event, EventType},
        failure::{Failure, Stage},
        job::{Arrival, Job, Mode},
        receipt::{Receipt, Status},
    },
};
use uuid::Uuid;

use crate::ledger::Applied;

/// The times that place a job among the exports of its slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// When the ERP wrote the file.
    pub(crate) exported_at: DateTime<Utc>,
    /// When the job was forced, if it was.
    pub(crate) forced_at: Option<DateTime<Utc>>,
    /// What is known of its first delivery, if that is where it stands.
    pub(crate) arrival: Option<Arrival>,
}

impl Times {
    /// The times that a delivery of the job says.
    pub(crate) fn of(job: &Job) -> Self {
        Self { exported_at: job.exported_at, forced_at: job.forced_at, arrival: job.arrival }
    }

    /// The time at which the job stands: a job forced at time T is an export of T.
    pub(crate) fn order_at(self) -> DateTime<Utc> {
        self.forced_at.unwrap_or(self.exported_at)
    }
}

/// One attempt at a job.
pub(crate) struct Attempt<'a> {
    /// The job.
    pub(crate) job: &'a Job,
    /// The claim under which it runs.
    pub(crate) claim: Uuid,
    /// Whether the claim was granted.
    pub(crate) claimed: bool,
    /// Whether the run of its job_id is another job's.
    pub(crate) is_other_body: bool,
    /// When it was exported and forced, as its first delivery had it.
    pub(crate) times: Times,
    /// Who published it, as its first delivery had it.
    pub(crate) published_by: PublishedBy,
    /// The step it is in.
    pub(crate) stage: Stage,
    /// The file's fingerprint, once it is read.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The hash of the mapping profile, once it is found.
    pub(crate) mapping_hash: Option<String>,
    /// The mode in which rows are merged, once the profile is found.
    pub(crate) mode: Option<Mode>,
    worker: &'a str,
    started: Instant,
    events: Vec<Event>,
}

impl<'a> Attempt<'a> {
    /// An attempt that begins now.
    pub(crate) fn begin(job: &'a Job, claim: Uuid, worker: &'a str) -> Self {
        Self {
            job,
            claim,
            claimed: false,
            is_other_body: false,
            times: Times::of(job),
            published_by: job.published_by.clone(),
            stage: Stage::Receive,
            fingerprint: None,
            mapping_hash: None,
            mode: job.mode,
            worker,
            started: Instant::now(),
            events: Vec::new(),
        }
    }

    /// An event of this attempt, which happens now.
    pub(crate) fn event(&self, event_type: EventType) -> Event {
        Event {
            slice: Some(self.job.slice.clone()),
            job_id: Some(self.job.job_id),
            batch_id: self.job.batch_id,
            fingerprint: self.fingerprint,
            attempt: Some(self.job.attempt),
            ..Event::now(event_type, self.worker)
        }
    }

    /// Keeps an event until the attempt commits, and logs it now.
    pub(crate) fn record(&mut self, event: Event) {
        log(&event);
        self.events.push(event);
    }

    /// What it has to tell, in order.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The receipt of a job that ends in this way without its rows being loaded.
    pub(crate) fn receipt(&self, status: Status, reason: Option<&str>) -> Receipt {
        let job = self.job;
        Receipt {
            status,
            reason: reason.map(str::to_owned),
            job_id: job.job_id,
            batch_id: job.batch_id,
            entity: Some(job.slice.entity.to_string()),
            period: Some(job.slice.period.to_string()),
            file: Some(job.file.clone()),
            actor: self.published_by.actor.clone(),
            user_id: self.published_by.user_id.clone(),
            fingerprint: self.fingerprint.map(|fingerprint| fingerprint.to_string()),
            source: Some(job.source.to_string()),
            mode: self.mode,
            attempt: job.attempt,
            rows: 0,
            rows_other_slices: 0,
            inserted: 0,
            updated: 0,
            unchanged: 0,
            deleted: 0,
            absent: 0,
            failed: 0,
            balance_sum: None,
            warnings: Vec::new(),
            error: None,
            duration_seconds: self.started.elapsed().as_secs_f64(),
            finished_at: Utc::now().trunc_subsecs(3),
            repeated: false,
        }
    }

    /// The receipt of a job whose rows are loaded.
    pub(crate) fn success(&self, checked: &CheckedSlice, applied: &Applied) -> Receipt {
        let mut warnings = checked.warnings.clone();
        if applied.absent > 0 {
            warnings.push(format!("accounts that the file lacks were left standing: {}", applied.absent));
        }
        Receipt {
            rows: checked.rows,
            rows_other_slices: checked.rows_other_slices,
            inserted: applied.inserted,
            updated: applied.updated,
            unchanged: applied.unchanged,
            deleted: applied.deleted,
            absent: applied.absent,
            failed: checked.failed,
            balance_sum: Some(checked.balance_sum),
            warnings,
            ..self.receipt(Status::Success, None)
        }
    }

    /// The receipt of a job that failed for good.
    pub(crate) fn failed(&self, failure: &Failure) -> Receipt {
        Receipt {
            failed: failure.rows_total,
            error: Some(failure.clone()),
            balance_sum: None::<Amount>,
            ..self.receipt(Status::Failed, None)
        }
    }
}

/// Logs an event under its name in the taxonomy.
pub(crate) fn log(event: &Event) {
    let metadata = serde_json::Value::Object(event.metadata.clone());
    tracing::info!(event_type = event.event_type.as_str(), metadata = %metadata, "{}", event.event_type);
}
