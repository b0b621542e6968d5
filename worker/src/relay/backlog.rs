//! What waits for the relay, as health and metrics tell it.

use tokio::sync::watch;

/// What health and metrics tell of the relay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// Whether MongoDB answered last time.
    pub(crate) mongodb_ok: bool,
    /// Events and metadata that wait in PostgreSQL, whoever wrote them; estimated where there are many.
    pub(crate) outbox_depth: u64,
    /// How long the oldest of them has waited.
    pub(crate) outbox_oldest_seconds: u64,
    /// Commits whose slice has not been written to the cache.
    pub(crate) cache_tasks: u64,
    /// How long the oldest of them has waited.
    pub(crate) cache_oldest_seconds: u64,
    /// Whether the cache could be written last time.
    pub(crate) cache_ok: bool,
    /// Audit chains of which nothing more is delivered until somebody looks into them.
    pub(crate) halted_chains: u64,
    /// Events and metadata that this process has delivered.
    pub(crate) delivered_total: u64,
}

/// Holds what was last seen of the backlog.
#[derive(Debug)]
pub(crate) struct RelayState(watch::Sender<Backlog>);

impl RelayState {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        // Nothing is known against MongoDB or the cache before they were first asked.
        let begin = Backlog {
            mongodb_ok: true,
            outbox_depth: 0,
            outbox_oldest_seconds: 0,
            cache_tasks: 0,
            cache_oldest_seconds: 0,
            cache_ok: true,
            halted_chains: 0,
            delivered_total: 0,
        };
        Self(watch::Sender::new(begin))
    }

    /// The backlog as it was last seen.
    pub(crate) fn snapshot(&self) -> Backlog {
        *self.0.borrow()
    }

    /// Changes what is known.
    pub(super) fn set(&self, change: impl FnOnce(&mut Backlog)) {
        self.0.send_modify(change);
    }
}
