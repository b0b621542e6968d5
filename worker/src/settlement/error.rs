//! Why a settlement was not carried out, and how long to wait before it is tried again.

use std::time::Duration;

use shared::{
    broker::{amqp::AmqpError, topology::TopologyError},
    stores::postgres::PostgresError,
};

/// How long to wait before something that failed is tried again, or given back.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A settlement could not be carried out; the message stays with the broker.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettlementError {
    /// A message could not be published.
    #[error("a message could not be published")]
    Publish(#[from] AmqpError),
    /// A queue that was gone could not be declared again.
    #[error("the topology could not be declared again")]
    Topology(#[from] TopologyError),
    /// PostgreSQL did not take what was published before the worker stopped.
    #[error("an outcome could not be written down before the worker stopped")]
    Write(#[source] PostgresError),
    /// PostgreSQL refuses it, and will again.
    #[error("PostgreSQL refuses what is to be written down")]
    Refused(#[source] PostgresError),
}
