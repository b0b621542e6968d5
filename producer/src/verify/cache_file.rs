//! A cache file, read piece by piece on a thread of its own.

use std::{collections::BTreeMap, fs::File, io};

use arrow::array::RecordBatch;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use shared::{
    slice::Slice,
    stores::{
        cache::{self, CacheStore},
        object_store::{
            ObjectError,
            copy::{Content, Copied, CopyError, CopyLimits, copy},
        },
    },
};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{row::compared, stores::StoreError};

/// Rows that are decoded, and pieces that wait, at a time.
const BATCH_ROWS: usize = 1024;
const PIECES: usize = 2;
/// A copy may be as long as it takes, and lies on disk.
const WHOLE: CopyLimits = CopyLimits { bytes: u64::MAX, held: 0 };

enum Piece {
    Missing,
    Labels(BTreeMap<String, String>),
    Rows(RecordBatch),
    End,
    Unreadable(String),
}

/// A cache file that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

/// An opened cache file. Whoever replaces it meanwhile does not change what is read.
pub(super) struct CacheFile {
    pub(super) labels: BTreeMap<String, String>,
    pieces: mpsc::Receiver<Piece>,
}

impl CacheFile {
    /// Opens a slice's file, or a copy of its object; none if there is none.
    ///
    /// # Errors
    /// If an object store does not hand it out.
    pub(super) async fn open(
        cache: &CacheStore,
        slice: &Slice,
    ) -> Result<Result<Option<Self>, Unreadable>, StoreError> {
        let name = cache::file_name(slice);
        match cache {
            CacheStore::Folder(folder) => {
                let path = folder.join(name);
                Ok(Self::begin(move || File::open(path)).await)
            }
            CacheStore::Objects(store) => match copy(store, &store.root().join(&name), WHOLE).await {
                Ok(Copied { content: Content::Spilled(file), .. }) => Ok(Self::begin(move || Ok(file)).await),
                Ok(Copied { content: Content::Held(_), .. }) => Ok(Err(Unreadable("it is empty".to_owned()))),
                Err(CopyError::Store(ObjectError::Missing)) => Ok(Ok(None)),
                Err(CopyError::Store(trouble @ ObjectError::Replaced)) => Ok(Err(Unreadable(trouble.to_string()))),
                Err(error) => Err(StoreError::of_cache(cache)(error)),
            },
        }
    }

    async fn begin(open: impl FnOnce() -> io::Result<File> + Send + 'static) -> Result<Option<Self>, Unreadable> {
        let (sender, mut pieces) = mpsc::channel(PIECES);
        spawn_blocking(move || {
            if let Err(reason) = read(open(), &sender) {
                let _ = sender.blocking_send(Piece::Unreadable(reason));
            }
        });
        match pieces.recv().await {
            Some(Piece::Labels(labels)) => Ok(Some(Self { labels, pieces })),
            Some(Piece::Missing) => Ok(None),
            Some(Piece::Unreadable(reason)) => Err(Unreadable(reason)),
            Some(Piece::Rows(_) | Piece::End) | None => Err(Unreadable("reading it broke off".to_owned())),
        }
    }

    /// The next rows, their columns in the order in which they are compared; none at the end of the file,
    /// past which it must not be asked.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, Unreadable> {
        match self.pieces.recv().await {
            Some(Piece::Rows(batch)) => Ok(Some(batch)),
            Some(Piece::End) => Ok(None),
            Some(Piece::Unreadable(reason)) => Err(Unreadable(reason)),
            Some(Piece::Missing | Piece::Labels(_)) | None => Err(Unreadable("reading it broke off".to_owned())),
        }
    }
}

fn read(opened: io::Result<File>, pieces: &mpsc::Sender<Piece>) -> Result<(), String> {
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let _ = pieces.blocking_send(Piece::Missing);
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    let pairs = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let labels = pairs.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect();
    if pieces.blocking_send(Piece::Labels(labels)).is_err() {
        return Ok(());
    }
    let schema = builder.schema();
    for (name, kind) in compared() {
        let field = schema.field_with_name(name).map_err(|_| format!("it has no column {name}"))?;
        if !kind.fits(field.data_type()) {
            return Err(format!("its column {name} is of type {}", field.data_type()));
        }
    }
    let columns = ProjectionMask::columns(builder.parquet_schema(), compared().map(|(name, _)| name));
    let reader = builder.with_projection(columns).with_batch_size(BATCH_ROWS).build();
    for batch in reader.map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        // In the order in which they are compared, whatever the file's.
        let order: Option<Vec<usize>> = compared().map(|(name, _)| batch.schema().index_of(name).ok()).collect();
        let batch = batch.project(&order.unwrap_or_default()).map_err(|error| error.to_string())?;
        if pieces.blocking_send(Piece::Rows(batch)).is_err() {
            return Ok(());
        }
    }
    let _ = pieces.blocking_send(Piece::End);
    Ok(())
}
