//! How long connections live. A session's temporary table holds back the server's clean-up of old
//! transaction ids, and an idle session takes one of its places.

use std::{hash::BuildHasher, time::Duration};

use deadpool_postgres::{Hook, HookError, Metrics, Pool};

/// The bounds of a pool's connections.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// The age past which a connection is not used again.
    pub max_life: Duration,
    /// How long one may be idle.
    pub max_idle: Duration,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self { max_life: Duration::from_secs(1800), max_idle: Duration::from_secs(300) }
    }
}

/// The share of its life by which a connection may end earlier, so that those which began together do
/// not end together.
const SPREAD: u32 = 4;

#[derive(Clone, Default)]
pub(super) struct Bounds {
    lifetime: Lifetime,
    random: std::hash::RandomState,
}

impl Bounds {
    pub(super) fn new(lifetime: Lifetime) -> Self {
        Self { lifetime, random: std::hash::RandomState::new() }
    }

    /// Whether a connection may be used again. The same one always gets the same life.
    fn lives(&self, metrics: &Metrics) -> bool {
        let spread = self.lifetime.max_life / SPREAD;
        let share = self.random.hash_one(metrics.created) as u32 % 1000;
        let life = self.lifetime.max_life - spread * share / 1000;
        metrics.age() < life
    }

    /// Keeps what has lived its time, or has lost its peer, from being handed out.
    pub(super) fn hook(&self) -> Hook {
        let bounds = self.clone();
        Hook::sync_fn(move |client, metrics| {
            if client.is_closed() {
                Err(HookError::message("closed"))
            } else if bounds.lives(metrics) {
                Ok(())
            } else {
                Err(HookError::message("it has lived its time"))
            }
        })
    }

    /// Closes what nobody uses, for as long as the pool is there.
    pub(super) fn tend(self, pool: &Pool) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let pool = pool.weak();
        let pause = (self.lifetime.max_life.min(self.lifetime.max_idle) / 4).max(Duration::from_millis(250));
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.retain(|client, metrics| {
                    !client.is_closed() && self.lives(&metrics) && metrics.last_used() < self.lifetime.max_idle
                });
            }
        });
    }
}
