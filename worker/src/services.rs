//! What the stages need: built once in `main` and shared by all jobs.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deadpool_postgres::Pool;
use shared::{
    amount::Amount,
    broker::{publisher::Publisher, topology::Topology},
    file::dialect::FileLimits,
    roots::InputRoots,
    settings::Settings,
    sources::Sources,
    stores::cache::CacheStore,
};
use tokio_util::sync::CancellationToken;

use crate::{
    consume::clock::Clock, durability::Durability, health::progress::Progress, ingest::publishers::Publishers,
    lineage::Lineage, metrics::Metrics, outage::Outages, relay::wake::Wake,
};

/// The connections, names and limits with which this worker works.
pub(crate) struct Services {
    /// PostgreSQL.
    pub(crate) pool: Pool,
    /// The connection on which messages are published.
    pub(crate) publisher: Publisher,
    /// The names of exchanges and queues.
    pub(crate) topology: Topology,
    /// Where files may be read from.
    pub(crate) roots: InputRoots,
    /// Who may have what loaded.
    pub(crate) publishers: Publishers,
    /// The mapping profiles.
    pub(crate) sources: Sources,
    /// The folder that relative paths are looked up from.
    pub(crate) base: PathBuf,
    /// Where the Parquet cache is.
    pub(crate) cache: CacheStore,
    /// The name of this worker.
    pub(crate) worker: String,
    /// The limits of a file.
    pub(crate) limits: JobLimits,
    /// What does not answer.
    pub(crate) outages: Outages,
    /// PostgreSQL's clock.
    pub(crate) clock: Clock,
    /// How many jobs may be at work.
    pub(crate) places: usize,
    /// Whether it gets on.
    pub(crate) progress: Progress,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where runs are told to catalogues.
    pub(crate) lineage: Lineage,
    /// Whether the cache could not be written just now.
    pub(crate) cache_trouble: CacheTrouble,
    /// What cannot be used, though jobs do without it.
    pub(crate) faults: Faults,
    /// Whether PostgreSQL keeps what it acknowledges.
    pub(crate) durability: Durability,
    /// Ends what still runs when the drain time is over.
    pub(crate) abort: CancellationToken,
    /// Wakes the relay.
    pub(crate) relay: Arc<Wake>,
}

/// How long the cache is left to the relay after it could not be written.
const CACHE_REST: Duration = Duration::from_secs(30);

/// Remembers that the cache could not be written, so that not every job waits for it.
#[derive(Default)]
pub(crate) struct CacheTrouble {
    noted: Mutex<Option<Instant>>,
}

impl CacheTrouble {
    /// Notes that it could not be written now.
    pub(crate) fn note(&self) {
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether that was just now.
    pub(crate) fn is_recent(&self) -> bool {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < CACHE_REST)
    }
}

/// What jobs can do without and a person should know: why a place cannot be used, by what it is.
#[derive(Default)]
pub(crate) struct Faults(Mutex<BTreeMap<&'static str, String>>);

impl Faults {
    /// Notes what a look at a place came to. What begins and what is over is logged once.
    pub(crate) fn note(&self, place: &'static str, looked: Result<(), String>) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match looked {
            Ok(()) => {
                if faults.remove(place).is_some() {
                    tracing::info!("{place} can be used again");
                }
            }
            Err(reason) => {
                if faults.insert(place, reason.clone()).is_none() {
                    tracing::warn!(reason, "{place} cannot be used");
                }
            }
        }
    }

    /// Those that there are.
    pub(crate) fn all(&self) -> BTreeMap<&'static str, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The limits of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobLimits {
    /// Bytes of a file.
    pub(crate) file_bytes: u64,
    /// Its records, and what it unpacks to.
    pub(crate) file: FileLimits,
    /// Bad rows that quarantine allows.
    pub(crate) max_rejected: u64,
    /// How far from zero a balanced slice may sum.
    pub(crate) nil_tolerance: Amount,
}

impl JobLimits {
    /// The limits that the settings give.
    pub(crate) fn from_settings(settings: &Settings) -> Self {
        Self {
            file_bytes: settings.max_file_bytes,
            file: FileLimits::from(settings),
            max_rejected: settings.max_rejected_rows,
            nil_tolerance: settings.nil_tolerance,
        }
    }
}
