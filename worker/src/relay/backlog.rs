//! What waits for the relay, as health and metrics show it.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// What waits for one sink.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waiting {
    /// How much of it, whoever wrote it; estimated where it is much.
    pub(crate) number: u64,
    /// How long the oldest of it has waited.
    pub(crate) oldest_seconds: u64,
}

/// What is known of the relay.
#[derive(Debug, Clone)]
pub(crate) struct Backlog {
    /// Whether MongoDB answered last time.
    pub(crate) mongodb_ok: bool,
    /// Whether the cache could be written last time.
    pub(crate) cache_ok: bool,
    /// What waits for each sink, by its name.
    pub(crate) waiting: BTreeMap<&'static str, Waiting>,
    /// Audit chains of which nothing more is delivered until somebody looks into them.
    pub(crate) halted_chains: u64,
    /// Events and metadata that this process has delivered.
    pub(crate) delivered_total: u64,
}

impl Backlog {
    /// What waits for these sinks together.
    pub(crate) fn of(&self, sinks: &[&str]) -> Waiting {
        let waiting = sinks.iter().filter_map(|sink| self.waiting.get(sink));
        waiting.fold(Waiting::default(), |all, one| Waiting {
            number: all.number + one.number,
            oldest_seconds: all.oldest_seconds.max(one.oldest_seconds),
        })
    }
}

/// Holds what was last seen of the backlog.
#[derive(Debug)]
pub(crate) struct RelayState(watch::Sender<Backlog>);

impl RelayState {
    /// Nothing is known yet, and nothing is known against MongoDB or the cache before they were first asked.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Backlog {
            mongodb_ok: true,
            cache_ok: true,
            waiting: BTreeMap::new(),
            halted_chains: 0,
            delivered_total: 0,
        }))
    }

    /// The backlog as it was last seen.
    pub(crate) fn snapshot(&self) -> Backlog {
        self.0.borrow().clone()
    }

    /// Changes what is known.
    pub(super) fn set(&self, change: impl FnOnce(&mut Backlog)) {
        self.0.send_modify(change);
    }
}
