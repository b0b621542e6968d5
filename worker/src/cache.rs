//! The Parquet cache: one file per slice, always written from what PostgreSQL holds.
//!
//! An older state never ends up over a newer one, whoever writes and however long it stalls:
//!
//! 1. Nobody writes what a job had in its hands. A publisher takes the slice's advisory lock and
//!    then reads the slice's rows and head, so a file holds at least every commit made before its
//!    publisher had the lock. A job that committed, stalled, and goes on after a newer one was
//!    published finds no task left, or writes the newer state again.
//! 2. A publisher can lose its lock without noticing: its session is gone, it sleeps with a
//!    finished file, and another one publishes a newer state. That is what the turn is for, a lock
//!    on a file of the folder, which the system holds for a process exactly as long as it lives.
//!    Within its turn a publisher makes sure that its transaction, and with it the advisory lock,
//!    still stands, and renames. If it does stand, nobody else has begun to read the slice yet;
//!    whoever does later has its turn later. So files are renamed in the order in which they were read.
//! 3. Tasks are deleted in the transaction that holds the lock, after the rename. Whatever fails
//!    before its commit leaves them standing, and the relay does the slice again.

pub(crate) mod upkeep;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use deadpool_postgres::{Pool, Transaction};
use futures_util::TryStreamExt;
use shared::{postgres::PostgresError, slice::Slice};
use tokio::{
    sync::mpsc,
    task::{JoinError, spawn_blocking},
};
use tokio_postgres::{IsolationLevel, types::ToSql};
use uuid::Uuid;

use crate::{
    cache_table::{TableError, TableWriter, names},
    copied_rows::{CopiedRows, Malformed},
    failpoint,
};

const COPY: &str = include_str!("cache/copy.sql");
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0)) IS NOT NULL";
const TRY_LOCK: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))";
const TASKS: &str = "SELECT job_id FROM cache_tasks WHERE entity = $1 AND period = $2";
const HEAD: &str = "SELECT job_id, fingerprint FROM slices WHERE entity = $1 AND period = $2 AND job_id IS NOT NULL";
const DONE: &str = "DELETE FROM cache_tasks WHERE entity = $1 AND period = $2 AND job_id = ANY($3)";

/// Bytes that are handed to the writer at a time, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;
/// How often a slice is read again because a job committed meanwhile.
const READS: u32 = 5;
/// How long a publisher waits for its turn to rename.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// The file whose lock is the turn.
const TURN: &str = ".turn";

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
    /// Jobs committed faster than the slice could be read.
    #[error("the slice changed each of the {READS} times it was read")]
    Changing,
    /// Another process held the turn all the time.
    #[error("another process does not end its turn to rename files in {0}")]
    Turn(PathBuf),
    /// The writer panicked.
    #[error("the writer of a cache file died")]
    Writer(#[from] JoinError),
}

/// What became of a slice's cache file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// It holds the rows of this job.
    Written {
        /// The slice's newest successful job.
        job_id: Uuid,
        /// How many they are.
        rows: u64,
    },
    /// It held them already, or somebody else writes it now.
    NothingToDo,
}

/// The job whose rows a slice holds, and the file that they came from.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    job_id: Uuid,
    fingerprint: String,
}

