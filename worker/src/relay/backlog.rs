//! What waits for the relay, as health and metrics show it.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// The sinks whose entries go to MongoDB.
pub(crate) const OUTBOX: [&str; 2] = ["audit_trail", "gl_metadata"];
/// The sink of the cache.
pub(crate) const CACHE: [&str; 1] = ["parquet_cache"];

/// What waits for one sink.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waiting {
    /// How much of it, whoever wrote it; estimated where it is much.
    pub(crate) number: u64,
    /// How long the oldest of it has waited.
    pub(crate) oldest_seconds: u64,
}

/// The dead letters of one cause.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetters {
    /// The code with which they failed.
    pub(crate) code: String,
    /// The group that `aura-producer dead list` shows.
    pub(crate) group_id: String,
    /// How many, up to the bound of what is counted.
    pub(crate) letters: u64,
}

/// What is known of the relay.
#[derive(Debug, Clone)]
pub(crate) struct Backlog {
    /// What MongoDB, or the way to it, said if it did not answer last time.
    pub(crate) mongodb_away: Option<String>,
    /// Why the cache could not be written, if it could not last time.
    pub(crate) cache_away: Option<String>,
    /// What waits for each sink, by its name.
    pub(crate) waiting: BTreeMap<&'static str, Waiting>,
    /// Audit chains of which nothing more is delivered until somebody looks into them.
    pub(crate) halted_chains: u64,
    /// The dead letters that nobody has replayed or discarded, by their causes.
    pub(crate) dead_letters: Vec<DeadLetters>,
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
            mongodb_away: None,
            cache_away: None,
            waiting: BTreeMap::new(),
            halted_chains: 0,
            dead_letters: Vec::new(),
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
