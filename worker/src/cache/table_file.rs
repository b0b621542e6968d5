//! A cache file, written on a thread of its own from rows as COPY has them.

use bytes::Bytes;
use shared::{file::columns::COPIED, slice::Slice, stores::cache};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use uuid::Uuid;

use super::{
    copy_out::CopiedRows,
    destination::{Draft, TempFile},
    error::CacheError,
    parquet::TableWriter,
};

/// What a file says of itself.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    pub(super) slice: Slice,
    pub(super) job_id: Uuid,
    pub(super) fingerprint: String,
}

/// Writes a file from the pieces of one copy, and syncs it. It belongs to the writer, so that it goes away even if
/// nobody waits for it any more; a copy without its end makes none.
pub(super) fn write(
    draft: Draft,
    labels: Labels,
    pieces: mpsc::Receiver<Bytes>,
) -> JoinHandle<Result<(TempFile, u64), CacheError>> {
    spawn_blocking(move || write_pieces(&draft, &labels, pieces))
}

fn write_pieces(
    draft: &Draft,
    labels: &Labels,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<(TempFile, u64), CacheError> {
    let Labels { slice, job_id, fingerprint } = labels;
    let unplaced = draft.begin()?;
    let job_id = job_id.to_string();
    let metadata = [
        (cache::JOB_ID, job_id.as_str()),
        (cache::FINGERPRINT, fingerprint.as_str()),
        (cache::ENTITY, slice.entity.as_str()),
        (cache::PERIOD, slice.period.as_str()),
    ];
    let mut table = TableWriter::new(unplaced.writer()?, &metadata)?;
    let mut rows = CopiedRows::new(COPIED);
    while let Some(piece) = pieces.blocking_recv() {
        rows.push(&piece);
        while let Some(cells) = rows.next()? {
            table.add(cells)?;
        }
    }
    rows.finish()?;
    let (_, count) = table.finish()?;
    Ok((unplaced.finish()?, count))
}
