//! What a worker says of a job that it only tried: what would become of it, and what that would do to the books.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::{failure::Failure, receipt::Receipt};

/// The AMQP type of the answer.
pub const ANSWER_TYPE: &str = "aura.dry_run.v1";
/// Changes that an answer lists, the largest ones.
pub const LARGEST: i64 = 10;

/// What would become of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Would {
    /// Its rows would be loaded.
    Load,
    /// The slice holds its file already.
    Skip,
    /// The slice has seen a newer export.
    Supersede,
    /// Its batch is cancelled.
    Cancel,
    /// It would fail.
    Fail,
    /// It has ended in another way than failure: nothing would happen.
    Nothing,
    /// That cannot be told now: the slice is busy, or a service does not answer.
    Unknown,
}

impl Would {
    /// The word for people and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Skip => "skip",
            Self::Supersede => "supersede",
            Self::Cancel => "cancel",
            Self::Fail => "fail",
            Self::Nothing => "nothing",
            Self::Unknown => "unknown",
        }
    }
}

/// A balance that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Movement {
    /// The company.
    pub company_code: String,
    /// The account.
    pub account_code: String,
    /// Its name, as it would be.
    pub account_name: Option<String>,
    /// `inserted`, `updated`, `relabelled` or `deleted`.
    pub change: String,
    /// A decimal, as the other two; none where there was no such account.
    pub old_balance: Option<String>,
    /// None where the account would go.
    pub new_balance: Option<String>,
    /// The difference.
    pub movement: String,
}

/// What would happen to a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// Accounts that would be new, changed, gone, unchanged, or left standing although the file lacks them.
    pub inserted: u64,
    /// Accounts whose facts would change.
    pub updated: u64,
    /// Accounts that would go.
    pub deleted: u64,
    /// Accounts that would stay as they are.
    pub unchanged: u64,
    /// Accounts that the file lacks and that would be left standing.
    pub absent: u64,
    /// Bad rows that would be put aside.
    pub failed: u64,
    /// Rows of the slice afterwards.
    pub slice_rows: i64,
    /// The sum of their balances, a decimal.
    pub slice_sum: String,
    /// How much that sum would change, a decimal.
    pub net_movement: String,
    /// The largest changes, at most ten.
    pub largest: Vec<Movement>,
}

/// The answer of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DryRun {
    /// The job.
    pub job_id: Uuid,
    /// What would become of it.
    pub would: Would,
    /// Why it would fail.
    pub error: Option<Failure>,
    /// Why that cannot be told, or nothing would happen.
    pub reason: Option<String>,
    /// The file's fingerprint as it is now, if it was read.
    pub fingerprint: Option<String>,
    /// The receipt that it would end with, if it would be loaded, skipped, superseded or cancelled.
    pub receipt: Option<Receipt>,
    /// What would happen to the slice, if it would be loaded.
    pub effect: Option<Effect>,
}
