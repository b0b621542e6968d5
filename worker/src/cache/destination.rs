//! Where a slice's file is made and put: the one module that knows what kind of store the cache is.
//!
//! In a folder a finished file is renamed into place, within a turn. In an object store it is put as
//! one object, on the condition that what lies there is still what lay there when the slice was locked:
//! a publisher that lost its lock finds that a newer one has been there.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use deadpool_postgres::Transaction;
use object_store::{
    MultipartUpload, ObjectMeta, ObjectStoreExt, PutMode, PutPayload, UpdateVersion, path::Path as ObjectPath,
};
use shared::{
    slice::Slice,
    stores::{
        cache::{CacheStore, file_name},
        object_store::{ObjectError, Store, object_url::ObjectUrl, path_of},
        postgres::PostgresError,
    },
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::error::{CacheError, failed_to};

/// How long a publisher waits for its turn to rename.
const RENAME_LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// The file whose lock is the turn.
const RENAME_LOCK: &str = ".turn";
/// How long an object store may take to tell what lies in a place.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that are sent at a time; what is not longer is one request. No store takes smaller parts.
const PART: u64 = 5 << 20;

/// The place of a slice's file.
pub(super) enum Destination<'a> {
    /// A name in a folder.
    Folder { folder: &'a Path, name: String },
    /// An object, and what lay in its place when it was looked at.
    Object { store: &'a Store, object: ObjectUrl, before: Option<UpdateVersion> },
}

/// Where a file is while it is made.
#[derive(Debug, Clone)]
pub(super) enum Draft {
    /// Beside its place, under a name of its own.
    Beside(PathBuf),
    /// Nowhere: a file without a name.
    Unnamed,
}

/// A file that was not put in its place yet, and goes away with this value unless it is.
#[derive(Debug)]
pub(super) struct TempFile {
    file: File,
    name: Option<Unfinished>,
}

/// The name of a file that is not finished.
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed now is swept later.
        let _ = fs::remove_file(&self.0);
    }
}

impl Draft {
    /// Where a slice's file is made for this cache.
    pub(super) fn of(cache: &CacheStore, slice: &Slice) -> Self {
        match cache {
            CacheStore::Folder(folder) => {
                let name = format!(".{}_{}_ingested.{}.tmp", slice.entity, slice.period, Uuid::new_v4());
                Self::Beside(folder.join(name))
            }
            CacheStore::Objects(_) => Self::Unnamed,
        }
    }

    /// Begins the file. What it returns removes it.
    pub(super) fn begin(&self) -> Result<TempFile, CacheError> {
        match self {
            Self::Beside(path) => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder).map_err(failed_to("create", folder))?;
                }
                let name = Unfinished(path.clone());
                let file = File::create_new(path).map_err(failed_to("create", path))?;
                Ok(TempFile { file, name: Some(name) })
            }
            Self::Unnamed => {
                let file = tempfile::tempfile().map_err(failed_to("create a file in", &std::env::temp_dir()))?;
                Ok(TempFile { file, name: None })
            }
        }
    }
}

impl TempFile {
    /// The file, to be written.
    pub(super) fn writer(&self) -> Result<File, CacheError> {
        self.file.try_clone().map_err(failed_to("open", self.path()))
    }

    /// Makes sure that what was written is there.
    pub(super) fn finish(mut self) -> Result<Self, CacheError> {
        match &self.name {
            Some(Unfinished(path)) => self.file.sync_all().map_err(failed_to("sync", path))?,
            None => self.file.rewind().map_err(failed_to("rewind a file of", &std::env::temp_dir()))?,
        }
        Ok(self)
    }

    fn path(&self) -> &Path {
        self.name.as_ref().map_or(Path::new("a temporary file"), |name| &name.0)
    }
}

impl<'a> Destination<'a> {
    /// The place of a slice's file, as it is now.
    ///
    /// # Errors
    /// If an object store does not tell.
    pub(super) async fn of(cache: &'a CacheStore, slice: &Slice) -> Result<Self, CacheError> {
        match cache {
            CacheStore::Folder(folder) => Ok(Self::Folder { folder, name: file_name(slice) }),
            CacheStore::Objects(store) => {
                let object = store.root().join(&file_name(slice));
                let before = look(store, &object).await.map_err(failed_at("look at", &object))?;
                Ok(Self::Object { store, object, before })
            }
        }
    }

    /// Puts a finished file in its place, if the slice is still locked by this transaction.
    ///
    /// # Errors
    /// If the lock is gone, somebody else has been there, or the store fails.
    pub(super) async fn take(self, transaction: &Transaction<'_>, file: TempFile) -> Result<(), CacheError> {
        match self {
            Self::Folder { folder, name } => rename(transaction, file, folder, name).await,
            Self::Object { store, object, before } => put(transaction, file.file, store, &object, before).await,
        }
    }
}

