//! Isolation: a job that may have killed its worker runs with nothing beside it, and holds nobody up.
//!
//! While a job waits to run alone, or does, the worker takes no others: what it has not begun goes back to
//! the queue, for other workers.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, watch};

/// Who may run beside whom in this worker.
#[derive(Clone)]
pub(crate) struct Isolation {
    running: Arc<RwLock<()>>,
    wanted: Arc<watch::Sender<bool>>,
}

/// The right to run beside other jobs.
pub(crate) struct SharedGuard(
    #[expect(dead_code, reason = "it is held, and never looked at")] OwnedRwLockReadGuard<()>,
);

/// The right to run alone. As long as it lives no other job begins here.
pub(crate) struct Exclusive {
    wanted: Arc<watch::Sender<bool>>,
    guard: Option<OwnedRwLockWriteGuard<()>>,
    running: Arc<RwLock<()>>,
}

impl Isolation {
    /// No job runs, and none wants to run alone.
    pub(crate) fn new() -> Self {
        Self { running: Arc::default(), wanted: Arc::new(watch::Sender::new(false)) }
    }

    /// Lets a job run beside others, unless one is to run alone.
    pub(crate) fn shared_guard(&self) -> Option<SharedGuard> {
        if *self.wanted.borrow() {
            return None;
        }
        Arc::clone(&self.running).try_read_owned().ok().map(SharedGuard)
    }

    /// Gives the right to run alone, unless another job has it.
    pub(crate) fn exclusive_guard(&self) -> Option<Exclusive> {
        let first = self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        first.then(|| Exclusive { wanted: Arc::clone(&self.wanted), guard: None, running: Arc::clone(&self.running) })
    }

    /// Waits until a job wants to run alone.
    pub(crate) async fn wanted(&self) {
        // The sender lives as long as this does.
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }

    /// Waits until no job wants to run alone.
    pub(crate) async fn over(&self) {
        let _ = self.wanted.subscribe().wait_for(|wanted| !*wanted).await;
    }
}

impl Exclusive {
    /// Waits until nothing runs any more.
    pub(crate) async fn exclusive(&mut self) {
        if self.guard.is_none() {
            self.guard = Some(Arc::clone(&self.running).write_owned().await);
        }
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.guard = None;
        self.wanted.send_replace(false);
    }
}
