//! What can go wrong with PostgreSQL.

use deadpool_postgres::{BuildError, HookError, PoolError};
use refinery::error::Kind;
use tokio_postgres::error::SqlState;

use super::versions::{OLDEST_SCHEMA, newest};

/// PostgreSQL did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The URL cannot be used.
    #[error("the PostgreSQL URL cannot be used")]
    Url(#[source] tokio_postgres::Error),
    /// The pool of connections cannot be made.
    #[error("the pool of connections to PostgreSQL cannot be made")]
    Pool(#[source] BuildError),
    /// No connection could be had.
    #[error("PostgreSQL gives no connection")]
    Connect(#[from] PoolError),
    /// A statement failed.
    #[error("PostgreSQL failed to {what}")]
    Statement {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// A statement was not answered in time.
    #[error("PostgreSQL did not {what} in time")]
    Timeout {
        /// What it was asked to do.
        what: &'static str,
    },
    /// A pooler gives each transaction another session.
    #[error(
        "the sessions of PostgreSQL are shared: a pooler gives each transaction another one, and Aura sets its sessions \
         up and prepares statements in them"
    )]
    SharedSessions,
    /// The server is a standby.
    #[error("PostgreSQL is a standby, which takes no writes; AURA_POSTGRES_URL must lead to the primary")]
    Standby,
    /// The schema cannot be brought up to date.
    #[error("the schema cannot be brought up to date")]
    Migrate(#[source] refinery::Error),
    /// The schema is one that this program cannot work with.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl PostgresError {
    /// Says what a statement was for when it failed.
    pub fn in_(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Statement { what, source }
    }

    /// The SQLSTATE, if PostgreSQL answered.
    pub fn sql_state(&self) -> Option<&SqlState> {
        match self {
            Self::Statement { source, .. } | Self::Url(source) => source.code(),
            Self::Connect(PoolError::Backend(source) | PoolError::PostCreateHook(HookError::Backend(source))) => {
                source.code()
            }
            Self::Migrate(source) => stopped_by(source),
            Self::Schema(SchemaError::Forbidden { source, .. }) => source.sql_state(),
            Self::Pool(_)
            | Self::Connect(_)
            | Self::Timeout { .. }
            | Self::Standby
            | Self::SharedSessions
            | Self::Schema(_) => None,
        }
    }

    /// What PostgreSQL, or what stands before it, said.
    pub(super) fn said(&self) -> Option<&str> {
        let source = match self {
            Self::Statement { source, .. } | Self::Url(source) => source,
            Self::Connect(PoolError::Backend(source) | PoolError::PostCreateHook(HookError::Backend(source))) => source,
            Self::Pool(_)
            | Self::Connect(_)
            | Self::Timeout { .. }
            | Self::Standby
            | Self::SharedSessions
            | Self::Migrate(_)
            | Self::Schema(_) => return None,
        };
        source.as_db_error().map(tokio_postgres::error::DbError::message)
    }

    /// Whether another transaction was in the way, so that the same one can succeed again.
    pub fn is_conflict(&self) -> bool {
        let conflicts =
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
        self.sql_state().is_some_and(|state| conflicts.contains(state))
    }

    /// Returns whether the server takes no writes, as one that has become a standby.
    pub fn is_read_only(&self) -> bool {
        self.sql_state() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
    }

    /// Whether a statement took longer than its limit.
    pub fn is_timeout(&self) -> bool {
        self.sql_state() == Some(&SqlState::QUERY_CANCELED)
    }

    /// Returns whether PostgreSQL refuses what was to be written, and will again.
    pub fn is_refusal(&self) -> bool {
        self.sql_state().is_some_and(|state| state.code().starts_with("22") || state.code().starts_with("23"))
    }

    /// Whether two rows had the same key.
    pub fn is_unique_violation(&self) -> bool {
        self.sql_state() == Some(&SqlState::UNIQUE_VIOLATION)
    }
}

/// What an error says about the transaction and its connection.
pub trait AsConflict {
    /// Whether the same transaction can succeed if it runs again.
    fn is_conflict(&self) -> bool;

    /// Whether its connection leads to a server that takes no writes.
    fn is_read_only(&self) -> bool;
}

impl AsConflict for PostgresError {
    fn is_conflict(&self) -> bool {
        PostgresError::is_conflict(self)
    }

    fn is_read_only(&self) -> bool {
        PostgresError::is_read_only(self)
    }
}

/// A schema that this program cannot work with.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Its tables are not there, or too old.
    #[error(
        "the database has {}, and this program needs version {OLDEST_SCHEMA} to {}; have a role that owns the \
         tables, or the database, run `aura-producer migrate`", version(*found), newest()
    )]
    TooOld {
        /// The newest migration that was applied; 0 if none was.
        found: i32,
    },
    /// The role may not bring it up to date.
    #[error(
        "the database has {}, and this role may not bring it to version {}; have a role that owns the tables, or \
         the database, run `aura-producer migrate`", version(*found), newest()
    )]
    Forbidden {
        /// The newest migration that was applied; 0 if none was.
        found: i32,
        /// What PostgreSQL said.
        source: Box<PostgresError>,
    },
    /// It has been changed in a way that this program does not know.
    #[error(
        "the database has schema version {found}, which works with programs that know version {needed} or later, \
         and this one knows none after {}; install a newer release of this program",
        newest()
    )]
    TooNew {
        /// The newest migration that was applied.
        found: i32,
        /// The oldest that a program must know.
        needed: i32,
    },
    /// Its history is not one that these migrations lead to.
    #[error("the database's history of migrations is not this program's: {0}; is it another program's database?")]
    Divergent(String),
    /// The ledger lies in a schema that is not looked into.
    #[error(
        "there is no ledger on the search path ({path}), but one in schema {found}; add \
         ?options=-csearch_path%3D{found} to AURA_POSTGRES_URL"
    )]
    Elsewhere {
        /// The search path.
        path: String,
        /// Where the ledger is.
        found: String,
    },
}

/// The SQLSTATE of what stopped a migration, if PostgreSQL did.
fn stopped_by(error: &refinery::Error) -> Option<&SqlState> {
    let Kind::Connection(_, source) = error.kind() else { return None };
    source.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code)
}

fn version(found: i32) -> String {
    if found == 0 { "no schema".to_owned() } else { format!("schema version {found}") }
}
