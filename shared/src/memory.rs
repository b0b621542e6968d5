//! A budget of memory that all jobs of a process share. What may grow with a file is weighed before it is
//! held, and waits until there is room for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that are held, and who waits for room.
#[derive(Debug)]
pub struct Budget {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    held: u64,
    /// The place in the queue that the next one gets, and the one whose turn it is. Large weights would wait
    /// for ever if small ones went past them.
    next: u64,
    turn: u64,
}

/// Bytes of a budget, which are given back when it is dropped.
#[derive(Debug)]
pub struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of which nothing is held.
    pub const fn new() -> Self {
        Self { state: Mutex::new(State { held: 0, next: 0, turn: 0 }), changed: Condvar::new() }
    }

    /// Takes so many bytes of a capacity, as soon as those before it have theirs and there is room. Returns none
    /// if there never is. Whoever holds a share must not ask for another.
    pub fn take(&self, bytes: u64, capacity: u64) -> Option<Share<'_>> {
        if bytes > capacity {
            return None;
        }
        let mut state = self.lock();
        let place = state.next;
        state.next += 1;
        while state.turn != place || state.held.saturating_add(bytes) > capacity {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.held += bytes;
        self.changed.notify_all();
        Some(Share { budget: self, bytes })
    }

    /// Bytes that are held now.
    pub fn held(&self) -> u64 {
        self.lock().held
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.lock().held -= self.bytes;
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_never_fits_is_refused_at_once_and_what_fits_is_given_back() {
        let budget = Budget::new();
        assert!(budget.take(11, 10).is_none());
        let share = budget.take(10, 10).unwrap();
        assert_eq!(budget.held(), 10);
        drop(share);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn many_jobs_never_hold_more_than_the_capacity_and_all_have_their_turn() {
        let (budget, held, most) = (Budget::new(), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for job in 0..16_u64 {
                let (budget, held, most) = (&budget, &held, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = 1 + (job * 7 + round) % 100;
                        let share = budget.take(bytes, 100).unwrap();
                        most.fetch_max(held.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        std::thread::yield_now();
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        drop(share);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 100);
        assert_eq!(budget.held(), 0);
    }
}
