//! The one clock by which jobs without an export time are ordered: PostgreSQL's, read by every worker.
//!
//! A worker knows it as an offset to its own monotonic clock, so that a delivery is stamped as it is
//! taken, without asking. A stamp says when, and how much earlier the broker may have made the delivery:
//! where two workers' stamps of one slice overlap, nothing tells which file is newer, and a person decides.
//!
//! How long a delivery was on its way, nothing here can measure: network, broker and this process may each have
//! held it back. What is known is that the broker had not made it when it was asked something on the same
//! channel, if its answer came first.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Pool;
use shared::{
    message::job::Arrival,
    stores::{
        lease::Lease,
        postgres::{self, PostgresError},
    },
    timestamp::to_micros,
};
use uuid::Uuid;

/// How far two monotonic clocks may drift apart, in parts per million.
const DRIFT_PPM: u32 = 200;
/// How long PostgreSQL may take to tell the time.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// A clock that is known less exactly than this is not known.
const MAX_ERROR: Duration = Duration::from_secs(2);
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
    /// The latest moment before which the broker has made no delivery that was not stamped yet.
    since: Instant,
}

/// PostgreSQL's time at a moment, and by how much it may be wrong.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    time: DateTime<Utc>,
    error: Duration,
}

impl Reading {
    async fn make(pool: &Pool) -> Result<Self, PostgresError> {
        let lease = Lease::take(pool).await?;
        let asked = Instant::now();
        let answer = lease.query_one("SELECT clock_timestamp()", &[]).await;
        let took = asked.elapsed();
        lease.end();
        let time = answer.map_err(PostgresError::in_("tell the time"))?.get(0);
        Ok(Self { at: asked + took / 2, time, error: took / 2 })
    }

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
        let state = State { reading: None, last: DateTime::UNIX_EPOCH, since: Instant::now() };
        Self { intake: Uuid::new_v4(), state: Mutex::new(state) }
    }

    /// Reads PostgreSQL's clock. Of two readings the more exact one is kept, unless they contradict each other.
    ///
    /// # Errors
    /// If PostgreSQL fails, or takes longer than two seconds.
    pub(crate) async fn read(&self, pool: &Pool) -> Result<(), PostgresError> {
        let new = postgres::in_time(READ_TIMEOUT, "tell the time", Reading::make(pool)).await?;
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

    /// Notes that every delivery which the broker made before a moment has been stamped.
    pub(crate) fn none_is_left_from_before(&self, moment: Instant) {
        let mut state = self.state();
        state.since = state.since.max(moment);
    }

    /// Stamps a delivery that was just taken.
    pub(crate) fn stamp(&self, is_repeated: bool) -> Stamp {
        let (now, mut state) = (Instant::now(), self.state());
        let (time, error) = match state.reading {
            Some(reading) => (reading.time_at(now), reading.error_at(now)),
            None => (Utc::now(), Duration::MAX),
        };
        let at = to_micros(time).max(state.last + TimeDelta::microseconds(1));
        state.last = at;
        let known = !is_repeated && error < MAX_ERROR;
        let earlier = delta(now.saturating_duration_since(state.since) + error.min(MAX_ERROR));
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
    fn a_stamp_reaches_back_to_the_last_moment_from_before_which_none_is_left() {
        let clock = clock(Duration::from_millis(1));
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        clock.state().since = ago(9);
        let late = clock.stamp(false);
        assert!(late.at - late.arrival.from > TimeDelta::seconds(8));
        clock.none_is_left_from_before(ago(4));
        // An answer to an earlier question takes nothing back.
        clock.none_is_left_from_before(ago(7));
        let nearer = clock.stamp(false);
        let reach = nearer.at - nearer.arrival.from;
        assert!(reach > TimeDelta::seconds(3) && reach < TimeDelta::seconds(6), "{reach}");
        clock.none_is_left_from_before(Instant::now());
        let quick = clock.stamp(false);
        assert!(quick.at - quick.arrival.from < TimeDelta::milliseconds(100));
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
