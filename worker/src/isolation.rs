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
pub(crate) struct Shared(#[expect(dead_code, reason = "it is held, and never looked at")] OwnedRwLockReadGuard<()>);

/// The turn to run alone. As long as it lives no other job begins here.
pub(crate) struct Turn {
    wanted: Arc<watch::Sender<bool>>,
    exclusive: Option<OwnedRwLockWriteGuard<()>>,
    running: Arc<RwLock<()>>,
}

impl Isolation {
    /// No job runs, and none wants to run alone.
    pub(crate) fn new() -> Self {
        Self { running: Arc::default(), wanted: Arc::new(watch::Sender::new(false)) }
    }

    /// Lets a job run beside others, unless one is to run alone.
    pub(crate) fn share(&self) -> Option<Shared> {
        if *self.wanted.borrow() {
            return None;
        }
        Arc::clone(&self.running).try_read_owned().ok().map(Shared)
    }

    /// Gives the turn to run alone, unless another job has it.
    pub(crate) fn turn(&self) -> Option<Turn> {
        let first = self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        first.then(|| Turn { wanted: Arc::clone(&self.wanted), exclusive: None, running: Arc::clone(&self.running) })
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

impl Turn {
    /// Waits until nothing runs any more.
    pub(crate) async fn alone(&mut self) {
        if self.exclusive.is_none() {
            self.exclusive = Some(Arc::clone(&self.running).write_owned().await);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.exclusive = None;
        self.wanted.send_replace(false);
    }
}
