//! Why a command could not do what it was asked, and the exit code that says so.

use std::{fmt, net::SocketAddr, process::ExitCode, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    broker::{amqp::AmqpError, topology::TopologyError},
    settings::{ServiceUrl, Settings, SettingsError},
    stores::{
        mongo::MongoError,
        postgres::{PostgresError, SchemaError, pooler},
    },
    telemetry::{TelemetryError, chain},
};
use tokio_postgres::error::SqlState;

/// How a command that could do its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Done: exit code 0.
    Done,
    /// At least one job failed, or something was found: exit code 1.
    Failed,
    /// Part of the work was left undone by a service: exit code 3.
    Undone,
}

impl From<ExitStatus> for ExitCode {
    fn from(exit_status: ExitStatus) -> Self {
        match exit_status {
            ExitStatus::Done => ExitCode::SUCCESS,
            ExitStatus::Failed => ExitCode::from(1),
            ExitStatus::Undone => ExitCode::from(3),
        }
    }
}

/// A command that could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// What it was given cannot be used.
    #[error("{0}")]
    Input(String),
    /// What it was given has faults, each of which is named.
    #[error("{what}")]
    Faults {
        /// What was given.
        what: String,
        /// What is wrong with it.
        faults: Vec<String>,
    },
    /// What is asked for is not there.
    #[error("{0}")]
    Unknown(String),
    /// The stores do not agree on what they were asked for.
    #[error("{0}")]
    Doubtful(String),
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log cannot be written.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The answer cannot be written.
    #[error("cannot write to stdout")]
    Output(#[source] std::io::Error),
    /// The broker did not do what it was asked.
    #[error("RabbitMQ at {url}")]
    Broker {
        /// Where it is, without the password.
        url: String,
        /// What went wrong.
        source: Box<AmqpError>,
    },
    /// The topology is not what it should be.
    #[error("RabbitMQ at {url}")]
    Topology {
        /// Where it is, without the password.
        url: String,
        /// What went wrong.
        source: Box<TopologyError>,
    },
    /// A message could not be published.
    #[error("it was not published: {0}")]
    Undelivered(String),
    /// Another engineer works on the dead letters.
    #[error("{queue} is held by another engineer's command, or another consumer; try again once that is done")]
    Held {
        /// The queue of dead letters.
        queue: String,
    },
    /// Not all that was to be looked at could be.
    #[error("{0}")]
    Unseen(String),
    /// PostgreSQL did not do what it was asked.
    #[error("PostgreSQL at {url}")]
    Postgres {
        /// Where it is, without the password.
        url: String,
        /// What went wrong.
        source: Box<PostgresError>,
    },
    /// A service did not answer.
    #[error("{what} did not answer within {} s", limit.as_secs())]
    Unanswered {
        /// Which, and where it is, without the password.
        what: String,
        /// How long it was given.
        limit: Duration,
    },
    /// MongoDB did not do what it was asked.
    #[error("MongoDB at {url}")]
    Mongo {
        /// Where it is, without the password.
        url: String,
        /// What went wrong.
        source: Box<MongoError>,
    },
    /// An address cannot be listened on.
    #[error("cannot serve at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// An object store did not do what it was asked.
    #[error("{place}: {reason}")]
    Store {
        /// The object.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// The Parquet cache cannot be read.
    #[error("the cache {cache} cannot be read")]
    Cache {
        /// Where it is.
        cache: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// That something could not be done, as programs are told it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorAnswer {
    pub(crate) error: ErrorTold,
}

/// What was wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorTold {
    /// What failed, where, why and what to do, in one line.
    pub(crate) message: String,
    /// The single faults, where there are several.
    pub(crate) faults: Vec<String>,
}

impl ErrorAnswer {
    pub(crate) fn new(message: impl Into<String>, faults: &[String]) -> Self {
        Self { error: ErrorTold { message: message.into(), faults: faults.to_vec() } }
    }
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error.message)
    }
}

impl CommandError {
    /// Says where the broker is that failed.
    pub(crate) fn broker(settings: &Settings) -> impl Fn(AmqpError) -> Self + Copy {
        let url = &settings.amqp_url;
        move |source| Self::Broker { url: url.to_string(), source: Box::new(source) }
    }

