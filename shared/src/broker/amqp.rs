//! Connections to the broker, with a timeout on every step.

pub mod framing;
mod guard;
pub mod properties;

use std::time::Duration;

use lapin::{
    Connection, ConnectionProperties, ErrorKind,
    types::ShortString,
    uri::{AMQPUri, SASLMechanism},
};
use tokio::time::timeout;

use self::properties::Bounds;
use crate::settings::ServiceUrl;

/// How long connecting may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which a connection counts as lost is twice this.
const HEARTBEAT_SECONDS: u16 = 5;
/// The broker's code for a request that does not fit what it knows.
const PRECONDITION_FAILED: u16 = 406;
/// The code of what is not there.
const NOT_FOUND: u16 = 404;

/// The broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AmqpError {
    /// It does not answer.
    #[error("the broker did not {what} within {} s", limit.as_secs())]
    Timeout {
        /// What it was asked to do.
        what: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// No queue takes the message.
    #[error("no queue takes messages for exchange {exchange:?} with key {key:?}")]
    Unroutable {
        /// The exchange.
        exchange: String,
        /// The routing key.
        key: String,
    },
    /// It did not take the message.
    #[error("the broker refused the message")]
    Refused,
    /// The connection or channel failed.
    #[error("the broker failed to {what}")]
    Broker {
        /// What it was asked to do.
        what: &'static str,
        /// What lapin said.
        source: lapin::Error,
    },
}

impl AmqpError {
    /// Whether the broker refused a message for its `user_id`. It refuses one that is too large with the same code.
    pub(super) fn is_about_user_id(&self) -> bool {
        let Self::Broker { source, .. } = self else { return false };
        let ErrorKind::ProtocolError(error) = source.kind() else { return false };
        error.get_id() == PRECONDITION_FAILED && error.get_message().as_str().contains("user_id")
    }

    /// Whether the broker says that there is no such queue.
    pub fn is_not_found(&self) -> bool {
        let Self::Broker { source, .. } = self else { return false };
        let ErrorKind::ProtocolError(error) = source.kind() else { return false };
        error.get_id() == NOT_FOUND
    }
}

/// Runs one request to the broker under a time limit.
///
/// # Errors
/// If the broker fails, or does not answer in time.
pub async fn within<T>(
    limit: Duration,
    what: &'static str,
    request: impl Future<Output = lapin::Result<T>>,
) -> Result<T, AmqpError> {
    match timeout(limit, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(AmqpError::Broker { what, source }),
        Err(_) => Err(AmqpError::Timeout { what, limit }),
    }
}

/// Connects under a name that the broker's management shows.
///
/// # Errors
/// If the broker refuses, or does not answer in time.
pub async fn connect(url: &ServiceUrl, name: &str) -> Result<Connection, AmqpError> {
    connect_within(url, name, Bounds::default()).await
}

/// Connects, and reads of what the broker delivers no more than so much.
///
/// # Errors
/// If the broker refuses, or does not answer in time.
pub async fn connect_within(url: &ServiceUrl, name: &str, bounds: Bounds) -> Result<Connection, AmqpError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let address = with_heartbeat(url.current().expose());
    within(CONNECT_TIMEOUT, "accept a connection", guard::connect(&address, url.tls(), properties, bounds)).await
}

/// The URL with a heartbeat that notices a peer gone silent within seconds, unless it names its own.
fn with_heartbeat(url: &str) -> String {
    match url.split_once('?') {
        Some((_, query)) if query.split('&').any(|pair| pair.starts_with("heartbeat=")) => url.to_owned(),
        Some(_) => format!("{url}&heartbeat={HEARTBEAT_SECONDS}"),
        None => format!("{url}?heartbeat={HEARTBEAT_SECONDS}"),
    }
}

/// The user that a URL logs in as, whom the broker then vouches for. A certificate's is the broker's to name.
pub fn user_of(url: &str) -> Option<ShortString> {
    let uri: AMQPUri = url.parse().ok()?;
    let by_certificate = uri.query.auth_mechanism == Some(SASLMechanism::External);
    ShortString::try_new(uri.authority.userinfo.username).ok().filter(|_| !by_certificate)
}
