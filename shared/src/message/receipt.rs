//! The receipt: what became of a job.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    amount::Amount,
    message::{
        failure::{Failure, text_enum},
        job::Mode,
    },
};

text_enum! {
    /// How a job ended.
    Status {
        /// Its rows are the slice's.
        Success = "success",
        /// The slice held its file already.
        Skipped = "skipped",
        /// A newer export had been seen.
        Superseded = "superseded",
        /// Its batch had been cancelled.
        Cancelled = "cancelled",
        /// It lies in the dead-letter queue.
        Failed = "failed",
    }
}

/// What became of a job: sent to `aura.events`, kept in `ingestion_runs.result` and `gl_metadata`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// How the job ended.
    pub status: Status,
    /// Why, where the status does not say it: `duplicate`, `stale`, `batch_cancelled`.
    pub reason: Option<String>,
    /// The job.
    pub job_id: Uuid,
    /// Its batch.
    pub batch_id: Option<Uuid>,
    /// The legal entity, as the message had it.
    pub entity: Option<String>,
    /// The period, as the message had it.
    pub period: Option<String>,
    /// The file, as the message had it.
    pub file: Option<String>,
    /// Who published the job, as the message says: its header `aura-actor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Who published the job, as the broker vouches: the AMQP `user_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// SHA-256 of the file's bytes, if it was read.
    pub fingerprint: Option<String>,
    /// The mapping profile.
    pub source: Option<String>,
    /// How the file's rows met those of the slice.
    pub mode: Option<Mode>,
    /// The attempt that ended it, from 1.
    pub attempt: u32,
    /// Good rows of the slice in the file.
    pub rows: u64,
    /// Rows of other slices, left to their own jobs.
    pub rows_other_slices: u64,
    /// Accounts that the slice did not have.
    pub inserted: u64,
    /// Accounts whose facts changed.
    pub updated: u64,
    /// Accounts whose facts are the same.
    pub unchanged: u64,
    /// Accounts that `replace` took away.
    pub deleted: u64,
    /// Accounts that the file lacks and `upsert` left standing.
    pub absent: u64,
    /// Bad rows.
    pub failed: u64,
    /// The sum of the good rows' balances.
    pub balance_sum: Option<Amount>,
    /// What a person should look at although the job succeeded.
    pub warnings: Vec<String>,
    /// Why the job failed.
    pub error: Option<Failure>,
    /// Seconds from the attempt's start to its end.
    pub duration_seconds: f64,
    /// When the outcome became final.
    pub finished_at: DateTime<Utc>,
    /// True where the job had ended before this message of it came: nothing was done, and this is the
    /// receipt of then, again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

/// What a receipt that is sent again says to whoever meant the message as another try.
const REPEATED: &str = "this job had ended before this message came, so nothing was done; a message with another job_id \
                        is another try, and `dead replay` tries a failed job again";

impl Receipt {
    /// The receipt of a job of which no figures are known: nothing was loaded, at its first attempt.
    pub fn new(status: Status, job_id: Uuid, finished_at: DateTime<Utc>) -> Self {
        Self {
            status,
            reason: None,
            job_id,
            batch_id: None,
            entity: None,
            period: None,
            file: None,
            actor: None,
            user_id: None,
            fingerprint: None,
            source: None,
            mode: None,
            attempt: 1,
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
            duration_seconds: 0.0,
            finished_at,
            repeated: false,
        }
    }

    /// The same receipt, for a message of the job that came after its end.
    #[must_use]
    pub fn again(mut self) -> Self {
        if !std::mem::replace(&mut self.repeated, true) && self.status == Status::Failed {
            self.warnings.push(REPEATED.to_owned());
        }
        self
    }

    /// The routing key on `aura.events`: `job.<status>.<batch_id or ->`.
    pub fn routing_key(&self) -> String {
        match self.batch_id {
            Some(batch) => format!("job.{}.{batch}", self.status),
            None => format!("job.{}.-", self.status),
        }
    }
}
