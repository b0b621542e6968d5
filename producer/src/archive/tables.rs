//! The tables of an archive: their files, and what their columns hold.

use arrow::datatypes::{DataType, Field, TimeUnit};
use shared::amount::SCALE;

const PRECISION: u8 = 38;
const ZONE: &str = "UTC";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Text of which nearly each row has its own.
    OwnText,
    /// An exact decimal.
    Amount,
    /// A JSON document as text.
    Json,
    Uuid,
    Integer,
    SmallInteger,
    /// A time in UTC, to the microsecond.
    Time,
    Double,
}

impl Kind {
    /// The type of the column in the file.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Text | Self::OwnText | Self::Json | Self::Uuid => DataType::Utf8,
            Self::Amount => DataType::Decimal128(PRECISION, SCALE as i8),
            Self::Integer => DataType::Int64,
            Self::SmallInteger => DataType::Int32,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(ZONE.into())),
            Self::Double => DataType::Float64,
        }
    }

    /// Returns whether the same values come again and again, so that a dictionary of them is worth its memory.
    pub(super) fn repeats(self) -> bool {
        match self {
            Self::Text | Self::Uuid | Self::SmallInteger => true,
            Self::OwnText | Self::Amount | Self::Json | Self::Integer | Self::Time | Self::Double => false,
        }
    }
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    nullable: bool,
}

impl Column {
    pub(super) fn field(&self) -> Field {
        Field::new(self.name, self.kind.data_type(), self.nullable)
    }
}

const fn each(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: false }
}

const fn some(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: true }
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// The name of its file.
    pub(super) file: &'static str,
    pub(super) columns: &'static [Column],
}

impl Table {
    /// The names of the columns, as a query lists them.
    pub(super) fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }
}

/// `gl_accounts`.
pub(super) const ACCOUNTS: Table = Table {
    file: "accounts.parquet",
    columns: &[
        each("entity", Kind::Text),
        each("period", Kind::Text),
        each("company_code", Kind::Text),
        each("account_code", Kind::OwnText),
        some("account_name", Kind::OwnText),
        each("balance", Kind::Amount),
        some("bs_pl", Kind::Text),
        some("status", Kind::Text),
        some("department", Kind::Text),
        some("account_category", Kind::Text),
        some("sub_category", Kind::Text),
        some("report_type", Kind::Text),
        some("balance_carryforward", Kind::Amount),
        some("debit_period", Kind::Amount),
        some("credit_period", Kind::Amount),
        some("criticality", Kind::Text),
        some("review_status", Kind::Text),
        some("review_flag", Kind::Text),
        some("reviewer_name", Kind::Text),
        some("review_date", Kind::Text),
        some("review_frequency", Kind::Text),
        some("review_checkpoint", Kind::Text),
        some("reconciliation_type", Kind::Text),
        some("sla_deadline", Kind::Text),
        some("analysis_required", Kind::Text),
        some("variance_pct", Kind::Text),
        some("extra", Kind::Json),
        each("job_id", Kind::Uuid),
        each("source_line", Kind::Integer),
        each("created_at", Kind::Time),
        each("updated_at", Kind::Time),
    ],
};

/// `gl_balance_changes`.
pub(super) const CHANGES: Table = Table {
    file: "changes.parquet",
    columns: &[
        each("entity", Kind::Text),
        each("period", Kind::Text),
        each("company_code", Kind::Text),
        each("account_code", Kind::OwnText),
        each("job_id", Kind::Uuid),
        each("change", Kind::Text),
        some("old_balance", Kind::Amount),
        some("new_balance", Kind::Amount),
        some("old_name", Kind::OwnText),
        some("new_name", Kind::OwnText),
        some("old_bs_pl", Kind::Text),
        some("new_bs_pl", Kind::Text),
        some("old_status", Kind::Text),
        some("new_status", Kind::Text),
        some("source_line", Kind::Integer),
        each("changed_at", Kind::Time),
    ],
};

/// `gl_rejected_rows`.
pub(super) const REJECTED: Table = Table {
    file: "rejected_rows.parquet",
    columns: &[
        each("entity", Kind::Text),
        each("period", Kind::Text),
        each("job_id", Kind::Uuid),
        each("source_line", Kind::Integer),
        some("column_name", Kind::Text),
        each("reason", Kind::Text),
        each("line_text", Kind::OwnText),
        each("rejected_at", Kind::Time),
    ],
};

/// `gl_absent_accounts`.
pub(super) const ABSENT: Table = Table {
    file: "absent_accounts.parquet",
    columns: &[
        each("entity", Kind::Text),
        each("period", Kind::Text),
        each("company_code", Kind::Text),
        each("account_code", Kind::OwnText),
        each("job_id", Kind::Uuid),
    ],
};

/// `ingestion_runs`, without what settles the same job arriving again.
pub(super) const RUNS: Table = Table {
    file: "runs.parquet",
    columns: &[
        each("entity", Kind::Text),
        each("period", Kind::Text),
        each("job_id", Kind::Uuid),
        some("batch_id", Kind::Uuid),
        each("file", Kind::OwnText),
        some("fingerprint", Kind::OwnText),
        each("source", Kind::Text),
        some("mapping_hash", Kind::Text),
        some("mode", Kind::Text),
        each("exported_at", Kind::Time),
        each("status", Kind::Text),
        some("error_code", Kind::Text),
        each("inserted", Kind::Integer),
        each("updated", Kind::Integer),
        each("unchanged", Kind::Integer),
        each("deleted", Kind::Integer),
        each("absent", Kind::Integer),
        each("failed", Kind::Integer),
        each("rows", Kind::Integer),
        some("balance_sum", Kind::Amount),
        some("slice_rows", Kind::Integer),
        some("slice_sum", Kind::Amount),
        each("attempts", Kind::SmallInteger),
        each("replays", Kind::SmallInteger),
        each("started_at", Kind::Time),
        some("applied_at", Kind::Time),
        some("finished_at", Kind::Time),
        some("forced_at", Kind::Time),
        some("duration_seconds", Kind::Double),
        some("published_by", Kind::Text),
        some("broker_user", Kind::Text),
        some("tries", Kind::Json),
        some("result", Kind::Json),
    ],
};

/// The chains of audit events.
pub(super) const TRAIL: Table = Table {
    file: "audit_trail.parquet",
    columns: &[
        each("entity", Kind::Text),
        each("period", Kind::Text),
        each("seq", Kind::Integer),
        each("event_type", Kind::Text),
        each("timestamp", Kind::Time),
        some("job_id", Kind::Uuid),
        each("prev_hash", Kind::OwnText),
        each("hash", Kind::OwnText),
        each("event", Kind::OwnText),
    ],
};

/// All of them, as their files stand in the manifest.
pub(super) const ALL: [&Table; 6] = [&ACCOUNTS, &CHANGES, &REJECTED, &ABSENT, &RUNS, &TRAIL];
