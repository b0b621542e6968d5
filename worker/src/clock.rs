//! The one clock by which jobs without an export time are ordered: PostgreSQL's, read by every worker.
//!
//! A worker knows it as an offset to its own monotonic clock, so that a delivery is stamped as it is
//! taken, without asking. A stamp says when, and how much earlier the broker may have made the delivery:
//! where two workers' stamps of one slice overlap, nothing tells which file is newer, and a person decides.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Pool;
use shared::{
    message::job::Arrival,
    stores::{lease::Lease, postgres::PostgresError},
    timestamp::to_micros,
};
use uuid::Uuid;

/// How far two monotonic clocks may drift apart, in parts per million.
const DRIFT_PPM: u32 = 200;
/// What lies between a delivery's arrival on a socket and the loop that takes it, in a process that runs.
const HANDOVER: Duration = Duration::from_millis(15);
/// A loop that was not seen waiting for so long stood still.
const STANDSTILL: Duration = Duration::from_millis(250);
/// How long after a standstill a delivery may still be one that came during it.
const AFTERMATH: Duration = Duration::from_secs(2);
/// A delivery that the broker repeats was first made at most so long ago: the broker takes a message back
/// from a consumer after half an hour.
const REPEATED: TimeDelta = TimeDelta::hours(1);

/// PostgreSQL's clock, as far as this worker knows it.
pub(crate) struct Clock {
    intake: Uuid,
    state: Mutex<State>,
}

struct State {
    reading: Option<Reading>,
    /// The last stamp: no two are the same.
    last: DateTime<Utc>,
    /// When the loop was last seen waiting for a delivery with none at hand.
    waiting: Instant,
    /// The last standstill.
    stood: Option<(Instant, Instant)>,
}

/// PostgreSQL's time at a moment, and by how much it may be wrong.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    time: DateTime<Utc>,
    error: Duration,
}

impl Reading {
    fn error_at(&self, now: Instant) -> Duration {
        self.error + now.saturating_duration_since(self.at) * DRIFT_PPM / 1_000_000
    }

    fn time_at(&self, now: Instant) -> DateTime<Utc> {
        self.time + delta(now.saturating_duration_since(self.at))
    }
}

/// When a delivery was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// PostgreSQL's time.
    pub(crate) at: DateTime<Utc>,
    /// What is known of its first delivery.
    pub(crate) arrival: Arrival,
}

impl Clock {
    /// A clock that is read before it is first needed.
    pub(crate) fn new() -> Self {
        let state = State { reading: None, last: DateTime::UNIX_EPOCH, waiting: Instant::now(), stood: None };
        Self { intake: Uuid::new_v4(), state: Mutex::new(state) }
    }

    /// Reads PostgreSQL's clock. Of two readings the more exact one is kept, unless they contradict each other.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn read(&self, pool: &Pool) -> Result<(), PostgresError> {
        let lease = Lease::take(pool).await?;
        let asked = Instant::now();
        let answer = lease.query_one("SELECT clock_timestamp()", &[]).await;
        let took = asked.elapsed();
        lease.end();
        let time: DateTime<Utc> = answer.map_err(PostgresError::in_("tell the time"))?.get(0);
        let new = Reading { at: asked + took / 2, time, error: took / 2 };
        let mut state = self.state();
        let keep = state.reading.is_some_and(|old| {
            let apart = (old.time_at(new.at) - new.time).abs();
            old.error_at(new.at) <= new.error && apart <= delta(old.error_at(new.at) + new.error)
        });
        if !keep {
            state.reading = Some(new);
        }
        Ok(())
    }

    /// Notes that deliveries begin now: whatever stood still before does not matter to them.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        (state.waiting, state.stood) = (Instant::now(), None);
    }

    /// Notes that the loop waits for a delivery and has none at hand.
    pub(crate) fn is_waiting(&self) {
        let (now, mut state) = (Instant::now(), self.state());
        if now.saturating_duration_since(state.waiting) > STANDSTILL {
            state.stood = Some((state.waiting, now));
        }
        state.waiting = now;
    }

    /// Stamps a delivery that was just taken.
    pub(crate) fn stamp(&self, is_repeated: bool) -> Stamp {
        let (now, mut state) = (Instant::now(), self.state());
        let since = match state.stood {
            Some((began, ended)) if now.saturating_duration_since(ended) < AFTERMATH => began,
            _ => state.waiting,
        };
        let (time, error) = match state.reading {
            Some(reading) => (reading.time_at(now), reading.error_at(now)),
            None => (Utc::now(), Duration::MAX),
        };
        let at = to_micros(time).max(state.last + TimeDelta::microseconds(1));
        state.last = at;
        let known = !is_repeated && error < AFTERMATH;
        let earlier = delta(now.saturating_duration_since(since).max(HANDOVER) + error.min(AFTERMATH));
        let from = to_micros(time - if known { earlier } else { REPEATED });
        // An earlier delivery of a repeated one may have been anyone's.
        let intake = if known { self.intake } else { Uuid::new_v4() };
        Stamp { at, arrival: Arrival { from, intake } }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(REPEATED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(error: Duration) -> Clock {
        let clock = Clock::new();
        clock.state().reading =
            Some(Reading { at: Instant::now(), time: "2022-07-01T06:00:00Z".parse().unwrap(), error });
        clock
    }

    #[test]
    fn stamps_of_one_intake_are_in_their_order_and_differ() {
        let clock = clock(Duration::ZERO);
        let stamps: Vec<_> = (0..1_000).map(|_| clock.stamp(false)).collect();
        assert!(stamps.windows(2).all(|two| two[0].at < two[1].at));
        assert!(stamps.iter().all(|stamp| stamp.arrival.intake == stamps[0].arrival.intake));
    }

    #[test]
    fn a_stamp_reaches_back_to_when_the_loop_was_last_seen_waiting() {
        let clock = clock(Duration::from_millis(1));
        clock.is_waiting();
        let quick = clock.stamp(false);
        assert!(quick.at - quick.arrival.from < TimeDelta::milliseconds(100));
        clock.state().waiting = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        let late = clock.stamp(false);
        assert!(late.at - late.arrival.from > TimeDelta::seconds(4));
        // The loop waits again, before what came during the standstill has all been handed over.
        clock.is_waiting();
        let after = clock.stamp(false);
        assert!(after.at - after.arrival.from > TimeDelta::seconds(4));
    }

    #[test]
    fn of_a_repeated_delivery_and_of_a_clock_that_was_never_read_little_is_known() {
        let clock = clock(Duration::ZERO);
        let (first, repeated) = (clock.stamp(false), clock.stamp(true));
        assert!(repeated.at - repeated.arrival.from >= REPEATED);
        assert_ne!(first.arrival.intake, repeated.arrival.intake);
        assert!(
            Clock::new().stamp(false).at - Clock::new().stamp(false).arrival.from >= REPEATED - TimeDelta::seconds(1)
        );
    }
}
