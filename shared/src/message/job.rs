//! The job: the message that asks for one slice of one file.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    amount::Amount,
    fingerprint::Fingerprint,
    message::{failure::text_enum, job_schema, published_by::PublishedBy},
    slice::{Entity, InvalidCode, Period, Slice},
};

/// The AMQP `type` of a job.
pub const MESSAGE_TYPE: &str = "aura.job.v1";
/// The largest body that is read, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// The mapping profile of a message that names none.
pub const DEFAULT_SOURCE: &str = "default";
/// How far ahead of this machine's clock an export may claim to be.
pub const MAX_AHEAD: TimeDelta = TimeDelta::hours(1);

text_enum! {
    /// How the file's rows meet those that the slice has.
    Mode {
        /// Accounts that the file lacks stay.
        Upsert = "upsert",
        /// The slice becomes exactly the file.
        Replace = "replace",
    }
}

text_enum! {
    /// What bad rows do.
    OnError {
        /// They fail the job.
        Abort = "abort",
        /// They are put aside, and the good ones load.
        Quarantine = "quarantine",
    }
}

/// The name of a mapping profile: `[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(String);

impl SourceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SourceName {
    fn default() -> Self {
        Self(DEFAULT_SOURCE.to_owned())
    }
}

impl FromStr for SourceName {
    type Err = InvalidCode;

    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let rest = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        match text.as_bytes() {
            [head, tail @ ..] if head.is_ascii_alphanumeric() && tail.len() < 64 && tail.iter().all(rest) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidCode(
                "a source is 1 to 64 of A-Z, a-z, 0-9, '_', '.', '-' and starts with a letter or digit",
            )),
        }
    }
}

impl TryFrom<String> for SourceName {
    type Error = InvalidCode;

    fn try_from(text: String) -> Result<Self, InvalidCode> {
        text.parse()
    }
}

impl From<SourceName> for String {
    fn from(value: SourceName) -> String {
        value.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for SourceName {
    fn schema_name() -> Cow<'static, str> {
        "SourceName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"})
    }
}

/// Totals that the export job computed, and that the slice's good rows must have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// How many rows the slice has, as a whole number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "job_schema::rows")]
    pub rows: Option<u64>,
    /// What their balances sum to: a decimal as a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_sum: Option<Amount>,
}

/// The body of a job message. Only `file`, `entity` and `period` are required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = job_schema::rules)]
pub struct JobMessage {
    /// A path, `file://` URL or object-store URL.
    #[schemars(schema_with = "job_schema::file")]
    pub file: String,
    /// The legal entity.
    pub entity: Entity,
    /// The period.
    pub period: Period,
    /// The identity of the job; otherwise the `message_id` if that is a UUID, else the worker makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "job_schema::uuid")]
    pub job_id: Option<Uuid>,
    /// The batch; otherwise the `correlation_id` if that is a UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "job_schema::uuid")]
    pub batch_id: Option<Uuid>,
    /// The SHA-256 that the file's bytes must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Fingerprint>,
    /// When the ERP wrote the file: orders the exports of a slice. Otherwise the AMQP `timestamp`, else the time of receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "job_schema::time")]
    pub exported_at: Option<DateTime<Utc>>,
    /// The mapping profile.
    #[serde(default)]
    #[schemars(schema_with = "job_schema::source")]
    pub source: SourceName,
    /// How the rows meet those that the slice has; otherwise the profile's, else `upsert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What bad rows do.
    #[serde(default = "abort")]
    pub on_error: OnError,
    /// Whether a file that the slice already holds is skipped.
    #[serde(default = "yes")]
    pub skip_duplicates: bool,
    /// Overrides the guard against stale exports; needs `reason`, and is audited.
    #[serde(default)]
    pub force: bool,
    /// Why the job is forced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "job_schema::reason")]
    pub reason: Option<String>,
    /// Fails the job unless the slice sums to nil.
    #[serde(default)]
    pub require_balanced: bool,
    /// Totals that must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
}

