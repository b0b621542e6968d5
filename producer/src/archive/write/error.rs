//! Why a year is not archived.

use std::fmt;

use shared::{settings::Settings, stores::postgres::PostgresError, telemetry::chain as causes};

use super::super::{folder::Place, slices::Known, table_file::TableError};
use crate::{errors::CommandError, verify::stores::StoreError};

/// A year cannot be archived.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to archive.
    #[error("{0}")]
    Nothing(String),
    /// It is not closed.
    #[error("{0}")]
    Open(String),
    /// The stores do not agree.
    #[error("{0}")]
    Doubtful(String),
    /// Not everything has reached MongoDB.
    #[error("{0}")]
    Late(String),
    #[error("it was interrupted")]
    Interrupted,
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Folder(#[from] std::io::Error),
    #[error("the manifest cannot be written")]
    Manifest(#[from] serde_json::Error),
}

impl From<PostgresError> for ArchiveError {
    fn from(error: PostgresError) -> Self {
        Self::Store(error.into())
    }
}

impl ArchiveError {
    pub(super) fn at(self, place: &Place, settings: &Settings) -> CommandError {
        match self {
            Self::Store(error) => error.at(settings),
            Self::Nothing(what) => CommandError::Unknown(what),
            Self::Open(what) => CommandError::Input(what),
            Self::Doubtful(what) => CommandError::Doubtful(what),
            Self::Late(what) => CommandError::Unseen(what),
            Self::Interrupted => CommandError::Unseen("it was interrupted; nothing was archived".to_owned()),
            Self::Table(TableError::Arrow(_) | TableError::Parquet(_) | TableError::File(_))
            | Self::Folder(_)
            | Self::Manifest(_) => {
                let place = place.path().display();
                CommandError::Input(format!("the archive cannot be written to {place}: {}", causes(&self)))
            }
            Self::Table(error @ TableError::Cell { .. }) => CommandError::Doubtful(error.to_string()),
        }
    }

    /// Says of which slice it is, and what to do about that.
    pub(super) fn of(slice: &Known, error: impl fmt::Display) -> Self {
        let Known { entity, period, .. } = slice;
        let advice = format!("aura-producer verify --entity {entity} --period {period}");
        Self::Doubtful(format!("{entity} {period}: {error}; it is not archived. Run: {advice}"))
    }
}
