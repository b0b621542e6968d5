//! OpenLineage: tells a catalogue of each run, as it starts and as it ends.
//!
//! It is told at best, never relied on: no job waits for it or fails by it. What the receiver does not take in time
//! is dropped and counted.

mod delivery;
mod event;
mod facets;
mod facts;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use shared::{
    file::trial_balance::CheckedSlice,
    message::{event::Event, failure::Failure, job::Job, receipt::Receipt},
    settings::Settings,
};
use tokio::{sync::mpsc, task::JoinHandle};

use self::{delivery::Delivery, event::Names};
pub(crate) use self::{delivery::DeliveryError, facts::Facts};
use crate::metrics::Metrics;

/// Events that wait for the receiver, and bytes of them. What comes while it is full is dropped.
const QUEUE: usize = 1_000;
const QUEUE_BYTES: usize = 16 << 20;
/// How long events that wait are still sent as the worker ends.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Where the runs of this worker are told, if anywhere.
pub(crate) struct Lineage {
    names: Names,
    queue: Mutex<Option<mpsc::Sender<String>>>,
    backlog: Arc<Backlog>,
    sending: Mutex<Option<JoinHandle<()>>>,
}

impl Lineage {
    /// Starts what sends events where the settings say. Must be called within the runtime.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub(crate) fn start(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Self, DeliveryError> {
        let backlog = Arc::new(Backlog::default());
        let (mut queue, mut sending) = (None, None);
        if let Some(delivery) = Delivery::of(&settings.lineage, Arc::clone(&backlog), Arc::clone(metrics))? {
            let (sender, receiver) = mpsc::channel(QUEUE);
            (queue, sending) = (Some(sender), Some(tokio::spawn(delivery.run(receiver))));
        }
        Ok(Self { names: Names::of(settings), queue: Mutex::new(queue), backlog, sending: Mutex::new(sending) })
    }

    /// An attempt at a job begins.
    pub(crate) fn started(&self, job: &Job) {
        self.tell(|names| event::started(names, job));
    }

    /// An attempt failed, and another one follows.
    pub(crate) fn retried(&self, job: &Job, failure: &Failure) {
        self.tell(|names| event::retried(names, job, failure));
    }

    /// A job has ended.
    pub(crate) fn ended(&self, job: &Job, receipt: &Receipt, facts: Option<&Facts>) {
        self.tell(|names| event::ended(names, job, receipt, facts));
    }

    /// What a success has to tell beside its receipt; none if nobody asks.
    pub(crate) fn facts(&self, checked: &CheckedSlice, events: &[Event]) -> Option<Facts> {
        self.queue().is_some().then(|| Facts::of(checked, events))
    }

    /// Sends what waits, for a moment, and ends.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sending) = sending
            && tokio::time::timeout(LAST_MOMENT, sending).await.is_err()
        {
            tracing::warn!("OpenLineage events that still waited were not sent");
        }
    }

    fn queue(&self) -> Option<mpsc::Sender<String>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, event: impl FnOnce(&Names) -> Value) {
        let Some(queue) = self.queue() else { return };
        let event = event(&self.names).to_string();
        let bytes = event.len();
        let waiting = self.backlog.bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > QUEUE_BYTES || queue.try_send(event).is_err() {
            self.backlog.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.backlog.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What waits for the receiver, and what found no room.
#[derive(Debug, Default)]
struct Backlog {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}
