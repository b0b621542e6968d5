//! The relay: carries what PostgreSQL has committed into the audit trail and the cache.
//!
//! Jobs never wait for it. Each of its parts goes on whatever becomes of the others, so that
//! without MongoDB events still get their places and cache files are still written.

mod audit;
pub(crate) mod backlog;
mod metadata;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use shared::{
    settings::ServiceUrl,
    stores::{
        cache::CacheStore,
        mongo::{self, Mongo, MongoError},
        postgres::PostgresError,
    },
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    audit::{Progress, RelayError, Walk, deliver, sequence},
    backlog::RelayState,
};
use crate::cache::upkeep::{Cursor, catch_up, sweep};

const GAUGES: &str = include_str!("relay/gauges.sql");
/// How long a part waits for work, or until it looks at once again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a part waits after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How often slices that were left are looked for, and how many are done at a time.
const CACHE_PAUSE: Duration = Duration::from_secs(1);
const CACHE_LIMIT: i64 = 64;
/// How often the gauges are read, and an idle MongoDB is asked whether it answers.
const GAUGE_PAUSE: Duration = Duration::from_secs(2);
const PING_PAUSE: Duration = Duration::from_secs(5);
/// What the gauges count up to; more than that is estimated.
const COUNTED: i64 = 10_000;
/// How long the last round may take.
const LAST_ROUND: Duration = Duration::from_secs(5);

/// What the relay needs.
pub(crate) struct Relay {
    pool: Pool,
    mongodb_url: ServiceUrl,
    cache: CacheStore,
    state: Arc<RelayState>,
}

/// Logs a failure once when it begins and once when it is over.
struct FailureLog {
    what: &'static str,
    going_on: bool,
}

impl FailureLog {
    const fn with(what: &'static str) -> Self {
        Self { what, going_on: false }
    }

    /// That PostgreSQL is away is told by one part for all.
    fn begins_unless_away(&mut self, error: &PostgresError) {
        if !is_away(error) {
            self.begins(error);
        }
    }

    fn begins(&mut self, error: &(dyn std::error::Error + 'static)) {
        if !std::mem::replace(&mut self.going_on, true) {
            tracing::error!(error, "{} fails; it is tried again until it works", self.what);
        }
    }

    fn is_over(&mut self) {
        if std::mem::take(&mut self.going_on) {
            tracing::info!("{} works again", self.what);
        }
    }
}

fn is_away(error: &PostgresError) -> bool {
    match error {
        PostgresError::Connect(_) | PostgresError::Timeout { .. } => true,
        PostgresError::Statement { source, .. } => {
            source.is_closed() || source.code().is_some_and(|state| state.code().starts_with("57P"))
        }
        PostgresError::Url(_)
        | PostgresError::Tls(_)
        | PostgresError::Pool(_)
        | PostgresError::Migrate(_)
        | PostgresError::Schema(_) => false,
    }
}

/// MongoDB refuses a document for what it is.
#[derive(Debug, thiserror::Error)]
#[error("MongoDB refuses a document: {0}")]
struct RefusedDocument(String);

/// The way to MongoDB, and what is known of it.
struct Link {
    mongo: Option<Mongo>,
    answered: Option<Instant>,
    unusable: BTreeSet<Uuid>,
    walk: Walk,
}

impl Relay {
    /// A relay between these stores. Its pool should be its own, of four connections: then jobs that
    /// use up theirs do not hold it up.
    ///
    /// # Errors
    /// If the URL of MongoDB cannot be used.
    pub(crate) fn new(pool: Pool, mongodb_url: &ServiceUrl, cache: CacheStore) -> Result<Self, MongoError> {
        mongo::check(mongodb_url)?;
        Ok(Self { pool, mongodb_url: mongodb_url.clone(), cache, state: Arc::new(RelayState::new()) })
    }

    /// What health and metrics tell of it.
    pub(crate) fn state(&self) -> Arc<RelayState> {
        Arc::clone(&self.state)
    }

    /// Runs until it is told to stop, and then delivers what it still can in a few seconds. Waking it
    /// after a commit saves the events half a second.
    pub(crate) async fn run(self, stop: CancellationToken, wake: Arc<Notify>) {
        let sequenced = Notify::new();
        let mut link = Link { mongo: None, answered: None, unusable: BTreeSet::new(), walk: Walk::default() };
        let parts = async {
            tokio::join!(
                self.sequence(&wake, &sequenced),
                self.deliver(&mut link, &sequenced),
                self.keep_cache(),
                self.read_gauges(),
            )
        };
        stop.run_until_cancelled(parts).await;
        let last_round = async {
            let mut walk = Walk::default();
            while sequence(&self.pool, &mut walk).await?.more {}
            while self.deliver_once(&mut link).await?.more {}
            Ok::<_, RelayError>(())
        };
        // What is left is on its way: another process, or this one's next life, delivers it.
        match timeout(LAST_ROUND, last_round).await {
            Ok(Ok(())) => tracing::debug!(delivered = self.state.snapshot().delivered_total, "the relay ends"),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the relay leaves events to the next one");
            }
            Err(_) => tracing::warn!("the relay leaves events to the next one, since its time is up"),
        }
    }

