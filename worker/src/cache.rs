//! The Parquet cache: one file per slice, which holds what PostgreSQL holds.
//!
//! An older state never ends up over a newer one, whoever writes and however long it stalls:
//!
//! 1. A publisher takes the slice's advisory lock and then reads the slice's head, the job whose rows it
//!    holds, so that what it publishes holds at least every commit made before it had the lock. The rows it
//!    reads as well, unless the slice's head is the very job that has written its file ahead, beside its
//!    rows: see [`ahead`]. A job that committed, stalled, and goes on after a newer one was published finds
//!    no task left, or another head, and writes the newer state.
//! 2. A publisher can lose its lock without noticing: its session is gone, it sleeps with a
//!    finished file, and another one publishes a newer state. In a folder that is what the turn is for,
//!    a lock on a file of the folder, which the system holds for a process exactly as long as it lives.
//!    Within its turn a publisher makes sure that its transaction, and with it the advisory lock,
//!    still stands, and renames. If it does stand, nobody else has begun to read the slice yet;
//!    whoever does later has its turn later. So files are renamed in the order in which they were read.
//!    In an object store the put is conditional: it fails if the object is no longer the one that
//!    lay there after the publisher had the lock and before it read the slice.
//! 3. Tasks are deleted in the transaction that holds the lock, after the file is in place. Whatever fails
//!    before its commit leaves them standing, and the relay does the slice again.

pub(crate) mod ahead;
pub(crate) mod copy_out;
mod destination;
mod error;
mod parquet;
mod table_file;
pub(crate) mod upkeep;

use bytes::Bytes;
use deadpool_postgres::{Pool, Transaction};
use futures_util::{TryStreamExt, future::try_join};
use shared::{
    file::columns::copied_columns,
    slice::Slice,
    stores::{
        cache::CacheStore,
        lease::Lease,
        locks::Lock,
        postgres::{PostgresError, transaction::Measured},
    },
};
use tokio::sync::mpsc;
use tokio_postgres::{IsolationLevel, Statement, types::ToSql};
use uuid::Uuid;

pub(crate) use self::error::CacheError;
use self::{
    ahead::Ahead,
    destination::{Destination, Draft, TempFile},
    error::READS,
    table_file::Labels,
};
use crate::{failpoint, relay::sink::AtOnce};

const COPY: &str = include_str!("cache/copy.sql");
const TASKS: &str = "SELECT job_id FROM cache_tasks WHERE entity = $1 AND period = $2";
const HEAD: &str = "SELECT job_id, fingerprint FROM slices WHERE entity = $1 AND period = $2 AND job_id IS NOT NULL";
/// Whoever finds a task again writes the same file again: that it is gone need not be on disk when this commits.
const DONE: &str = "WITH told AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)) \
                    DELETE FROM cache_tasks USING told WHERE entity = $1 AND period = $2 AND job_id = ANY($3)";

/// Bytes that are handed to the writer at a time, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

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

/// What a publisher does about another one that is at the slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    WaitFor,
    LeaveItTo,
}

/// Writes a slice's cache file if a job has committed since it was last written, and takes the one that was written
/// ahead if it is the slice's still. It is seen by readers before it is written down here that it is.
///
/// # Errors
/// If anything fails; the slice's tasks then stand.
pub(crate) async fn publish(
    pool: &Pool,
    cache: &CacheStore,
    slice: &Slice,
    at_once: AtOnce,
) -> Result<Published, CacheError> {
    publish_with(pool, cache, slice, (Other::WaitFor, Some(at_once))).await
}

/// Like [`publish`], unless somebody else is at this slice.
///
/// # Errors
/// If anything fails; the slice's tasks then stand.
pub(crate) async fn publish_if_free(pool: &Pool, cache: &CacheStore, slice: &Slice) -> Result<Published, CacheError> {
    publish_with(pool, cache, slice, (Other::LeaveItTo, None)).await
}

async fn publish_with(
    pool: &Pool,
    cache: &CacheStore,
    slice: &Slice,
    how: (Other, Option<AtOnce>),
) -> Result<Published, CacheError> {
    let _measured = Measured::begin("write_cache_file");
    let mut lease = Lease::take(pool).await?;
    let published = publish_over(&mut lease, cache, slice, how).await;
    lease.end();
    published
}

