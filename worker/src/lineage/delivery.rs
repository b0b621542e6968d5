//! Brings events to where they are wanted, one after the other.

use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use shared::{secret::Secret, settings::LineageSettings};
use tokio::{io::AsyncWriteExt, sync::mpsc};

use super::Backlog;
use crate::metrics::Metrics;

/// How long the receiver may take for one event.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The mode of a file that is made.
const FILE_MODE: u32 = 0o640;

/// An event did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    /// There can be no HTTP client.
    #[error("events of OpenLineage cannot be sent")]
    Client(#[source] reqwest::Error),
    /// The receiver did not answer.
    #[error("the receiver does not answer")]
    Away(#[source] reqwest::Error),
    /// The receiver refused it.
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
    /// The file cannot be written.
    #[error("cannot append to {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Where events go, and how many did not get there.
pub(super) struct Delivery {
    receiver: Option<Receiver>,
    path: Option<PathBuf>,
    backlog: Arc<Backlog>,
    metrics: Arc<Metrics>,
    lost: u64,
}

struct Receiver {
    client: Client,
    url: Secret,
    api_key: Option<Secret>,
}

impl Delivery {
    /// The delivery that the settings ask for, if they do.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub(super) fn of(
        settings: &LineageSettings,
        backlog: Arc<Backlog>,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Self>, DeliveryError> {
        let receiver = settings.url.clone().map(|url| {
            let client = Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build();
            let client = client.map_err(DeliveryError::Client)?;
            Ok(Receiver { client, url, api_key: settings.api_key.clone() })
        });
        let (receiver, path) = (receiver.transpose()?, settings.path.clone());
        let is_wanted = receiver.is_some() || path.is_some();
        Ok(is_wanted.then_some(Self { receiver, path, backlog, metrics, lost: 0 }))
    }

    /// Sends events until there are no more.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<String>) {
        while let Some(event) = queue.recv().await {
            self.backlog.bytes.fetch_sub(event.len(), Ordering::Relaxed);
            self.count_dropped();
            let sent = self.send(event).await;
            self.account(sent);
        }
        self.count_dropped();
        if self.lost > 0 {
            tracing::warn!(lost = self.lost, "OpenLineage events were lost");
        }
    }

    fn count_dropped(&self) {
        let dropped = self.backlog.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.metrics.lineage("dropped", dropped);
            tracing::warn!(dropped, "OpenLineage events were dropped, as the receiver takes too long");
        }
    }

    async fn send(&self, event: String) -> Result<(), DeliveryError> {
        if let Some(path) = &self.path {
            let appended = append(path, format!("{event}\n")).await;
            appended.map_err(|source| DeliveryError::File { path: path.clone(), source })?;
        }
        match &self.receiver {
            Some(receiver) => receiver.post(event).await,
            None => Ok(()),
        }
    }

    /// Tells the first failure of a row of them, and how many there were once one succeeds.
    fn account(&mut self, sent: Result<(), DeliveryError>) {
        self.metrics.lineage(if sent.is_ok() { "sent" } else { "lost" }, 1);
        match sent {
            Ok(()) if self.lost > 0 => {
                tracing::warn!(lost = self.lost, "OpenLineage events arrive again; those between were lost");
                self.lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.lost == 0 {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "an OpenLineage event did not arrive; jobs go on, and it is not sent again"
                    );
                }
                self.lost += 1;
            }
        }
    }
}

impl Receiver {
    async fn post(&self, event: String) -> Result<(), DeliveryError> {
        let mut request = self.client.post(self.url.expose()).header(CONTENT_TYPE, "application/json").body(event);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key.current());
        }
        let answer = request.send().await.map_err(|error| DeliveryError::Away(error.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(DeliveryError::Refused(answer.status())) }
    }
}

/// Appends a line in one write, which others that append to the file do not tear.
async fn append(path: &Path, line: String) -> Result<(), std::io::Error> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(FILE_MODE);
    let mut file = tokio::fs::OpenOptions::from(options).open(path).await?;
    file.set_max_buf_size(line.len());
    file.write_all(line.as_bytes()).await?;
    file.flush().await
}
