//! The ledger's columns: their names, kinds and owners. What copies, stages, merges, caches and compares rows takes
//! them from here, and `tests/it/columns.rs` holds the table itself to them.

/// The columns that tell a row from the others of its slice.
pub const KEYS: [&str; 2] = ["company_code", "account_code"];

/// Amount columns, in the order in which rows hold them.
pub const AMOUNTS: [&str; 4] = ["balance", "balance_carryforward", "debit_period", "credit_period"];

/// Text columns that the ERP owns and each export writes, in the order in which rows hold them.
pub const ERP_TEXTS: [&str; 7] =
    ["account_name", "bs_pl", "status", "department", "account_category", "sub_category", "report_type"];

/// Text columns of the review workflow, which an export fills in new rows only. They follow the
/// ERP's in each row.
pub const REVIEW_TEXTS: [&str; 11] = [
    "criticality",
    "review_status",
    "review_flag",
    "reviewer_name",
    "review_date",
    "review_frequency",
    "review_checkpoint",
    "reconciliation_type",
    "sla_deadline",
    "analysis_required",
    "variance_pct",
];

/// How many text columns a row holds.
pub const TEXTS: usize = ERP_TEXTS.len() + REVIEW_TEXTS.len();

/// What a column of a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// An exact decimal.
    Amount,
    /// A line of the file, counted from 1.
    Line,
    /// A JSON object.
    Json,
}

/// The columns of a ledger row that are not the same for all of a job, in the order in which rows are copied.
pub fn row_columns() -> impl Iterator<Item = (&'static str, ColumnKind)> {
    let texts = |names: &'static [&'static str]| names.iter().map(|name| (*name, ColumnKind::Text));
    texts(&KEYS)
        .chain([("source_line", ColumnKind::Line)])
        .chain(texts(&ERP_TEXTS))
        .chain(texts(&REVIEW_TEXTS))
        .chain(AMOUNTS.map(|name| (name, ColumnKind::Amount)))
        .chain([("extra", ColumnKind::Json)])
}

/// Columns of a ledger row that are the same for all of a job.
pub const OF_JOB: [&str; 3] = ["entity", "period", "job_id"];

/// How many columns whole rows of the ledger have where they are copied.
pub const COPIED: usize = OF_JOB.len() + KEYS.len() + 1 + TEXTS + AMOUNTS.len() + 1;

/// The columns of whole rows of the ledger, in the order in which they are copied into it and out of it.
pub fn copied_columns() -> impl Iterator<Item = &'static str> {
    OF_JOB.into_iter().chain(row_columns().map(|(name, _)| name))
}

/// Columns without which a file is not a trial balance.
pub const REQUIRED: [&str; 7] = ["account_code", "account_name", "balance", "entity", "period", "bs_pl", "status"];

/// The columns of one file, and what of the ledger they fill.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileColumns {
    /// The names as the file has them; `column_7` where a cell is empty.
    pub names: Vec<String>,
    /// Those that Aura does not know.
    pub extra_columns: Vec<String>,
    /// Those of them that are not kept.
    pub left_columns: Vec<String>,
    /// The ledger's columns that are filled, by the file or by its profile.
    pub filled: Vec<&'static str>,
    /// Whether unknown columns are kept.
    pub keeps_extra: bool,
}

impl FileColumns {
    /// Whether a column of the ledger is filled.
    pub fn has(&self, name: &str) -> bool {
        self.filled.contains(&name)
    }

    /// Columns that each export has, or not: a merge writes those that are filled.
    pub fn optional() -> impl Iterator<Item = &'static str> {
        ERP_TEXTS.into_iter().chain(AMOUNTS).filter(|name| !REQUIRED.contains(name))
    }

    /// The optional columns that are filled.
    pub fn present_optional(&self) -> Vec<String> {
        self.filled.iter().filter(|name| !REQUIRED.contains(name)).map(|name| (*name).to_owned()).collect()
    }
}

/// A column's name whatever its case and the spaces around and within it.
pub fn key_of(name: &str) -> String {
    name.trim_matches('\u{feff}').to_lowercase().split_whitespace().collect::<Vec<_>>().join("_")
}
