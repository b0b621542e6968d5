//! Rejected rows, on their way from a temporary file to PostgreSQL.

use std::io::Read;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use shared::{
    message::failure::{ErrorCode, Failure, Stage},
    stores::postgres::PostgresError,
};

use super::copy_in::{REJECTED_COLUMNS, Rejected};
use crate::interruption::{Interrupted, is_exhaustion};

const CHUNK: usize = 256 * 1024;

/// Writes them down.
///
/// # Errors
/// If PostgreSQL fails, or the temporary file cannot be read.
pub(super) async fn write(tx: &Transaction<'_>, rejected: Option<Rejected>) -> Result<(), Interrupted> {
    let Some(rejected) = rejected.filter(|rejected| rejected.count > 0) else { return Ok(()) };
    let mut spool = rejected.into_stream().map_err(not_read_back)?;
    let statement = format!("COPY gl_rejected_rows ({REJECTED_COLUMNS}) FROM STDIN (FORMAT binary)");
    let sink = tx.copy_in(&statement).await.map_err(PostgresError::in_("begin a copy"))?;
    let mut sink = std::pin::pin!(sink);
    loop {
        let mut chunk = vec![0; CHUNK];
        let count = spool.read(&mut chunk).map_err(not_read_back)?;
        if count == 0 {
            break;
        }
        chunk.truncate(count);
        sink.send(Bytes::from(chunk)).await.map_err(PostgresError::in_("copy rejected rows"))?;
    }
    sink.finish().await.map_err(PostgresError::in_("copy rejected rows"))?;
    Ok(())
}

/// What it means that the temporary file of rejected rows cannot be read: this worker's disk fails, not PostgreSQL.
fn not_read_back(error: std::io::Error) -> Interrupted {
    if is_exhaustion(&error) {
        return Interrupted::Exhausted(error.to_string());
    }
    let reason = format!("the temporary file of rejected rows cannot be read back: {error}");
    Failure::new(ErrorCode::StorageUnavailable, Stage::Write, reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_that_cannot_be_read_back_is_a_failure_of_the_storage_and_not_of_postgresql() {
        let interrupted = not_read_back(std::io::Error::other("disk error"));
        let Interrupted::Failed(failure) = interrupted else { panic!("{interrupted:?}") };
        assert_eq!((failure.code, failure.stage), (ErrorCode::StorageUnavailable, Stage::Write));
        assert!(failure.message.ends_with("cannot be read back: disk error"), "{failure}");
        let full = not_read_back(std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        assert!(matches!(full, Interrupted::Exhausted(_)), "{full:?}");
    }
}
