//! What an attempt can come to, before anything is done about it.

use shared::{
    fingerprint::Fingerprint,
    message::{
        failure::{ErrorCode, Failure},
        receipt::Receipt,
    },
};
use uuid::Uuid;

use crate::{cache::ahead::Ahead, lineage::Facts};

/// What an attempt came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The job has ended now, and PostgreSQL holds its end.
    Ended(Box<Ended>),
    /// The job had ended before; its receipt is sent again.
    EndedBefore(Box<Receipt>),
    /// The attempt failed; what it wrote was rolled back.
    Failed(Box<FailedAttempt>),
    /// Another job of the slice is at work.
    Busy,
    /// The job's worker died; it is tried again with nothing beside it.
    NeedsIsolation,
    /// The message has no identity, and an unfinished run tells which it had before its worker died.
    Orphaned(Uuid),
    /// The message says another attempt or round than the job can be at.
    Misnumbered { attempt: u32, replays: u32 },
    /// A later copy of the same job is on its way.
    Redundant,
    /// Something that the job needs does not answer.
    Outage(Outage),
    /// The worker is stopping.
    Stopped,
}

impl Outcome {
    /// The code with which the attempt failed, if it did.
    pub(crate) fn failed_with(&self) -> Option<ErrorCode> {
        match self {
            Self::Failed(failed) => Some(failed.failure.code),
            Self::Ended(_)
            | Self::EndedBefore(_)
            | Self::Busy
            | Self::NeedsIsolation
            | Self::Orphaned(_)
            | Self::Misnumbered { .. }
            | Self::Redundant
            | Self::Outage(_)
            | Self::Stopped => None,
        }
    }
}

/// A job that has ended now.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How.
    pub(crate) receipt: Receipt,
    /// The slice's cache file, if it was written ahead.
    pub(crate) cache_file: Option<Ahead>,
    /// What a catalogue is told of it beside the receipt.
    pub(crate) facts: Option<Facts>,
}

impl From<Receipt> for Ended {
    fn from(receipt: Receipt) -> Self {
        Self { receipt, cache_file: None, facts: None }
    }
}

/// An attempt that failed.
#[derive(Debug, Clone)]
pub(crate) struct FailedAttempt {
    /// Why.
    pub(crate) failure: Failure,
    /// The claim under which it ran.
    pub(crate) claim: Uuid,
    /// Whether the run of its job_id is its own, and not that of a job with another body.
    pub(crate) owns_run: bool,
    /// The file's fingerprint, if it was read.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The hash of the mapping profile, if it was found.
    pub(crate) mapping_hash: Option<String>,
    /// The receipt, should this be the job's end.
    pub(crate) receipt: Box<Receipt>,
}

impl FailedAttempt {
    /// The same failure without any text that came from outside: what a store refuses to take.
    pub(crate) fn without_texts(&self) -> Self {
        let mut plain = self.clone();
        plain.change(|failure| {
            let reason = "what is wrong cannot be stored as a text; the worker's log has it";
            *failure = Failure { rows_total: failure.rows_total, ..Failure::new(failure.code, failure.stage, reason) };
        });
        plain
    }

    /// Changes what is told of the failure, in the receipt as well.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Failure)) {
        change(&mut self.failure);
        self.receipt.error = Some(self.failure.clone());
    }
}

/// Something that jobs need does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// PostgreSQL, under which claim the job was.
    Postgres(Option<Uuid>),
    /// The input root of the job's file, under which claim the job was.
    InputRoot(Option<Uuid>),
    /// This worker, which has no descriptors or memory left, under which claim the job was.
    Local(Option<Uuid>),
}