fn abort() -> OnError {
    OnError::Abort
}

fn yes() -> bool {
    true
}

impl JobMessage {
    /// A message with the defaults of the contract.
    pub fn new(file: String, slice: Slice) -> Self {
        Self {
            file,
            entity: slice.entity,
            period: slice.period,
            job_id: None,
            batch_id: None,
            sha256: None,
            exported_at: None,
            source: SourceName::default(),
            mode: None,
            on_error: abort(),
            skip_duplicates: yes(),
            force: false,
            reason: None,
            require_balanced: false,
            control: None,
        }
    }
}

/// A job as the worker has understood it: the message, and what its delivery added.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The identity of the job.
    pub job_id: Uuid,
    /// Whether neither message nor headers had one, so that it was made as the message was received.
    pub id_is_made: bool,
    /// The batch of which it is one.
    pub batch_id: Option<Uuid>,
    /// The slice to load.
    pub slice: Slice,
    /// The file, as the message names it.
    pub file: String,
    /// The SHA-256 that the bytes must have.
    pub sha256: Option<Fingerprint>,
    /// When the ERP wrote the file, to the microsecond, which is what PostgreSQL keeps.
    pub exported_at: DateTime<Utc>,
    /// Whether message or properties say so; else it is when the job was first received.
    pub is_dated: bool,
    /// When it was forced, if it was.
    pub forced_at: Option<DateTime<Utc>>,
    /// Whether its place among the exports is the moment of this delivery, which is its first.
    pub is_stamped: bool,
    /// What is known of that moment, if its place is that of its first delivery.
    pub arrival: Option<Arrival>,
    /// The mapping profile.
    pub source: SourceName,
    /// The mode that the message asks for.
    pub mode: Option<Mode>,
    /// What bad rows do.
    pub on_error: OnError,
    /// Whether a file that the slice already holds is skipped.
    pub skip_duplicates: bool,
    /// Why it is forced.
    pub reason: Option<String>,
    /// Fails the job unless the slice sums to nil.
    pub require_balanced: bool,
    /// Totals that must match.
    pub control: Control,
    /// SHA-256 of the body's canonical form: another body under the same `job_id` is another job.
    pub body_hash: Fingerprint,
    /// Who published this delivery.
    pub published_by: PublishedBy,
    /// The attempt, from 1.
    pub attempt: u32,
    /// How often the job was replayed.
    pub replays: u32,
    /// When it first failed, if it did.
    pub first_failed_at: Option<DateTime<Utc>>,
    /// The claim under which a worker last had it and gave it back alive.
    pub returned_claim: Option<Uuid>,
}

/// What is known of the first delivery of a job whose message does not say when it was exported. It was no
/// later than the time at which the job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The earliest time, by PostgreSQL's clock, at which the broker may have delivered it.
    pub from: DateTime<Utc>,
    /// The worker's intake. What one intake took first was delivered first.
    pub intake: Uuid,
}

impl Arrival {
    /// What two columns or headers say of it, where both are there.
    pub fn of(from: Option<DateTime<Utc>>, intake: Option<Uuid>) -> Option<Self> {
        from.zip(intake).map(|(from, intake)| Self { from, intake })
    }
}

/// The times that place a job among the exports of its slice.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When the ERP wrote the file.
    pub exported_at: DateTime<Utc>,
    /// When the job was forced, if it was.
    pub forced_at: Option<DateTime<Utc>>,
    /// What is known of its first delivery, if that is where it stands.
    pub arrival: Option<Arrival>,
}

impl Times {
    /// The time at which the job stands: a job forced at time T is an export of T.
    pub fn order_at(self) -> DateTime<Utc> {
        self.forced_at.unwrap_or(self.exported_at)
    }
}

impl Job {
    /// The times that this delivery of the job says.
    pub fn times(&self) -> Times {
        Times { exported_at: self.exported_at, forced_at: self.forced_at, arrival: self.arrival }
    }
}
