//! The one retry schedule: how often a job is tried, and how long it waits before each further attempt.
//!
//! Queues, delays, header bounds and what a worker does about a failure all come from here, so that no delay is
//! without its queue.

use std::{sync::LazyLock, time::Duration};

use backoff::{ExponentialBackoffBuilder, backoff::Backoff};

/// Attempts that a job has: the first, and one after each delay.
pub const MAX_ATTEMPTS: u32 = 4;
const DELAYS: usize = MAX_ATTEMPTS as usize - 1;

/// 1, 2 and 4 seconds.
static SCHEDULE: LazyLock<[Duration; DELAYS]> = LazyLock::new(|| {
    // It has no end of its own: the attempts are what ends it. Nor has it a random part, since each delay has a
    // queue of its own.
    let mut schedule = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_secs(1))
        .with_multiplier(2.0)
        .with_randomization_factor(0.0)
        .with_max_interval(Duration::from_secs(4))
        .with_max_elapsed_time(None)
        .build();
    std::array::from_fn(|_| schedule.next_backoff().unwrap_or_default())
});

/// A time that a job can wait: one of those of the schedule, each of which has a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay(usize);

impl Delay {
    /// Every delay, shortest first.
    pub const ALL: [Self; DELAYS] = [Self(0), Self(1), Self(2)];
    /// The shortest delay.
    pub const SHORTEST: Self = Self(0);
    /// The longest delay.
    pub const LONGEST: Self = Self(DELAYS - 1);

    /// How long a job waits after this attempt, counted from 1, has failed; none if it was the last.
    pub fn after(attempt: u32) -> Option<Self> {
        let place = usize::try_from(attempt.checked_sub(1)?).ok()?;
        (place < DELAYS).then_some(Self(place))
    }

    /// How long it is.
    #[expect(clippy::indexing_slicing, reason = "no delay is made for a place outside of the schedule")]
    pub fn duration(self) -> Duration {
        SCHEDULE[self.0]
    }

    /// Its place among all delays.
    pub(super) fn place(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topology::Topology;

    #[test]
    fn retries_come_after_one_two_and_four_seconds_and_then_no_more() {
        let delays: Vec<_> =
            (0..=5).map(|attempt| Delay::after(attempt).map(|delay| delay.duration().as_secs())).collect();
        assert_eq!(delays, [None, Some(1), Some(2), Some(4), None, None]);
        assert_eq!(Delay::ALL.map(|delay| delay.duration().as_secs()), [1, 2, 4]);
    }

    #[test]
    fn each_delay_has_its_queue_in_the_topology_and_in_the_published_description() {
        let (topology, described) = (Topology::new("aura"), include_str!("../../schema/asyncapi.yaml"));
        for delay in Delay::ALL {
            let queue = topology.retry_queue(delay);
            assert_eq!(queue, format!("aura.retry.{}s", delay.duration().as_secs()));
            assert!(described.contains(&format!("address: {queue}\n")), "{queue}");
        }
        assert_eq!(described.matches("address: aura.retry.").count(), Delay::ALL.len());
    }
}
