//! What comes of a step of a sink's work.

use shared::stores::{
    mongo::MongoError,
    postgres::{AsConflict, PostgresError},
};

use crate::cache::CacheError;

/// What a step did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Rows that went on.
    pub(crate) done: usize,
    /// Whether there are more that can be done at once.
    pub(crate) more: bool,
    /// What the store has against a document that it did not take, if there is one.
    pub(crate) refused: Option<String>,
}

/// A step failed; it is done again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// MongoDB failed.
    #[error(transparent)]
    Mongo(#[from] MongoError),
    /// A cache file failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl AsConflict for SinkError {
    fn is_conflict(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_conflict(),
            Self::Mongo(_) | Self::Cache(_) => false,
        }
    }

    fn is_read_only(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_read_only(),
            Self::Mongo(_) | Self::Cache(_) => false,
        }
    }
}