/// A file that is not finished, and goes away with this value unless it was renamed.
struct Unfinished {
    path: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed now is swept later.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a slice's cache file if a job has committed since it was last written.
///
/// # Errors
/// If anything fails; the slice's tasks then stand.
pub(crate) async fn publish(pool: &Pool, folder: &Path, slice: &Slice) -> Result<Published, CacheError> {
    publish_with(pool, folder, slice, LOCK).await
}

/// Like [`publish`], unless somebody else is at this slice.
///
/// # Errors
/// If anything fails; the slice's tasks then stand.
pub(crate) async fn publish_if_free(pool: &Pool, folder: &Path, slice: &Slice) -> Result<Published, CacheError> {
    publish_with(pool, folder, slice, TRY_LOCK).await
}

async fn publish_with(pool: &Pool, folder: &Path, slice: &Slice, lock: &str) -> Result<Published, CacheError> {
    let key: [&(dyn ToSql + Sync); 2] = [&slice.entity.as_str(), &slice.period.as_str()];
    let mut client = pool.get().await.map_err(PostgresError::from)?;
    // Each statement has to see what was committed before it, those after the lock above all.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await;
    let transaction = transaction.map_err(PostgresError::in_("begin the cache's transaction"))?;
    let name = format!("cache:{}:{}", slice.entity, slice.period);
    let locked = transaction.query_one(lock, &[&name]).await.map_err(PostgresError::in_("lock a cache file"))?;
    if !locked.get::<_, bool>(0) {
        return Ok(Published::NothingToDo);
    }
    let tasks = transaction.query(TASKS, &key).await.map_err(PostgresError::in_("read cache tasks"))?;
    let tasks: Vec<Uuid> = tasks.iter().map(|row| row.get(0)).collect();
    if tasks.is_empty() {
        return Ok(Published::NothingToDo);
    }
    let mut published = Published::NothingToDo;
    let mut reads = 0;
    while let Some(head) = head(&transaction, slice).await? {
        let (file, rows) = write(&transaction, folder, slice, &head).await?;
        failpoint::reach_for("cache_written", slice);
        // Rows and head are of one commit only if the head is the same after the rows were read.
        if self::head(&transaction, slice).await?.as_ref() == Some(&head) {
            put_in_place(&transaction, file, folder, slice).await?;
            failpoint::reach_for("cache_renamed", slice);
            published = Published::Written { job_id: head.job_id, rows };
            break;
        }
        reads += 1;
        if reads == READS {
            return Err(CacheError::Changing);
        }
    }
    let done: [&(dyn ToSql + Sync); 3] = [key[0], key[1], &tasks];
    transaction.execute(DONE, &done).await.map_err(PostgresError::in_("delete cache tasks"))?;
    transaction.commit().await.map_err(PostgresError::in_("commit that a cache file is written"))?;
    Ok(published)
}

async fn head(transaction: &Transaction<'_>, slice: &Slice) -> Result<Option<Head>, PostgresError> {
    let row = transaction.query_opt(HEAD, &[&slice.entity.as_str(), &slice.period.as_str()]).await;
    let row = row.map_err(PostgresError::in_("read a slice's head"))?;
    Ok(row.map(|row| Head { job_id: row.get(0), fingerprint: row.get::<_, Option<String>>(1).unwrap_or_default() }))
}

/// Writes what the slice holds into a file beside the final one, synced to disk.
async fn write(
    transaction: &Transaction<'_>,
    folder: &Path,
    slice: &Slice,
    head: &Head,
) -> Result<(Unfinished, u64), CacheError> {
    let path = folder.join(format!(".{}_{}_ingested.{}.tmp", slice.entity, slice.period, Uuid::new_v4()));
    let metadata = [
        (shared::cache::JOB_ID, head.job_id.to_string()),
        (shared::cache::FINGERPRINT, head.fingerprint.clone()),
        (shared::cache::ENTITY, slice.entity.to_string()),
        (shared::cache::PERIOD, slice.period.to_string()),
    ];
    let (sender, receiver) = mpsc::channel(PIECES);
    // The file belongs to the writer, so that it goes away even if nobody waits for it any more.
    let writer = spawn_blocking(move || write_pieces(path, &metadata, receiver));
    let copied = copy(transaction, slice, sender).await;
    let written = writer.await?;
    copied?;
    written
}

/// Sends the slice's rows, in PostgreSQL's binary form, until they end or nobody takes them.
async fn copy(
    transaction: &Transaction<'_>,
    slice: &Slice,
    sender: mpsc::Sender<Vec<u8>>,
) -> Result<(), PostgresError> {
    // COPY takes no parameters; neither code can hold a quote.
    let statement = COPY
        .replace("{columns}", &names().join(", "))
        .replace("{entity}", slice.entity.as_str())
        .replace("{period}", slice.period.as_str());
    let stream = transaction.copy_out(&statement).await.map_err(PostgresError::in_("copy a slice"))?;
    let mut stream = std::pin::pin!(stream);
    let mut piece = Vec::with_capacity(PIECE);
    while let Some(bytes) = stream.try_next().await.map_err(PostgresError::in_("copy a slice"))? {
        piece.extend_from_slice(&bytes);
        if piece.len() >= PIECE {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
            if sender.send(full).await.is_err() {
                return Ok(());
            }
        }
    }
    let _ = sender.send(piece).await;
    Ok(())
}

fn write_pieces(
    path: PathBuf,
    metadata: &[(&str, String)],
    mut pieces: mpsc::Receiver<Vec<u8>>,
) -> Result<(Unfinished, u64), CacheError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed_to("create", folder))?;
    }
    let unfinished = Unfinished { path };
    let file = File::create_new(&unfinished.path).map_err(failed_to("create", &unfinished.path))?;
    let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut table = TableWriter::new(file, &metadata)?;
    let mut rows = CopiedRows::new(names().len());
    while let Some(piece) = pieces.blocking_recv() {
        rows.push(&piece);
        while let Some(cells) = rows.next()? {
            table.add(cells)?;
        }
    }
    rows.finish()?;
    let (file, count) = table.finish()?;
    file.sync_all().map_err(failed_to("sync", &unfinished.path))?;
    Ok((unfinished, count))
}

/// Gives a finished file its final name: the one place that knows what kind of store the cache is.
async fn put_in_place(
    transaction: &Transaction<'_>,
    file: Unfinished,
    folder: &Path,
    slice: &Slice,
) -> Result<(), CacheError> {
    let turn = turn(folder).await?;
    // Fails if the session has ended, and with it the advisory lock.
    transaction.execute("SELECT 1", &[]).await.map_err(PostgresError::in_("keep a cache file locked"))?;
    let (folder, name) = (folder.to_owned(), shared::cache::file_name(slice));
    // The turn goes along: it must last until the rename has happened, even if nobody waits for that.
    let rename = spawn_blocking(move || {
        let place = folder.join(name);
        fs::rename(&file.path, &place).map_err(failed_to("rename a finished file to", &place))?;
        drop(turn);
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed_to("sync", &folder))
    });
    rename.await?
}

/// Waits until nobody else renames files in the folder; others wait until the returned file is closed.
async fn turn(folder: &Path) -> Result<File, CacheError> {
    let path = folder.join(TURN);
    let file = File::options().create(true).append(true).open(&path).map_err(failed_to("open", &path))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < TURN_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(CacheError::Turn(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed_to("lock", &path)(source)),
        }
    }
}

/// Names the file that could not be worked with.
pub(crate) fn failed_to(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    move |source| CacheError::Io { what, path: path.to_owned(), source }
}
