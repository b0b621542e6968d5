//! The way to MongoDB, which the sinks that need it share.

use std::sync::Arc;

use shared::{
    settings::ServiceUrl,
    stores::mongo::{self, Mongo, MongoError},
    telemetry,
};
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    backlog::RelayState,
    progress::{Progress, SinkError},
};

/// How often an idle MongoDB is asked whether it answers.
const PING_PAUSE: Duration = Duration::from_secs(5);

/// The way to MongoDB, and when it last answered.
pub(crate) struct MongoLink {
    url: ServiceUrl,
    state: Arc<RelayState>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    mongo: Option<Mongo>,
    /// The address that the client was made with.
    address: String,
    answered: Option<Instant>,
}

/// Ends a client that is not needed any more, without waiting for that.
fn close(mongo: Option<Mongo>) {
    if let Some(mongo) = mongo {
        tokio::spawn(async move { mongo.close().await });
    }
}

impl MongoLink {
    /// A way that is opened when it is first needed.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub(super) fn new(url: &ServiceUrl, state: Arc<RelayState>) -> Result<Self, MongoError> {
        mongo::check(url)?;
        Ok(Self { url: url.clone(), state, known: Mutex::default() })
    }

    /// Makes sure that MongoDB answers before rows are locked for it, if that is not known already.
    ///
    /// # Errors
    /// If it does not.
    pub(super) async fn reach(&self) -> Result<Mongo, MongoError> {
        let mut known = self.known.lock().await;
        // The URL may stand in a file that has changed: a password has, or will soon.
        let address = self.url.current().expose().to_owned();
        if address != known.address {
            close(known.mongo.take());
            *known = Known { address, ..Known::default() };
        }
        let mongo = match &known.mongo {
            Some(mongo) => mongo.clone(),
            None => {
                let mongo = Mongo::open(&self.url, "aura-worker").await?;
                mongo.ping().await?;
                mongo.ensure().await?;
                known.mongo.insert(mongo).clone()
            }
        };
        if known.answered.is_none_or(|at| at.elapsed() >= PING_PAUSE) {
            mongo.ping().await?;
            known.answered = Some(Instant::now());
            self.state.set(|backlog| backlog.mongodb_away = None);
        }
        Ok(mongo)
    }

    /// Ends the client, if one was opened.
    pub(super) async fn close(&self) {
        if let Some(mongo) = self.known.lock().await.mongo.take() {
            mongo.close().await;
        }
    }

    /// Notes what a step of a delivery to MongoDB says about it.
    pub(super) async fn note(&self, step: Result<Progress, SinkError>) -> Result<Progress, SinkError> {
        match &step {
            Ok(progress) if progress.done > 0 => {
                self.known.lock().await.answered = Some(Instant::now());
                self.state.set(|backlog| backlog.delivered_total += progress.done as u64);
            }
            Err(SinkError::Mongo(error)) => {
                let mut known = self.known.lock().await;
                // Another client may have more luck, with certificates that have been changed meanwhile.
                close(known.mongo.take());
                known.answered = None;
                self.state.set(|backlog| backlog.mongodb_away = Some(telemetry::chain(error)));
            }
            Ok(_) | Err(SinkError::Postgres(_) | SinkError::Cache(_)) => {}
        }
        step
    }
}
