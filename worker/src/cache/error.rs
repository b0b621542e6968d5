//! Why a slice's cache file was not written.

use std::{
    io,
    path::{Path, PathBuf},
};

use shared::stores::{
    object_store::{ObjectError, object_url::ObjectUrl},
    postgres::PostgresError,
};
use tokio::task::JoinError;

use super::{copy_out::Malformed, parquet::TableError};

/// How often a slice is read again because a job committed meanwhile.
pub(super) const READS: u32 = 5;

/// The cache file of a slice was not written. Its tasks stand, so it will be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The copy cannot be read.
    #[error(transparent)]
    Copy(#[from] Malformed),
    /// The table cannot be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file cannot be worked with.
    #[error("cannot {what} {path}")]
    Io {
        /// What was to be done with it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The object store did not do what it was asked.
    #[error("cannot {what} {object}")]
    Store {
        /// What was to be done with it.
        what: &'static str,
        /// The object.
        object: ObjectUrl,
        /// Why not.
        source: ObjectError,
    },
    /// Jobs committed faster than the slice could be read.
    #[error("the slice changed each of the {READS} times it was read")]
    Changing,
    /// Another process held the turn all the time.
    #[error("another process does not end its turn to rename files in {0}")]
    RenameLocked(PathBuf),
    /// The writer panicked.
    #[error("the writer of a cache file died")]
    Writer(#[from] JoinError),
}

/// Names the file that could not be worked with.
pub(super) fn failed_to(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    move |source| CacheError::Io { what, path: path.to_owned(), source }
}