    /// Says where the PostgreSQL is that failed.
    pub(crate) fn postgres(settings: &Settings) -> impl Fn(PostgresError) -> Self + Copy {
        let url: &ServiceUrl = &settings.postgres_url;
        move |source| Self::Postgres { url: url.to_string(), source: Box::new(source) }
    }

    /// Says where the MongoDB is that failed.
    pub(crate) fn mongo(settings: &Settings) -> impl Fn(MongoError) -> Self + Copy {
        let url: &ServiceUrl = &settings.mongodb_url;
        move |source| Self::Mongo { url: url.to_string(), source: Box::new(source) }
    }

    /// The exit code that the contract gives it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown(_) | Self::Doubtful(_) => 1,
            // Waiting does not bring these right.
            Self::Postgres { source, .. }
                if matches!(
                    **source,
                    PostgresError::Schema(
                        SchemaError::TooNew { .. } | SchemaError::Divergent(_) | SchemaError::Elsewhere { .. }
                    )
                ) =>
            {
                2
            }
            Self::Input(_) | Self::Faults { .. } | Self::Settings(_) | Self::Telemetry(_) | Self::Listen { .. } => 2,
            Self::Broker { .. }
            | Self::Topology { .. }
            | Self::Held { .. }
            | Self::Unseen(_)
            | Self::Undelivered(_)
            | Self::Postgres { .. }
            | Self::Unanswered { .. }
            | Self::Mongo { .. }
            | Self::Cache { .. }
            | Self::Store { .. }
            | Self::Output(_) => 3,
        }
    }

    /// What failed, where, why and what to do, in one line.
    pub(crate) fn line(&self) -> String {
        let advice = self.advice();
        let text = chain(self).replace('\n', " ");
        let text = text.trim_end_matches('.');
        if advice.is_empty() { text.to_owned() } else { format!("{text}; {advice}") }
    }

    /// The single faults, where it has several.
    pub(crate) fn faults(&self) -> &[String] {
        match self {
            Self::Faults { faults, .. } => faults,
            Self::Input(_)
            | Self::Unknown(_)
            | Self::Doubtful(_)
            | Self::Settings(_)
            | Self::Telemetry(_)
            | Self::Output(_)
            | Self::Broker { .. }
            | Self::Topology { .. }
            | Self::Held { .. }
            | Self::Unseen(_)
            | Self::Undelivered(_)
            | Self::Postgres { .. }
            | Self::Unanswered { .. }
            | Self::Mongo { .. }
            | Self::Listen { .. }
            | Self::Cache { .. }
            | Self::Store { .. } => &[],
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::Broker { .. } => "check that it runs, and AURA_AMQP_URL",
            Self::Topology { source, .. } => match **source {
                TopologyError::Broker { .. } | TopologyError::Unreached { .. } => {
                    "check that it runs, and AURA_AMQP_URL"
                }
                TopologyError::Mismatch { .. } | TopologyError::Missing { .. } => "",
            },
            Self::Postgres { source, .. } if matches!(**source, PostgresError::Migrate(_)) => {
                "nothing of the migration that failed was kept"
            }
            Self::Postgres { source, .. } if matches!(**source, PostgresError::Schema(_)) => "",
            Self::Postgres { source, .. } if source.is_pooling() => pooler::ADVICE,
            Self::Postgres { source, .. } if matches!(**source, PostgresError::Standby) => "",
            Self::Postgres { source, .. } if source.sql_state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                "README.md says which rights the role needs"
            }
            Self::Postgres { source, .. } if source.is_conflict() || source.is_timeout() => {
                "nothing was changed; try again when less is going on"
            }
            Self::Postgres { .. } => "check that it runs, and AURA_POSTGRES_URL",
            Self::Mongo { .. } => "check that it runs, and AURA_MONGODB_URL",
            Self::Cache { .. } => {
                "run it as a user, or with the credentials of one, who may read it, and check AURA_CACHE_URL"
            }
            Self::Store { .. } => "check the store's address and credentials; aura-producer help settings lists them",
            Self::Listen { .. } => "another console may run; AURA_CONSOLE_ADDR takes another address",
            Self::Input(_)
            | Self::Unknown(_)
            | Self::Doubtful(_)
            | Self::Faults { .. }
            | Self::Settings(_)
            | Self::Telemetry(_)
            | Self::Output(_)
            | Self::Undelivered(_)
            | Self::Unanswered { .. }
            | Self::Unseen(_)
            | Self::Held { .. } => "",
        }
    }
}
