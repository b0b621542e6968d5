//! One attempt at a job: what it knows, the stage it is in, and what it has to record.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{SubsecRound, Utc};
use shared::{
    file::trial_balance::CheckedSlice,
    fingerprint::Fingerprint,
    message::{
        event::{Event, EventType},
        failure::{Failure, Stage},
        job::{Job, Mode, Times},
        published_by::PublishedBy,
        receipt::{Receipt, Status},
    },
};
use uuid::Uuid;

use crate::ledger::Applied;

/// The stage that an attempt is in, which whoever waits for the attempt can see, too, and how long those before took.
#[derive(Debug)]
pub(crate) struct CurrentStage(Mutex<Stages>);

#[derive(Debug)]
struct Stages {
    stage: Stage,
    since: Instant,
    over: BTreeMap<Stage, Duration>,
}

impl Stages {
    fn end(&mut self) {
        *self.over.entry(self.stage).or_default() += self.since.elapsed();
        self.since = Instant::now();
    }
}

impl CurrentStage {
    /// The first stage.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Stages { stage: Stage::Receive, since: Instant::now(), over: BTreeMap::new() }))
    }

    /// The stage.
    pub(crate) fn get(&self) -> Stage {
        self.stages().stage
    }

    fn set(&self, stage: Stage) {
        let mut stages = self.stages();
        stages.end();
        (stages.stage, stages.since) = (stage, Instant::now());
    }

    /// How long the attempt was in each stage, now that it is over.
    pub(crate) fn durations(&self) -> BTreeMap<Stage, Duration> {
        let mut stages = self.stages();
        stages.end();
        stages.over.clone()
    }

    fn stages(&self) -> MutexGuard<'_, Stages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The file's fingerprint, once it is read.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The hash of the mapping profile, once it is found.
    pub(crate) mapping_hash: Option<String>,
    /// The mode in which rows are merged, once the profile is found.
    pub(crate) mode: Option<Mode>,
    /// Whether it is a dry run, of which nothing may be left: neither row nor file nor event.
    pub(crate) is_dry: bool,
    stage: &'a CurrentStage,
    worker: &'a str,
    started: Instant,
    events: Vec<Event>,
}

impl<'a> Attempt<'a> {
    /// An attempt that begins now.
    pub(crate) fn begin(job: &'a Job, claim: Uuid, worker: &'a str, stage: &'a CurrentStage) -> Self {
        Self {
            job,
            claim,
            claimed: false,
            is_other_body: false,
            times: job.times(),
            published_by: job.published_by.clone(),
            fingerprint: None,
            mapping_hash: None,
            mode: job.mode,
            is_dry: false,
            stage,
            worker,
            started: Instant::now(),
            events: Vec::new(),
        }
    }

    /// Goes on to a stage. What fails from now on fails in it.
    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.set(stage);
    }

    /// The stage that it is in.
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// An event of this attempt, which happens now.
    pub(crate) fn event(&self, event_type: EventType) -> Event {
        Event::of_job(event_type, self.worker, self.job, self.fingerprint)
    }

    /// Keeps an event until the attempt commits, and logs it now. In a dry run nothing of it has happened.
    pub(crate) fn record(&mut self, event: Event) {
        if self.is_dry {
            return;
        }
        log(&event);
        self.events.push(event);
    }

    /// What it has recorded, in order.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The receipt of a job that ends in this way without its rows being loaded.
    pub(crate) fn receipt(&self, status: Status, reason: Option<&str>) -> Receipt {
        let job = self.job;
        Receipt {
            reason: reason.map(str::to_owned),
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
            duration_seconds: self.started.elapsed().as_secs_f64(),
            ..Receipt::new(status, job.job_id, Utc::now().trunc_subsecs(3))
        }
    }

    /// The receipt of a job whose rows are loaded.
    pub(crate) fn success(&self, checked: &CheckedSlice, applied: &Applied) -> Receipt {
        let mut warnings = checked.warnings.clone();
        if checked.failed > 0 {
            warnings.push(format!("bad rows were put aside: {}", checked.failed));
        }
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
        Receipt { failed: failure.rows_total, error: Some(failure.clone()), ..self.receipt(Status::Failed, None) }
    }
}

/// Logs an event under its name in the taxonomy, as loud as somebody has to do something about it.
pub(crate) fn log(event: &Event) {
    let metadata = serde_json::Value::Object(event.metadata.clone());
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(event_type = event.event_type.as_str(), metadata = %metadata, "{}", event.event_type)
        };
    }
    match event.event_type {
        EventType::DeadLettered => say!(error),
        EventType::ErrorOccurred | EventType::RetryScheduled | EventType::SchemaValidationFailed => say!(warn),
        EventType::IngestionStarted
        | EventType::FileIngested
        | EventType::IngestionCompleted
        | EventType::DuplicateFileDetected
        | EventType::Superseded
        | EventType::JobCancelled
        | EventType::Replayed
        | EventType::Discarded
        | EventType::BatchCancelled
        | EventType::PeriodLocked
        | EventType::PeriodUnlocked
        | EventType::Repaired
        | EventType::Pruned
        | EventType::Archived => say!(info),
        EventType::FileUploaded
        | EventType::FingerprintCreated
        | EventType::DataProfiled
        | EventType::SchemaValidated
        | EventType::DbInsert => say!(debug),
    }
}
