//! The flags that stand for message fields.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::{
    amount::Amount,
    fingerprint::Fingerprint,
    message::job::{Mode, OnError, SourceName},
    slice::{Entity, Period},
    timestamp::micros_text,
};
use uuid::Uuid;

/// What each job's slice must be.
const CONTROLS: &str = "Controls";

/// Message fields. With --manifest and --scan they hold for every job that does not say otherwise.
#[derive(clap::Args)]
#[command(next_help_heading = "Message fields (for each job that a manifest or file name does not tell otherwise)")]
pub(crate) struct Fields {
    /// The legal entity
    #[arg(long)]
    entity: Option<Entity>,
    /// The period, YYYY-MM
    #[arg(long)]
    period: Option<Period>,
    /// The mapping profile; otherwise `default`
    #[arg(long)]
    source: Option<SourceName>,
    /// `upsert` or `replace`; otherwise the profile's
    #[arg(long)]
    mode: Option<Mode>,
    /// `abort` or `quarantine`; otherwise abort
    #[arg(long)]
    on_error: Option<OnError>,
    /// The SHA-256 that the file must have
    #[arg(long, requires = "file")]
    sha256: Option<Fingerprint>,
    /// When the file was written, RFC 3339; else now
    #[arg(long, value_name = "TIME")]
    exported_at: Option<DateTime<Utc>>,
    /// Loads a file even if the slice already holds it
    #[arg(long)]
    no_skip_duplicates: bool,
    /// Loads even a stale export; needs --reason
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why the job is forced, for the audit trail
    #[arg(long)]
    reason: Option<String>,
    /// Fails unless the slice sums to nil
    #[arg(long, help_heading = CONTROLS)]
    require_balanced: bool,
    /// How many rows the slice must have
    #[arg(long, help_heading = CONTROLS, value_name = "N", requires = "file")]
    control_rows: Option<u64>,
    /// What the slice's balances must sum to
    #[arg(long, help_heading = CONTROLS, value_name = "AMOUNT", requires = "file", allow_hyphen_values = true)]
    control_balance_sum: Option<Amount>,
    /// The identity of the job; otherwise a new one
    #[arg(long, value_name = "UUID", requires = "file")]
    job_id: Option<Uuid>,
    /// The identity of the batch; otherwise a new one
    #[arg(long, value_name = "UUID")]
    pub(crate) batch_id: Option<Uuid>,
}

impl Fields {
    /// The fields as they stand in a message, those that were given.
    pub(crate) fn given(&self) -> Map<String, Value> {
        let mut control = Map::new();
        set(&mut control, "rows", self.control_rows);
        set(&mut control, "balance_sum", self.control_balance_sum);
        let mut fields = Map::new();
        set(&mut fields, "entity", self.entity.as_ref());
        set(&mut fields, "period", self.period.as_ref());
        set(&mut fields, "source", self.source.as_ref());
        set(&mut fields, "mode", self.mode);
        set(&mut fields, "on_error", self.on_error);
        set(&mut fields, "sha256", self.sha256);
        set(&mut fields, "exported_at", self.exported_at.map(micros_text));
        set(&mut fields, "skip_duplicates", self.no_skip_duplicates.then_some(false));
        set(&mut fields, "force", self.force.then_some(true));
        set(&mut fields, "reason", self.reason.as_ref());
        set(&mut fields, "require_balanced", self.require_balanced.then_some(true));
        set(&mut fields, "control", (!control.is_empty()).then_some(control));
        set(&mut fields, "job_id", self.job_id);
        fields
    }
}

/// Sets a field that has a value.
pub(crate) fn set(fields: &mut Map<String, Value>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), json!(value));
    }
}
