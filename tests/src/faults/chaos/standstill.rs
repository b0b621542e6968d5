//! For how long nothing moves: between two looks at which more jobs had ended than before.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use crate::faults::World;

const ENDED: &str = "SELECT count(*) FROM ingestion_runs WHERE finished_at IS NOT NULL";
/// How often is looked, and how long a look may take.
const INTERVAL: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_secs(1);

/// The times at which jobs were seen to have ended.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Vec<Instant>>);

impl Pulse {
    /// Looks for ever.
    pub(super) async fn watch(&self, world: &World) {
        let mut seen = 0;
        loop {
            if let Ok(Some(ended)) = timeout(LOOK, world.count(ENDED)).await
                && ended > seen
            {
                seen = ended;
                self.0.lock().expect("the times").push(Instant::now());
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The longest time between two beats that ends after the first of these moments, and has begun by the second.
    pub(super) fn longest(&self, from: Instant, to: Instant) -> Duration {
        let beats = self.0.lock().expect("the times");
        let gaps = beats.windows(2).filter(|pair| pair[1] > from && pair[0] <= to).map(|pair| pair[1] - pair[0]);
        let last = beats.last().map_or(to - from, |last| to.saturating_duration_since(*last));
        gaps.max().unwrap_or(last).max(last)
    }
}

/// For how long nothing moved, for each kind of fault.
#[derive(Debug, Default)]
pub struct Standstills(BTreeMap<&'static str, Vec<Duration>>);

impl Standstills {
    /// Notes one.
    pub(super) fn note(&mut self, fault: &'static str, standstill: Duration) {
        self.0.entry(fault).or_default().push(standstill);
    }

    /// Number, median and longest of each kind of fault.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&'static str, usize, f64, f64)> {
        self.0.iter().map(|(fault, all)| {
            let mut seconds: Vec<f64> = all.iter().map(Duration::as_secs_f64).collect();
            seconds.sort_by(f64::total_cmp);
            (*fault, seconds.len(), seconds[seconds.len() / 2], seconds[seconds.len() - 1])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_reaches_over_the_end_of_its_fault() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse(Mutex::new([0, 1, 2, 9, 10, 30].map(at).to_vec()));
        assert_eq!(pulse.longest(at(3), at(4)).as_secs(), 7, "it began before the fault, and ended after it");
        assert_eq!(pulse.longest(at(0), at(2)).as_secs(), 7);
        assert_eq!(pulse.longest(at(9), at(9)).as_secs(), 1);
        assert_eq!(pulse.longest(at(9), at(10)).as_secs(), 20);
        assert_eq!(pulse.longest(at(31), at(50)).as_secs(), 20, "it still stands still");
    }
}
