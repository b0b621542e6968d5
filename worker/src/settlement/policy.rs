//! Settles an outcome: what is to be done about it, decided in one place and without doing it.

use shared::{broker::retry::Delay, message::receipt::Receipt};
use uuid::Uuid;

use crate::outcome::{Ended, FailedAttempt, Outage, Outcome};

/// How long a job waits that could not be started for no fault of its own.
pub(super) const PARKED: Delay = Delay::SHORTEST;
/// How long a job waits whose input root does not answer.
const PARKED_FOR_ROOT: Delay = Delay::LONGEST;

/// What comes next for a delivery.
#[derive(Debug)]
pub(crate) enum Next {
    /// It is settled, and this worker is done with it.
    Settle(Settlement),
    /// It is tried again now, with nothing beside it.
    RunIsolated,
    /// It is tried again now, as the job that it was before.
    RunAs(Uuid),
    /// It is tried again now, as the attempt and round that it really is.
    RunAt { attempt: u32, replays: u32 },
}

/// How a delivery is settled, with all that this takes.
#[derive(Debug)]
pub(crate) enum Settlement {
    /// The job has ended now: its slice's cache file is written, and its receipt sent.
    Conclude(Box<Ended>),
    /// The job had ended before: its receipt is sent again.
    Repeat(Box<Receipt>),
    /// Nothing is left to do; another copy does it.
    Drop,
    /// It is tried again later, which spends an attempt.
    Retry { failed: Box<FailedAttempt>, delay: Delay },
    /// It is kept for an engineer.
    DeadLetter(Box<FailedAttempt>),
    /// It is given back for a while, which spends nothing, and so is its claim, if it has one.
    Park { claim: Option<Uuid>, delay: Delay },
}

/// Decides what comes of an outcome of this attempt, which was made under this claim.
pub(crate) fn settle(outcome: Outcome, attempt: u32, claim: Uuid) -> Next {
    Next::Settle(match outcome {
        Outcome::Ended(ended) => Settlement::Conclude(ended),
        Outcome::EndedBefore(receipt) => Settlement::Repeat(receipt),
        Outcome::Failed(failed) => match Delay::after(attempt).filter(|_| failed.failure.code.is_transient()) {
            Some(delay) => Settlement::Retry { failed, delay },
            None => Settlement::DeadLetter(failed),
        },
        Outcome::Busy => Settlement::Park { claim: None, delay: PARKED },
        Outcome::Outage(Outage::Postgres(claim) | Outage::Local(claim)) => Settlement::Park { claim, delay: PARKED },
        Outcome::Outage(Outage::InputRoot(claim)) => Settlement::Park { claim, delay: PARKED_FOR_ROOT },
        // It was broken off: whether it had its claim is not known.
        Outcome::Stopped => Settlement::Park { claim: Some(claim), delay: PARKED },
        Outcome::Redundant => Settlement::Drop,
        Outcome::NeedsIsolation => return Next::RunIsolated,
        Outcome::Orphaned(job_id) => return Next::RunAs(job_id),
        Outcome::Misnumbered { attempt, replays } => return Next::RunAt { attempt, replays },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nobodys_fault_spends_no_attempt() {
        let outages = [Outage::Postgres(None), Outage::InputRoot(None), Outage::Local(None)];
        for outcome in outages.map(Outcome::Outage).into_iter().chain([Outcome::Busy]) {
            let next = settle(outcome, 4, Uuid::nil());
            assert!(matches!(next, Next::Settle(Settlement::Park { .. })), "{next:?}");
        }
    }
}