/// Fails if the session has ended, and with it the advisory lock.
async fn is_locked(transaction: &Transaction<'_>) -> Result<(), CacheError> {
    transaction.batch_execute("SELECT 1").await.map_err(PostgresError::in_("keep a cache file locked"))?;
    Ok(())
}

async fn rename(transaction: &Transaction<'_>, file: TempFile, folder: &Path, name: String) -> Result<(), CacheError> {
    let lock = rename_lock(folder).await?;
    is_locked(transaction).await?;
    let folder = folder.to_owned();
    // The turn goes along: it must last until the rename has happened, even if nobody waits for that.
    let rename = spawn_blocking(move || {
        let place = folder.join(name);
        fs::rename(file.path(), &place).map_err(failed_to("rename a finished file to", &place))?;
        drop(lock);
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed_to("sync", &folder))
    });
    rename.await?
}

/// Waits until nobody else renames files in the folder; others wait until the returned file is closed.
async fn rename_lock(folder: &Path) -> Result<File, CacheError> {
    let path = folder.join(RENAME_LOCK);
    let file = File::options().create(true).append(true).open(&path).map_err(failed_to("open", &path))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < RENAME_LOCK_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(CacheError::RenameLocked(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed_to("lock", &path)(source)),
        }
    }
}

/// What lies in a place.
async fn look(store: &Store, object: &ObjectUrl) -> Result<Option<UpdateVersion>, ObjectError> {
    let path = path_of(object)?;
    let late = |_| ObjectError::Away("did not answer in time".to_owned());
    match tokio::time::timeout(LOOK_TIMEOUT, store.client().head(&path)).await.map_err(late)? {
        Ok(ObjectMeta { e_tag, version, .. }) => Ok(Some(UpdateVersion { e_tag, version })),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn put(
    transaction: &Transaction<'_>,
    mut file: File,
    store: &Store,
    object: &ObjectUrl,
    before: Option<UpdateVersion>,
) -> Result<(), CacheError> {
    let path = path_of(object).map_err(failed_at("put", object))?;
    let length = file.metadata().map_err(failed_to("look at a file of", &std::env::temp_dir()))?.len();
    if length > PART {
        return put_in_parts(transaction, file, store, object, before).await;
    }
    let (_, bytes) = spawn_blocking(move || part(&mut file).map(|bytes| (file, bytes))).await??;
    is_locked(transaction).await?;
    let mode = before.map_or(PutMode::Create, PutMode::Update);
    let done = store.client().put_opts(&path, PutPayload::from(bytes), mode.into()).await;
    done.map_err(ObjectError::from).map_err(failed_at("put", object))?;
    Ok(())
}

/// Puts a file that is too long for one request. Stores take no condition for that, so that what lies
/// there is looked at once more before the parts become the object.
async fn put_in_parts(
    transaction: &Transaction<'_>,
    mut file: File,
    store: &Store,
    object: &ObjectUrl,
    before: Option<UpdateVersion>,
) -> Result<(), CacheError> {
    let failed = || failed_at("put", object);
    let path: ObjectPath = path_of(object).map_err(failed())?;
    let mut upload = Upload::begin(store, &path).await.map_err(failed())?;
    loop {
        let (rest, bytes) = spawn_blocking(move || part(&mut file).map(|bytes| (file, bytes))).await??;
        if bytes.is_empty() {
            break;
        }
        upload.send(bytes).await.map_err(failed())?;
        file = rest;
    }
    is_locked(transaction).await?;
    let now = look(store, object).await.map_err(failed())?;
    if now.map(|now| now.e_tag) != before.map(|before| before.e_tag) {
        return Err(failed()(ObjectError::Replaced));
    }
    upload.complete().await.map_err(failed())
}

/// The next bytes of a file; none at its end.
fn part(file: &mut File) -> Result<Vec<u8>, CacheError> {
    let mut bytes = Vec::new();
    file.take(PART).read_to_end(&mut bytes).map_err(failed_to("read a file of", &std::env::temp_dir()))?;
    Ok(bytes)
}

/// An upload in parts, which is aborted with this value unless it was completed.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    async fn begin(store: &Store, path: &ObjectPath) -> Result<Self, ObjectError> {
        Ok(Self(Some(store.client().put_multipart(path).await?)))
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), ObjectError> {
        match &mut self.0 {
            Some(upload) => Ok(upload.put_part(bytes.into()).await?),
            None => Ok(()),
        }
    }

    async fn complete(mut self) -> Result<(), ObjectError> {
        if let Some(upload) = &mut self.0 {
            upload.complete().await?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(mut upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    let trouble = ObjectError::from(error);
                    tracing::warn!(%trouble, "an upload that broke off was not aborted; its parts stay in the bucket");
                }
            });
        }
    }
}

/// Names the object that could not be worked with.
fn failed_at(what: &'static str, object: &ObjectUrl) -> impl FnOnce(ObjectError) -> CacheError {
    move |source| CacheError::Store { what, object: object.clone(), source }
}
