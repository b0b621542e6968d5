//! What the relay does for the cache: slices that other processes left, and files that they left.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use deadpool_postgres::Pool;
use shared::{
    slice::Slice,
    stores::{cache::CacheStore, postgres::PostgresError},
};
use tokio::task::spawn_blocking;

use super::{
    Published,
    error::{CacheError, failed_to},
    publish_if_free,
};

const WAITING: &str = include_str!("waiting.sql");
/// The age past which nobody writes a temporary file any more.
const ORPHAN: Duration = Duration::from_secs(3600);

/// Where a walk over the waiting slices is. A slice that cannot be written holds up no other, since
/// each walk goes on after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    entity: String,
    period: String,
}

/// What became of the slices that were waiting.
#[derive(Debug, Default)]
pub(crate) struct CaughtUp {
    /// Whether more slices are waiting.
    pub(crate) more: bool,
    /// Slices whose file could not be written.
    pub(crate) failed: Vec<(Slice, CacheError)>,
}

/// Writes the cache files of slices whose tasks have stood for longer than a job's process needs.
///
/// # Errors
/// If PostgreSQL does not tell which they are. What fails for one slice is in the answer.
pub(crate) async fn catch_up(
    pool: &Pool,
    cache: &CacheStore,
    cursor: &mut Cursor,
    limit: i64,
) -> Result<CaughtUp, PostgresError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(WAITING).await.map_err(PostgresError::in_("prepare waiting cache tasks"))?;
    let rows = client.query(&statement, &[&cursor.entity, &cursor.period, &limit]).await;
    let rows = rows.map_err(PostgresError::in_("read waiting cache tasks"))?;
    drop(client);
    let mut caught_up = CaughtUp { more: rows.len() as i64 == limit, ..CaughtUp::default() };
    for row in &rows {
        *cursor = Cursor { entity: row.get(0), period: row.get(1) };
        let (Ok(entity), Ok(period)) = (cursor.entity.parse(), cursor.period.parse()) else { continue };
        let slice = Slice { entity, period };
        match publish_if_free(pool, cache, &slice).await {
            Ok(Published::Written { job_id, rows }) => {
                let Slice { entity, period } = &slice;
                tracing::info!(%entity, %period, %job_id, rows, "wrote a cache file that another process had left");
            }
            Ok(Published::NothingToDo) => {}
            Err(error) => caught_up.failed.push((slice, error)),
        }
    }
    if !caught_up.more {
        *cursor = Cursor::default();
    }
    Ok(caught_up)
}

/// Removes temporary files that a process left when it died; returns how many. In an object store there
/// are none.
///
/// # Errors
/// If the folder cannot be made or read.
pub(crate) async fn sweep(cache: &CacheStore) -> Result<usize, CacheError> {
    let CacheStore::Folder(folder) = cache else { return Ok(0) };
    let folder = folder.clone();
    spawn_blocking(move || {
        fs::create_dir_all(&folder).map_err(failed_to("create", &folder))?;
        let entries = fs::read_dir(&folder).map_err(failed_to("list", &folder))?;
        let orphans = entries.filter_map(Result::ok).filter(is_orphan);
        // Another process may sweep as well, so that a file may be gone already.
        Ok(orphans.filter(|orphan| fs::remove_file(orphan.path()).is_ok()).count())
    })
    .await?
}

fn is_orphan(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    let ours = name.starts_with('.') && name.contains("_ingested.") && name.ends_with(".tmp");
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    ours && age.is_some_and(|age| age > ORPHAN)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[tokio::test]
    async fn only_old_temporary_files_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - ORPHAN * 2;
        for (name, modified) in [
            (".ABEX_2022-06_ingested.1.tmp", old),
            (".ABEX_2022-06_ingested.2.tmp", SystemTime::now()),
            ("ABEX_2022-06_ingested.parquet", old),
            (".other.tmp", old),
        ] {
            File::create(folder.path().join(name)).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(sweep(&CacheStore::Folder(folder.path().to_owned())).await.unwrap(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