async fn publish_over(
    lease: &mut Lease,
    cache: &CacheStore,
    slice: &Slice,
    (other, at_once): (Other, Option<AtOnce>),
) -> Result<Published, CacheError> {
    let key: [&(dyn ToSql + Sync); 2] = [&slice.entity.as_str(), &slice.period.as_str()];
    // Each statement has to see what was committed before it, those after the lock above all.
    let transaction = lease.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await;
    let transaction = transaction.map_err(PostgresError::in_("begin the cache's transaction"))?;
    let lock = Lock::CacheFile(slice);
    let statement = prepared(&transaction, TASKS).await?;
    Lock::prepare(&transaction).await?;
    let tasks = async { transaction.query(&statement, &key).await.map_err(PostgresError::in_("read cache tasks")) };
    // What is prepared is sent when it is first polled, which happens in order: the tasks are read under the lock.
    let tasks = match other {
        Other::WaitFor => try_join(lock.wait(&transaction), tasks).await?.1,
        Other::LeaveItTo => match try_join(lock.take_if_free(&transaction), tasks).await? {
            (true, tasks) => tasks,
            (false, _) => return Ok(Published::NothingToDo),
        },
    };
    let tasks: Vec<Uuid> = tasks.iter().map(|row| row.get(0)).collect();
    if tasks.is_empty() {
        return Ok(Published::NothingToDo);
    }
    // Before anything is read, so that what lies there is not newer than what will be.
    let place = Destination::of(cache, slice).await?;
    let (ahead, is_seen) = at_once.map_or((None, None), |at_once| (at_once.cache_file, Some(at_once.is_seen)));
    let ready = match ahead {
        Some(ahead) => written_ahead(&transaction, slice, ahead).await?,
        None => None,
    };
    let ready = match ready {
        Some(ready) => Some(ready),
        None => write_steady(&transaction, cache, slice).await?,
    };
    let mut published = Published::NothingToDo;
    if let Some((job_id, (file, rows))) = ready {
        place.take(&transaction, file).await?;
        failpoint::reach_for("cache_renamed", slice);
        if let Some(is_seen) = is_seen {
            let _ = is_seen.send(());
        }
        published = Published::Written { job_id, rows };
    }
    let done: [&(dyn ToSql + Sync); 3] = [key[0], key[1], &tasks];
    let statement = prepared(&transaction, DONE).await?;
    transaction.execute(&statement, &done).await.map_err(PostgresError::in_("delete cache tasks"))?;
    transaction.commit().await.map_err(PostgresError::in_("commit that a cache file is written"))?;
    Ok(published)
}

/// A statement that this connection need not be told again.
async fn prepared(transaction: &Transaction<'_>, statement: &str) -> Result<Statement, PostgresError> {
    transaction.prepare_cached(statement).await.map_err(PostgresError::in_("prepare a cache file"))
}

async fn head(transaction: &Transaction<'_>, slice: &Slice) -> Result<Option<Head>, PostgresError> {
    let statement = prepared(transaction, HEAD).await?;
    let row = transaction.query_opt(&statement, &[&slice.entity.as_str(), &slice.period.as_str()]).await;
    let row = row.map_err(PostgresError::in_("read a slice's head"))?;
    Ok(row.map(|row| Head { job_id: row.get(0), fingerprint: row.get::<_, Option<String>>(1).unwrap_or_default() }))
}

/// The file that a job has written ahead, if the slice still holds that job's rows. They cannot change as long as its
/// head does not, and whoever changes that has its file put in its place after this one.
async fn written_ahead(
    transaction: &Transaction<'_>,
    slice: &Slice,
    ahead: Ahead,
) -> Result<Option<(Uuid, (TempFile, u64))>, PostgresError> {
    let job_id = ahead.job_id();
    let file = match ahead.file().await {
        Ok(file) => file,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "no cache file was written ahead; the slice is read for it");
            return Ok(None);
        }
    };
    failpoint::reach_for("cache_written", slice);
    let head = head(transaction, slice).await?;
    Ok(head.is_some_and(|head| head.job_id == job_id).then_some((job_id, file)))
}

/// Writes what the slice holds into a file that is not in its place yet, again if a job commits meanwhile; none if it
/// holds no job's rows.
async fn write_steady(
    transaction: &Transaction<'_>,
    cache: &CacheStore,
    slice: &Slice,
) -> Result<Option<(Uuid, (TempFile, u64))>, CacheError> {
    for _ in 0..READS {
        let Some(head) = head(transaction, slice).await? else { return Ok(None) };
        let file = write(transaction, Draft::of(cache, slice), slice, &head).await?;
        failpoint::reach_for("cache_written", slice);
        // Rows and head are of one commit only if the head is the same after the rows were read.
        if self::head(transaction, slice).await?.as_ref() == Some(&head) {
            return Ok(Some((head.job_id, file)));
        }
    }
    Err(CacheError::Changing)
}

async fn write(
    transaction: &Transaction<'_>,
    draft: Draft,
    slice: &Slice,
    head: &Head,
) -> Result<(TempFile, u64), CacheError> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let labels = Labels { slice: slice.clone(), job_id: head.job_id, fingerprint: head.fingerprint.clone() };
    let writer = table_file::write(draft, labels, receiver);
    let copied = copy(transaction, slice, sender).await;
    let written = writer.await?;
    copied?;
    written
}

/// Sends the slice's rows, in PostgreSQL's binary form, until they end or nobody takes them.
async fn copy(transaction: &Transaction<'_>, slice: &Slice, sender: mpsc::Sender<Bytes>) -> Result<(), PostgresError> {
    // COPY takes no parameters; neither code can hold a quote.
    let statement = COPY
        .replace("{columns}", &copied_columns().collect::<Vec<_>>().join(", "))
        .replace("{entity}", slice.entity.as_str())
        .replace("{period}", slice.period.as_str());
    let stream = transaction.copy_out(&statement).await.map_err(PostgresError::in_("copy a slice"))?;
    let mut stream = std::pin::pin!(stream);
    let mut piece = Vec::with_capacity(PIECE);
    while let Some(bytes) = stream.try_next().await.map_err(PostgresError::in_("copy a slice"))? {
        piece.extend_from_slice(&bytes);
        if piece.len() >= PIECE {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
            if sender.send(full.into()).await.is_err() {
                return Ok(());
            }
        }
    }
    let _ = sender.send(piece.into()).await;
    Ok(())
}
