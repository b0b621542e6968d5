//! Progress: what a worker that does nothing any more, and does not fail either, looks like from outside.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long an outcome may take to be published, written down and acknowledged.
const STUCK: Duration = Duration::from_secs(60);
/// How long nothing may be taken while jobs wait and places are free.
const IDLE: Duration = Duration::from_secs(60);

/// How long somebody's queue may refuse receipts before no job waits for it any more.
const REFUSED: Duration = Duration::from_secs(60);

/// What is being settled, and when a job was last taken.
pub(crate) struct Progress {
    state: Mutex<State>,
}

struct State {
    next: u64,
    settling: BTreeMap<u64, Instant>,
    /// Since when jobs wait although none is taken.
    neglected_since: Option<Instant>,
    /// Since when receipts are refused.
    refused_since: Option<Instant>,
    /// How many messages lay in each queue when it was last looked at.
    depths: BTreeMap<String, u64>,
}

/// An outcome that is being settled, as long as this lives.
pub(crate) struct Settling<'a> {
    progress: &'a Progress,
    number: u64,
}

impl Progress {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                next: 0,
                settling: BTreeMap::new(),
                neglected_since: None,
                refused_since: None,
                depths: BTreeMap::new(),
            }),
        }
    }

    /// Notes that an outcome is being settled.
    pub(crate) fn settling(&self) -> Settling<'_> {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.settling.insert(number, Instant::now());
        Settling { progress: self, number }
    }

    /// Notes that a job was taken.
    pub(crate) fn taken(&self) {
        self.state().neglected_since = None;
    }

    /// Notes whether jobs wait in the queue while this worker could take them.
    pub(crate) fn jobs_wait(&self, wait: bool) {
        let mut state = self.state();
        state.neglected_since = if wait { state.neglected_since.or_else(|| Some(Instant::now())) } else { None };
    }

    /// Notes whether the broker took a receipt. It refuses one that a queue bound to the receipts refuses, such as
    /// one that is full, or whose node is away.
    pub(crate) fn receipt_taken(&self, taken: bool) {
        let mut state = self.state();
        state.refused_since = if taken { None } else { state.refused_since.or_else(|| Some(Instant::now())) };
    }

    /// Returns whether receipts have been refused for so long that no job should wait for whoever does it.
    pub(crate) fn receipts_are_refused(&self) -> bool {
        self.state().refused_since.is_some_and(|since| since.elapsed() > REFUSED)
    }

    /// Notes how many messages lie in a queue.
    pub(crate) fn depth(&self, queue: &str, messages: u64) {
        self.state().depths.insert(queue.to_owned(), messages);
    }

    /// How many messages lay in each queue when it was last looked at.
    pub(crate) fn depths(&self) -> BTreeMap<String, u64> {
        self.state().depths.clone()
    }

    /// Returns whether no outcome is being settled.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().settling.is_empty()
    }

    /// How many outcomes have been settled for too long.
    pub(crate) fn stuck(&self) -> usize {
        self.state().settling.values().filter(|since| since.elapsed() > STUCK).count()
    }

    /// Returns whether nothing has been taken for a while although jobs wait.
    pub(crate) fn is_neglecting(&self) -> bool {
        self.state().neglected_since.is_some_and(|since| since.elapsed() > IDLE)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.progress.state().settling.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_for_too_long_counts_until_it_ends() {
        let progress = Progress::new();
        let (_quick, slow) = (progress.settling(), progress.settling());
        assert_eq!(progress.stuck(), 0);
        let long_ago = Instant::now().checked_sub(STUCK * 2).unwrap();
        progress.state().settling.insert(slow.number, long_ago);
        assert_eq!(progress.stuck(), 1);
        drop(slow);
        assert_eq!(progress.stuck(), 0);
    }

    #[test]
    fn jobs_that_wait_are_neglected_only_if_none_is_taken() {
        let progress = Progress::new();
        progress.jobs_wait(true);
        assert!(!progress.is_neglecting());
        progress.state().neglected_since = Instant::now().checked_sub(IDLE * 2);
        progress.jobs_wait(true);
        assert!(progress.is_neglecting());
        progress.taken();
        assert!(!progress.is_neglecting());
    }
}
