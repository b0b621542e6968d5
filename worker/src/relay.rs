//! The relay: carries what PostgreSQL has committed into the stores that are derived from it, the sinks.
//!
//! Jobs never wait for it. Each task goes on whatever becomes of the others, so that without MongoDB events still
//! get their places and cache files are still written.

mod audit;
pub(crate) mod backlog;
mod failure_log;
mod metadata;
mod mongo_link;
mod parquet_cache;
mod progress;
pub(crate) mod sink;
mod statements;
pub(crate) mod wake;

use std::{sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use futures_util::future::join_all;
use shared::{
    settings::ServiceUrl,
    stores::{cache::CacheStore, mongo::MongoError, postgres::PostgresError},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::{
    backlog::{DeadLetters, RelayState, Waiting},
    failure_log::FailureLog,
    mongo_link::MongoLink,
    progress::SinkError,
    sink::{Resources, Sink, Task},
    wake::Wake,
};

/// Every derived store. A new one is a module, and a line here.
pub(crate) const SINKS: [Sink; 3] = [audit::SINK, metadata::SINK, parquet_cache::SINK];

/// The dead letters of each cause, counted up to `$1` each, for at most `$2` causes.
const DEAD_LETTERS: &str = include_str!("relay/dead_letters.sql");
const HALTED: &str = "SELECT count(*) FROM (SELECT FROM audit_chains WHERE halted_at IS NOT NULL \
                      ORDER BY entity, period LIMIT $1) AS chain";
/// How long a task that is woken waits for more to do, so that what commits at about the same time is done at once.
const GATHERING: Duration = Duration::from_millis(25);
/// How long a task waits after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How often the gauges are read.
const GAUGE_PAUSE: Duration = Duration::from_secs(2);
/// How many rounds of that lie between two looks at the dead letters, and how many causes are told.
const LETTERS_EVERY: u64 = 5;
const CAUSES: i64 = 50;
/// What the gauges count up to; more than that is estimated.
const COUNTED: i64 = 10_000;
/// How long the last round may take.
const LAST_ROUND: Duration = Duration::from_secs(5);
/// How long MongoDB may take to end the sessions after it.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Drives the sinks of one process.
pub(crate) struct Relay {
    resources: Resources,
}

/// A store refuses a document for what it is.
#[derive(Debug, thiserror::Error)]
#[error("MongoDB refuses a document: {0}")]
struct RefusedDocument(String);

impl Relay {
    /// A relay between these stores. Its pool should be its own: then jobs that use up theirs do not hold it up.
    ///
    /// # Errors
    /// If the URL of MongoDB cannot be used.
    pub(crate) fn new(
        pool: Pool,
        mongodb_url: &ServiceUrl,
        cache: CacheStore,
        committed: Arc<Wake>,
    ) -> Result<Self, MongoError> {
        let state = Arc::new(RelayState::new());
        let mongo = Arc::new(MongoLink::new(mongodb_url, Arc::clone(&state))?);
        Ok(Self { resources: Resources { pool, mongo, cache, state, committed, placed: Arc::new(Wake::new()) } })
    }

    /// What health and metrics show of it.
    pub(crate) fn state(&self) -> Arc<RelayState> {
        Arc::clone(&self.resources.state)
    }

    /// Runs until it is told to stop, and then delivers what it still can in a few seconds.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut tasks: Vec<Box<dyn Task>> = SINKS.iter().flat_map(|sink| (sink.tasks)(&self.resources)).collect();
        let working = join_all(tasks.iter_mut().map(|task| drive(task.as_mut())));
        let parts = async { tokio::join!(working, self.read_gauges()) };
        stop.run_until_cancelled(parts).await;
        let last_round = async {
            for task in tasks.iter_mut().filter(|task| task.is_emptied_at_the_end()) {
                while task.step().await?.more {}
            }
            Ok::<_, SinkError>(())
        };
        // What is left is on its way: another process, or this one's next life, delivers it.
        match timeout(LAST_ROUND, last_round).await {
            Ok(Ok(())) => {
                tracing::debug!(delivered = self.resources.state.snapshot().delivered_total, "the relay ends");
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the relay leaves events to the next one");
            }
            Err(_) => tracing::warn!("the relay leaves events to the next one, since its time is up"),
        }
        if timeout(LAST_CALL, self.resources.mongo.close()).await.is_err() {
            tracing::debug!("MongoDB did not end its sessions in time");
        }
    }

    async fn read_gauges(&self) {
        let mut failures = FailureLog::of("reading the outbox's depth");
        let mut rounds = 0_u64..;
        loop {
            let with_letters = rounds.next().is_some_and(|round| round % LETTERS_EVERY == 0);
            match self.gauges(with_letters).await {
                Ok(()) => failures.is_over(),
                Err(error) => failures.begins_unless_away(&error),
            }
            sleep(GAUGE_PAUSE).await;
        }
    }

    async fn gauges(&self, with_letters: bool) -> Result<(), PostgresError> {
        let client = self.resources.pool.get().await?;
        let whole = |number: i64| u64::try_from(number).unwrap_or(0);
        for sink in &SINKS {
            let asked = async {
                let statement = client.prepare_cached(sink.backlog).await?;
                client.query_one(&statement, &[&COUNTED]).await
            };
            let row = asked.await.map_err(PostgresError::in_("tell the outbox's depth"))?;
            let waiting =
                Waiting { number: whole(row.get("waiting")), oldest_seconds: whole(row.get("oldest_seconds")) };
            self.resources.state.set(|backlog| _ = backlog.waiting.insert(sink.name, waiting));
        }
        let halted = client.query_one(HALTED, &[&COUNTED]).await.map_err(PostgresError::in_("count halted chains"))?;
        self.resources.state.set(|backlog| backlog.halted_chains = whole(halted.get(0)));
        if with_letters {
            let rows = client.query(DEAD_LETTERS, &[&COUNTED, &CAUSES]).await;
            let rows = rows.map_err(PostgresError::in_("count dead letters"))?;
            let read = |row: tokio_postgres::Row| DeadLetters {
                code: row.get("code"),
                group_id: row.get("group_id"),
                letters: whole(row.get("letters")),
            };
            self.resources.state.set(|backlog| backlog.dead_letters = rows.into_iter().map(read).collect());
        }
        Ok(())
    }
}

/// Does a task's steps for ever: at once while there is more, else when it is woken or its pause is over.
async fn drive(task: &mut dyn Task) {
    let mut wake = task.woken_by().map(Wake::subscribe);
    let (mut failures, mut refusals) = (FailureLog::of(task.what()), FailureLog::of("delivering some documents"));
    loop {
        if let Some(wake) = &mut wake {
            wake.mark_unchanged();
        }
        match task.step().await {
            Ok(progress) => {
                failures.is_over();
                match progress.refused {
                    Some(fault) => refusals.begins(&RefusedDocument(fault)),
                    None => refusals.is_over(),
                }
                if !progress.more {
                    let woken = async {
                        match &mut wake {
                            // The sender outlives the relay.
                            Some(wake) => _ = wake.changed().await,
                            None => std::future::pending().await,
                        }
                    };
                    if timeout(task.pause(), woken).await.is_ok() {
                        sleep(GATHERING).await;
                    }
                }
            }
            Err(error) => {
                match &error {
                    SinkError::Postgres(error) => failures.begins_unless_away(error),
                    SinkError::Mongo(_) | SinkError::Cache(_) => failures.begins(&error),
                }
                sleep(RETRY).await;
            }
        }
    }
}
