//! A cache file that is written ahead: beside the rows of its job as they go into the ledger, so that they need not be
//! read out of it again.
//!
//! It holds what its job commits, whole, and is put in its place only after that commit, by the publisher that finds the
//! slice to hold this job's rows. Whatever goes wrong with it fails no job: the slice is then read for its file.

use std::time::Duration;

use bytes::Bytes;
use shared::{slice::Slice, stores::cache::CacheStore};
use tokio::{sync::mpsc, task::JoinHandle};
use uuid::Uuid;

use super::{
    destination::{Draft, TempFile},
    error::CacheError,
    table_file::{self, Labels},
};

/// Pieces of rows that wait for the writer, and how long a job waits for a place among them.
const PIECES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

/// A file that rows are still added to.
#[derive(Debug)]
pub(crate) struct Writing {
    /// None once the writer took no more.
    pieces: Option<mpsc::Sender<Bytes>>,
    ahead: Ahead,
}

/// A file that all rows were added to, which may not be finished yet.
#[derive(Debug)]
pub(crate) struct Ahead {
    job_id: Uuid,
    writer: JoinHandle<Result<(TempFile, u64), CacheError>>,
}

impl Writing {
    /// Begins the file of a job.
    pub(crate) fn begin(cache: &CacheStore, slice: &Slice, job_id: Uuid, fingerprint: String) -> Self {
        let (sender, receiver) = mpsc::channel(PIECES);
        let labels = Labels { slice: slice.clone(), job_id, fingerprint };
        let writer = table_file::write(Draft::of(cache, slice), labels, receiver);
        Self { pieces: Some(sender), ahead: Ahead { job_id, writer } }
    }

    /// Adds a piece of a copy, wherever it was cut. A writer that is too slow or has failed is given up.
    pub(crate) async fn add(&mut self, piece: Bytes) {
        if let Some(pieces) = &self.pieces
            && pieces.send_timeout(piece, PATIENCE).await.is_err()
        {
            self.pieces = None;
        }
    }

    /// Ends the file, whose copy has come to its end.
    pub(crate) fn end(self) -> Ahead {
        self.ahead
    }
}

impl Ahead {
    /// The job whose rows it holds.
    pub(crate) fn job_id(&self) -> Uuid {
        self.job_id
    }

    /// The file, once it is finished, and its rows.
    pub(super) async fn file(self) -> Result<(TempFile, u64), CacheError> {
        self.writer.await?
    }
}
