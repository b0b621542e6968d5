//! The taxonomy of events: the names that the log and the audit trail share.

use chrono::{DateTime, SubsecRound, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    fingerprint::Fingerprint,
    message::{failure::text_enum, job::Job, published_by::PublishedBy},
    slice::Slice,
};

text_enum! {
    /// What happened.
    EventType {
        /// The worker saw the file.
        FileUploaded = "file_uploaded",
        /// The job began.
        IngestionStarted = "ingestion_started",
        /// The file's SHA-256 was computed.
        FingerprintCreated = "fingerprint_created",
        /// The statistics of the slice's rows were computed.
        DataProfiled = "data_profiled",
        /// All required columns are there.
        SchemaValidated = "schema_validated",
        /// Rows were written to PostgreSQL.
        DbInsert = "db_insert",
        /// The slice holds the file.
        FileIngested = "file_ingested",
        /// The job ended in success.
        IngestionCompleted = "ingestion_completed",
        /// The slice held the file already.
        DuplicateFileDetected = "duplicate_file_detected",
        /// Required columns are missing.
        SchemaValidationFailed = "schema_validation_failed",
        /// An attempt failed.
        ErrorOccurred = "error_occurred",
        /// Another attempt will follow.
        RetryScheduled = "retry_scheduled",
        /// The message lies in `aura.dead`.
        DeadLettered = "dead_lettered",
        /// A newer export had been seen.
        Superseded = "superseded",
        /// The job's batch had been cancelled.
        JobCancelled = "job_cancelled",
        /// An engineer sent a dead letter back to work.
        Replayed = "replayed",
        /// An engineer gave a dead letter up.
        Discarded = "discarded",
        /// An operator cancelled a batch.
        BatchCancelled = "batch_cancelled",
        /// A period was closed.
        PeriodLocked = "period_locked",
        /// A period was opened again.
        PeriodUnlocked = "period_unlocked",
        /// Something derived was put back.
        Repaired = "repaired",
        /// What was older than is kept was taken away.
        Pruned = "pruned",
        /// A closed year was written to an archive.
        Archived = "archived",
    }
}

/// An event on its way to the audit trail, before it has a place in its chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened.
    pub event_type: EventType,
    /// When, to the millisecond, which is what MongoDB keeps.
    pub at: DateTime<Utc>,
    /// The slice whose chain it joins; none joins the chain of `_system`.
    pub slice: Option<Slice>,
    /// The job that it is about.
    pub job_id: Option<Uuid>,
    /// The job's batch.
    pub batch_id: Option<Uuid>,
    /// The file that it is about.
    pub fingerprint: Option<Fingerprint>,
    /// The attempt in which it happened.
    pub attempt: Option<u32>,
    /// Who wrote it: a worker's name, or an actor's.
    pub worker: String,
    /// What else there is to tell. Texts, whole numbers, booleans, lists and objects of them: the
    /// canonical form of these is the same in every language; decimals are texts.
    pub metadata: Map<String, Value>,
}

impl Event {
    /// An event that happens now and is about nothing yet.
    pub fn now(event_type: EventType, worker: &str) -> Self {
        Self {
            event_type,
            at: Utc::now().trunc_subsecs(3),
            slice: None,
            job_id: None,
            batch_id: None,
            fingerprint: None,
            attempt: None,
            worker: worker.to_owned(),
            metadata: Map::new(),
        }
    }

    /// An event of an attempt at a job, which happens now.
    pub fn of_job(event_type: EventType, worker: &str, job: &Job, fingerprint: Option<Fingerprint>) -> Self {
        Self {
            slice: Some(job.slice.clone()),
            job_id: Some(job.job_id),
            batch_id: job.batch_id,
            fingerprint,
            attempt: Some(job.attempt),
            ..Self::now(event_type, worker)
        }
    }

    /// The same event with a further detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// The same event with who published the job, as far as that is known.
    #[must_use]
    pub fn with_published_by(self, by: &PublishedBy) -> Self {
        let event = match &by.actor {
            Some(actor) => self.with("actor", actor.as_str()),
            None => self,
        };
        match &by.user_id {
            Some(user) => event.with("user_id", user.as_str()),
            None => event,
        }
    }
}