    async fn sequence(&self, wake: &Notify, sequenced: &Notify) {
        let mut failures = FailureLog::with("giving audit events their places");
        let mut walk = Walk::default();
        loop {
            let pause = match sequence(&self.pool, &mut walk).await {
                Ok(progress) => {
                    failures.is_over();
                    if progress.more { Duration::ZERO } else { PAUSE }
                }
                Err(error) => {
                    failures.begins(&error);
                    RETRY
                }
            };
            // Metadata need no cursor, so whoever wakes this part wakes that one, too.
            sequenced.notify_one();
            if pause == RETRY {
                sleep(pause).await;
            } else {
                let _ = timeout(pause, wake.notified()).await;
            }
        }
    }

    async fn deliver(&self, link: &mut Link, sequenced: &Notify) {
        let mut failures = FailureLog::with("delivering to MongoDB");
        let mut refusal = FailureLog::with("delivering some documents");
        loop {
            match self.deliver_once(link).await {
                Ok(progress) => {
                    failures.is_over();
                    match progress.refused {
                        Some(fault) => refusal.begins(&RefusedDocument(fault)),
                        None => refusal.is_over(),
                    }
                    if !progress.more {
                        let _ = timeout(PAUSE, sequenced.notified()).await;
                    }
                }
                Err(RelayError::Postgres(error)) => {
                    failures.begins_unless_away(&error);
                    sleep(RETRY).await;
                }
                Err(RelayError::Mongo(error)) => {
                    failures.begins(&error);
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn deliver_once(&self, link: &mut Link) -> Result<Progress, RelayError> {
        let delivered = async {
            let mongo = self.reach(link).await?.clone();
            let events = deliver(&self.pool, &mongo, &mut link.walk).await?;
            let metadata = metadata::deliver(&self.pool, &mongo, &mut link.unusable).await?;
            Ok((events, metadata))
        };
        match delivered.await {
            Ok((events, metadata)) => {
                let done = events.done + metadata.done;
                self.state.set(|backlog| backlog.delivered_total += done as u64);
                if done > 0 {
                    link.answered = Some(Instant::now());
                }
                let refused = events.refused.or(metadata.refused);
                Ok(Progress { done, more: events.more || metadata.more, refused })
            }
            Err(error) => {
                if let RelayError::Mongo(_) = error {
                    link.answered = None;
                    self.state.set(|backlog| backlog.mongodb_ok = false);
                }
                Err(error)
            }
        }
    }

    /// Makes sure that MongoDB answers before rows are locked for it, if that is not known already.
    async fn reach<'a>(&self, link: &'a mut Link) -> Result<&'a Mongo, MongoError> {
        let known = link.answered.is_some_and(|at| at.elapsed() < PING_PAUSE);
        let mongo = match link.mongo.take() {
            Some(mongo) => mongo,
            None => {
                let mongo = Mongo::open(&self.mongodb_url, "aura-worker").await?;
                mongo.ping().await?;
                mongo.ensure().await?;
                mongo
            }
        };
        let mongo = link.mongo.insert(mongo);
        if !known {
            mongo.ping().await?;
            link.answered = Some(Instant::now());
            self.state.set(|backlog| backlog.mongodb_ok = true);
        }
        Ok(mongo)
    }

    async fn keep_cache(&self) {
        let mut failures = FailureLog::with("writing the cache");
        if let Err(error) = sweep(&self.cache).await {
            self.state.set(|backlog| backlog.cache_ok = false);
            failures.begins(&error);
        }
        let mut cursor = Cursor::default();
        loop {
            let pause = match catch_up(&self.pool, &self.cache, &mut cursor, CACHE_LIMIT).await {
                Ok(caught_up) if caught_up.failed.is_empty() => {
                    self.state.set(|backlog| backlog.cache_ok = true);
                    failures.is_over();
                    if caught_up.more { Duration::ZERO } else { CACHE_PAUSE }
                }
                Ok(caught_up) => {
                    self.state.set(|backlog| backlog.cache_ok = false);
                    for (slice, error) in &caught_up.failed {
                        let error = error as &dyn std::error::Error;
                        tracing::debug!(entity = %slice.entity, period = %slice.period, error, "a cache file failed");
                        failures.begins(error);
                    }
                    RETRY
                }
                Err(error) => {
                    failures.begins_unless_away(&error);
                    RETRY
                }
            };
            sleep(pause).await;
        }
    }

    async fn read_gauges(&self) {
        let mut failures = FailureLog::with("reading the outbox's depth");
        loop {
            match self.gauges().await {
                Ok(()) => failures.is_over(),
                Err(error) => failures.begins_unless_away(&error),
            }
            sleep(GAUGE_PAUSE).await;
        }
    }

    async fn gauges(&self) -> Result<(), PostgresError> {
        let failed = PostgresError::in_("tell the outbox's depth");
        let client = self.pool.get().await?;
        let row = client.query_one(GAUGES, &[&COUNTED]).await.map_err(failed)?;
        let number = |name| u64::try_from(row.get::<_, i64>(name)).unwrap_or(0);
        self.state.set(|backlog| {
            backlog.outbox_depth = number("outbox_depth");
            backlog.outbox_oldest_seconds = number("outbox_oldest_seconds");
            backlog.cache_tasks = number("cache_tasks");
            backlog.cache_oldest_seconds = number("cache_oldest_seconds");
            backlog.halted_chains = number("halted_chains");
        });
        Ok(())
    }
}
