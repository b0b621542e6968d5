//! What can go wrong with a job: one code each, apart from what is done about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many bad rows a result lists; the total is always given.
pub const LISTED_ROWS: usize = 1_000;
/// Characters of what stands in a bad row that a failure has, at most.
pub const BAD_TEXT: usize = 100;
/// Bytes of what somebody else wrote that a message quotes.
const QUOTED: usize = 200;

macro_rules! text_enum {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $type {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $type {
            /// Every value, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that messages, stores and logs use.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!("is none of {}", [$($text),*].join(", "))),
                }
            }
        }
    };
}
pub(crate) use text_enum;

text_enum! {
    /// The cause of a failure.
    ErrorCode {
        /// The message has unknown fields, wrong types or bad values.
        InvalidMessage = "invalid_message",
        /// The file lies outside the input roots, or is reached by a scheme that is not read.
        FileNotAllowed = "file_not_allowed",
        /// This publisher may not have this loaded.
        NotAuthorized = "not_authorized",
        /// The file, a line or a field is larger than the settings allow.
        FileTooLarge = "file_too_large",
        /// The file's bytes do not have the SHA-256 that the message names.
        FingerprintMismatch = "fingerprint_mismatch",
        /// The message names a mapping profile that is not there.
        UnknownSource = "unknown_source",
        /// The bytes are no text of the profile's encoding.
        EncodingInvalid = "encoding_invalid",
        /// The text is not well-formed CSV.
        CsvMalformed = "csv_malformed",
        /// The compressed file cannot be unpacked.
        ArchiveInvalid = "archive_invalid",
        /// The workbook cannot be read.
        WorkbookInvalid = "workbook_invalid",
        /// Required columns are missing, or a column is there twice.
        SchemaInvalid = "schema_invalid",
        /// Rows hold what is not an amount, not a key, or not a row.
        RowInvalid = "row_invalid",
        /// Two rows have the same key.
        DuplicateKey = "duplicate_key",
        /// The file has no row of the slice.
        SliceNotFound = "slice_not_found",
        /// Amounts can be read in two ways.
        AmbiguousAmounts = "ambiguous_amounts",
        /// The rows do not have the totals that the export job computed.
        ControlTotalMismatch = "control_total_mismatch",
        /// The slice does not sum to nil.
        OutOfBalance = "out_of_balance",
        /// Another file was exported at the same time.
        AmbiguousOrder = "ambiguous_order",
        /// The period is closed.
        PeriodLocked = "period_locked",
        /// The job killed its worker.
        CrashSuspect = "crash_suspect",
        /// The file is not there (yet).
        FileNotFound = "file_not_found",
        /// The file changed while it was read.
        FileChanged = "file_changed",
        /// The storage that holds the file does not answer.
        StorageUnavailable = "storage_unavailable",
        /// PostgreSQL does not answer, or refuses.
        PostgresUnavailable = "postgres_unavailable",
        /// Another transaction was in the way.
        SerializationConflict = "serialization_conflict",
        /// A step took longer than the settings allow.
        Timeout = "timeout",
    }
}

text_enum! {
    /// The step of the pipeline in which a failure arose.
    Stage {
        /// The message is read and checked.
        Receive = "receive",
        /// The file is opened and read.
        Load = "load",
        /// The file's SHA-256 is compared.
        Fingerprint = "fingerprint",
        /// The job's place among the exports of its slice is decided.
        Verdict = "verdict",
        /// Bytes become records.
        Parse = "parse",
        /// The header is checked against the required columns.
        ValidateSchema = "validate_schema",
        /// Records become rows of the ledger.
        Map = "map",
        /// Totals are checked against the message.
        Control = "control",
        /// Rows are written to PostgreSQL.
        Write = "write",
    }
}

impl ErrorCode {
    /// Whether the same file can succeed later without anyone's doing.
    pub fn is_transient(self) -> bool {
        match self {
            Self::FileNotFound
            | Self::FileChanged
            | Self::StorageUnavailable
            | Self::PostgresUnavailable
            | Self::SerializationConflict
            | Self::Timeout => true,
            Self::InvalidMessage
            | Self::FileNotAllowed
            | Self::NotAuthorized
            | Self::FileTooLarge
            | Self::FingerprintMismatch
            | Self::UnknownSource
            | Self::EncodingInvalid
            | Self::CsvMalformed
            | Self::ArchiveInvalid
            | Self::WorkbookInvalid
            | Self::SchemaInvalid
            | Self::RowInvalid
            | Self::DuplicateKey
            | Self::SliceNotFound
            | Self::AmbiguousAmounts
            | Self::ControlTotalMismatch
            | Self::OutOfBalance
            | Self::AmbiguousOrder
            | Self::PeriodLocked
            | Self::CrashSuspect => false,
        }
    }
}

/// A row that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BadRow {
    /// The line of the file on which the row starts, from 1.
    pub line: u64,
    /// The column's name, where one is at fault.
    pub column: Option<String>,
    /// What is wrong, as a fragment: `is not a decimal number`.
    pub reason: String,
    /// What stands there, at most 100 characters of it. Results may show it; the log and the audit trail never do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl BadRow {
    /// The same as its text, with what stands there: for results, and for nothing that is kept as a log.
    pub fn with_text(&self) -> String {
        match &self.text {
            Some(text) => format!("{self}: {text:?}"),
            None => self.to_string(),
        }
    }
}

/// `line 12, balance: is not a decimal number`.
impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "line {}, {column}: {}", self.line, self.reason),
            None => write!(f, "line {}: {}", self.line, self.reason),
        }
    }
}

/// The columns that a file lacks or has besides, for `schema_invalid`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaFault {
    /// Required columns that the file lacks.
    pub missing_required: Vec<String>,
    /// Columns that Aura does not know.
    pub extra_columns: Vec<String>,
    /// Optional columns that the file has.
    pub present_optional: Vec<String>,
}

/// Why a job failed: the receipt's `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The cause.
    pub code: ErrorCode,
    /// The step in which it arose.
    pub stage: Stage,
    /// What is wrong and what to do about it.
    pub message: String,
    /// The bad rows, at most 1,000 of them.
    #[serde(default)]
    pub rows: Vec<BadRow>,
    /// How many bad rows there are.
    #[serde(default)]
    pub rows_total: u64,
    /// The columns at fault, for `schema_invalid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Box<SchemaFault>>,
}

impl Failure {
    /// A failure that concerns no single row.
    pub fn new(code: ErrorCode, stage: Stage, message: impl Into<String>) -> Self {
        // No store takes a NUL, and no line of a log a line end, whatever the message quotes.
        let message = escape(message.into());
        Self { code, stage, message, rows: Vec::new(), rows_total: 0, schema: None }
    }
}

/// A text that somebody else wrote, fit to be quoted: control characters are escaped, and the middle of a long one
/// is left out.
pub fn clean(text: &str) -> String {
    clean_within(text, QUOTED)
}

/// The same, of at most so many bytes and the mark of what is left out.
pub(crate) fn clean_within(text: &str, most: usize) -> String {
    if text.len() <= most {
        return escape(text.to_owned());
    }
    let (start, end) = (text.floor_char_boundary(most / 2), text.ceil_char_boundary(text.len() - most / 2));
    escape(format!("{} … {}", text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default()))
}

fn escape(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.code, self.stage, self.message)
    }
}

impl std::error::Error for Failure {}
