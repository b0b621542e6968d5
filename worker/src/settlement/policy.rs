//! Settles an outcome: what is to be done about it, decided in one place and without doing it.

use std::time::Duration;

use backoff::{ExponentialBackoffBuilder, backoff::Backoff};
use shared::message::envelope::MAX_ATTEMPTS;
use uuid::Uuid;

use crate::outcome::{Outage, Outcome};

/// How long a job waits that could not be started for no fault of its own.
pub(crate) const PARKED: Duration = Duration::from_secs(1);
/// How long a job waits whose input root does not answer.
const PARKED_FOR_ROOT: Duration = Duration::from_secs(4);

/// What is to be done about an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Send the receipt; the job has ended.
    Receipt,
    /// Nothing; another copy does it.
    Drop,
    /// Try again later, which spends an attempt.
    Retry(Duration),
    /// Keep it for an engineer.
    DeadLetter,
    /// Give it back for a while, which spends nothing.
    Park(Duration),
    /// Try again now, with nothing beside it.
    RunIsolated,
    /// Try again now, as the job that it was before.
    RunAs(Uuid),
    /// Try again now, as the attempt and round that it really is.
    RunAt { attempt: u32, replays: u32 },
    /// Return it to the queue as it is.
    Return,
}

/// Decides what is done about an outcome of this attempt.
pub(crate) fn settle(outcome: &Outcome, attempt: u32) -> Settlement {
    match outcome {
        Outcome::Ended(_) | Outcome::EndedBefore(_) => Settlement::Receipt,
        Outcome::Failed(failed) if failed.failure.code.is_transient() => match retry_delay(attempt) {
            Some(delay) => Settlement::Retry(delay),
            None => Settlement::DeadLetter,
        },
        Outcome::Failed(_) => Settlement::DeadLetter,
        Outcome::Busy | Outcome::Outage(Outage::Postgres(_) | Outage::Local(_)) => Settlement::Park(PARKED),
        Outcome::Outage(Outage::InputRoot(_)) => Settlement::Park(PARKED_FOR_ROOT),
        Outcome::NeedsIsolation => Settlement::RunIsolated,
        Outcome::Orphaned(job_id) => Settlement::RunAs(*job_id),
        Outcome::Misnumbered { attempt, replays } => Settlement::RunAt { attempt: *attempt, replays: *replays },
        Outcome::Redundant => Settlement::Drop,
        Outcome::Stopped => Settlement::Return,
    }
}

/// How long to wait after a failed attempt: 1, 2 and 4 seconds, then never again.
fn retry_delay(attempt: u32) -> Option<Duration> {
    if attempt >= MAX_ATTEMPTS {
        return None;
    }
    // The schedule has no end of its own; the attempts are what ends it.
    let mut schedule = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_secs(1))
        .with_multiplier(2.0)
        .with_randomization_factor(0.0)
        .with_max_interval(Duration::from_secs(4))
        .with_max_elapsed_time(None)
        .build();
    (1..attempt).for_each(|_| {
        schedule.next_backoff();
    });
    schedule.next_backoff()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_come_after_one_two_and_four_seconds_and_then_no_more() {
        let delays: Vec<_> = (1..=5).map(retry_delay).collect();
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(delays, [seconds(1), seconds(2), seconds(4), None, None]);
    }

    #[test]
    fn what_is_nobodys_fault_spends_no_attempt() {
        let outages = [Outage::Postgres(None), Outage::InputRoot(None), Outage::Local(None)];
        for outcome in outages.map(Outcome::Outage).into_iter().chain([Outcome::Busy]) {
            assert!(matches!(settle(&outcome, 4), Settlement::Park(_)), "{outcome:?}");
        }
    }
}
