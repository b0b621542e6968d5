//! The source: a file's bytes, hashed and parsed from one opened file, or one copy of an object.

use std::{
    fs::File,
    io::{self, Cursor, ErrorKind, Read, Seek},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use shared::{
    fingerprint::{Fingerprint, Fingerprinter},
    message::failure::{ErrorCode, Failure, Stage},
    roots::{Location, OpenError, Root, open_below},
    stores::object_store::{
        ObjectError, Store,
        copy::{self, CopyError, CopyLimits, copy},
        object_url::ObjectUrl,
    },
};

use crate::{
    ingest::publishers::link_leads_out,
    interruption::{Interrupted, is_exhaustion},
};

/// Files up to this size are held in memory, where hashing and parsing see the same bytes.
const HELD: u64 = 8 << 20;
const CHUNK: usize = 1 << 20;

/// A file that was read once, whole.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// SHA-256 of its bytes.
    pub(crate) fingerprint: Fingerprint,
    /// How many there are.
    pub(crate) bytes: u64,
    content: Content,
    /// The file, to which its writer may still write; none where the content is a copy.
    file: Option<(Arc<File>, Seen)>,
}

/// How large the file was and when it was last written, as its opening showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Seen {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { bytes: metadata.len(), modified: metadata.modified().ok() })
    }
}

#[derive(Debug, Clone)]
enum Content {
    Held(Arc<Vec<u8>>),
    Opened(Arc<File>),
}

/// Opens a file or copies an object, reads it once and computes its fingerprint.
///
/// # Errors
/// If it is not there, is not a regular file, is too large or cannot be read, or its root is away.
pub(crate) async fn load(location: &Location, max_bytes: u64) -> Result<Loaded, Interrupted> {
    let (root, within, path) = match location {
        Location::File { root, within, path } => (root.clone(), within.clone(), path.clone()),
        Location::Object { store, object } => return Ok(load_object(store, object, max_bytes).await?),
    };
    let reading = tokio::task::spawn_blocking(move || {
        let file = open_below(&root, &path).map_err(|error| not_opened(&error, &root))?;
        if within != root {
            is_within(&within, &path, &file).map_err(|error| match error {
                Some(OpenError::Outside) => link_leads_out().into(),
                Some(error) => not_opened(&error, &root),
                None => changed(Stage::Load).into(),
            })?;
        }
        read(file, max_bytes).unwrap_or_else(|error| Err(unreadable(&error, &root)))
    });
    reading.await.unwrap_or_else(|panic| {
        let reason = format!("reading the file broke off: {panic}");
        Err(Failure::new(ErrorCode::CrashSuspect, Stage::Load, reason).into())
    })
}

/// Makes sure that a file that was opened below its root lies below a folder of it, too. The folder itself may have
/// become a link to anywhere, so what is opened from there must be the same file.
fn is_within(folder: &Path, path: &Path, file: &File) -> Result<(), Option<OpenError>> {
    let again = open_below(folder, path)?;
    let place = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    let same = place(&again).map_err(OpenError::Io)? == place(file).map_err(OpenError::Io)?;
    same.then_some(()).ok_or(None)
}

async fn load_object(store: &Store, object: &ObjectUrl, max_bytes: u64) -> Result<Loaded, Failure> {
    let limits = CopyLimits { bytes: max_bytes, held: HELD as usize };
    let copied = copy(store, object, limits).await.map_err(|error| not_copied(&error, max_bytes))?;
    let content = match copied.content {
        copy::Content::Held(bytes) => Content::Held(Arc::new(bytes)),
        copy::Content::Spilled(file) => Content::Opened(Arc::new(file)),
    };
    Ok(Loaded { fingerprint: copied.fingerprint, bytes: copied.bytes, content, file: None })
}

/// What it means that an object could not be copied.
fn not_copied(error: &CopyError, max_bytes: u64) -> Failure {
    let (code, reason) = match error {
        CopyError::Store(ObjectError::Missing) => {
            (ErrorCode::FileNotFound, "the object is not there; put it there and replay the job".to_owned())
        }
        CopyError::Store(ObjectError::Refused) => {
            let reason = "the store refuses the object to this worker's credentials; let them read and list what lies \
                          below the input root, or mend the settings, and replay the job";
            (ErrorCode::StorageUnavailable, reason.to_owned())
        }
        CopyError::Store(ObjectError::Replaced) => {
            let reason = "the object was replaced while it was read; give each export a key of its own";
            (ErrorCode::FileChanged, reason.to_owned())
        }
        CopyError::Store(trouble @ ObjectError::Away(_)) => {
            (ErrorCode::StorageUnavailable, format!("the object cannot be read: {trouble}"))
        }
        CopyError::TooLarge(bytes) => (ErrorCode::FileTooLarge, too_large(*bytes, max_bytes)),
        CopyError::Disk(source) => {
            let reason = format!("{error} ({source}); make room there, or set TMPDIR to where there is");
            (ErrorCode::StorageUnavailable, reason)
        }
    };
    Failure::new(code, Stage::Load, reason)
}

fn read(file: File, max_bytes: u64) -> io::Result<Result<Loaded, Interrupted>> {
    let metadata = file.metadata()?;
    if metadata.len() > max_bytes {
        let reason = too_large(metadata.len(), max_bytes);
        return Ok(Err(Failure::new(ErrorCode::FileTooLarge, Stage::Load, reason).into()));
    }
    let (seen, file) = (Seen::of(&file)?, Arc::new(file));
    let (fingerprint, bytes, content) = if metadata.len() <= HELD {
        let mut held = Vec::with_capacity(metadata.len() as usize + 1);
        // One byte more than was announced tells a file that grows.
        (&*file).take(metadata.len() + 1).read_to_end(&mut held)?;
        (Fingerprint::of(&held), held.len() as u64, Content::Held(Arc::new(held)))
    } else {
        let (fingerprint, bytes) = hash(&file, metadata.len() + 1)?;
        (fingerprint, bytes, Content::Opened(Arc::clone(&file)))
    };
    let loaded = Loaded { fingerprint, bytes, content, file: Some((file, seen)) };
    if bytes != seen.bytes {
        return Ok(Err(changed(Stage::Load).into()));
    }
    Ok(loaded.check_unchanged().map(|()| loaded).map_err(Interrupted::from))
}

/// The SHA-256 of a file's bytes, at most so many of them, and how many they are.
#[expect(clippy::indexing_slicing, reason = "so much was read into it")]
fn hash(file: &File, most: u64) -> io::Result<(Fingerprint, u64)> {
    let (mut fingerprinter, mut bytes, mut chunk) = (Fingerprinter::default(), 0, vec![0; CHUNK]);
    let mut reader = file.take(most);
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok((fingerprinter.finish(), bytes)),
            Ok(count) => {
                bytes += count as u64;
                fingerprinter.update(&chunk[..count]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn changed(stage: Stage) -> Failure {
    let reason = "the file changed while it was read; its writer should rename it into place when it is whole";
    Failure::new(ErrorCode::FileChanged, stage, reason)
}

fn too_large(bytes: u64, max: u64) -> String {
    format!("the file has {bytes} bytes, more than the {max} that AURA_MAX_FILE_BYTES allows")
}

/// What it means that a file could not be opened below its root.
fn not_opened(error: &OpenError, root: &Path) -> Interrupted {
    let refuse = |reason: &str| Failure::new(ErrorCode::FileNotAllowed, Stage::Load, reason).into();
    match error {
        OpenError::Outside => refuse("a link leads out of AURA_INPUT_ROOTS; put the file itself below one of them"),
        OpenError::NotRegular => refuse("the path names no regular file"),
        OpenError::NoSuchName(_) => {
            refuse("no file can be had by this name: it is too long, or its links go in circles")
        }
        OpenError::Unsteady => {
            let reason = "the file's links changed again and again while it was opened; name the file itself";
            Failure::new(ErrorCode::FileChanged, Stage::Load, reason).into()
        }
        OpenError::Io(error) => unreadable(error, root),
    }
}

/// What an I/O error means: the file may come yet, its root may be away, or it cannot be read.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other error means that the file cannot be read")]
fn unreadable(error: &io::Error, root: &Path) -> Interrupted {
    if is_exhaustion(error) {
        return Interrupted::Exhausted(error.to_string());
    }
    let failure = |code, reason| Failure::new(code, Stage::Load, reason).into();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory if !root.is_dir() => {
            Interrupted::RootAway(Root::Folder(root.to_owned()))
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            failure(ErrorCode::FileNotFound, "the file is not there; put it there and replay the job".to_owned())
        }
        ErrorKind::PermissionDenied => failure(
            ErrorCode::StorageUnavailable,
            "the file may not be read by this worker; give it permission and replay the job".to_owned(),
        ),
        _ => failure(ErrorCode::StorageUnavailable, format!("the file cannot be read: {error}")),
    }
}

impl Loaded {
    /// Makes sure that nobody has written to the file since it was opened.
    ///
    /// # Errors
    /// `file_changed` if somebody has, or the file cannot be asked any more.
    pub(crate) fn check_unchanged(&self) -> Result<(), Failure> {
        let Some((file, seen)) = &self.file else { return Ok(()) };
        match Seen::of(file) {
            Ok(now) if now == *seen => Ok(()),
            Ok(_) | Err(_) => Err(changed(Stage::Load)),
        }
    }

    /// Lets a function read the file from its start, and makes sure that it read the bytes of the
    /// fingerprint, whether it succeeded or not.
    ///
    /// # Errors
    /// What the function returned, or `file_changed`.
    pub(crate) fn read_with<T, E: From<Failure>>(
        &self,
        work: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.content {
            Content::Held(bytes) => work(&mut Cursor::new(bytes.as_slice())),
            Content::Opened(file) => {
                let failed = |error: io::Error| {
                    let reason = format!("the file cannot be read again: {error}");
                    E::from(Failure::new(ErrorCode::StorageUnavailable, Stage::Parse, reason))
                };
                let mut reader = Hashing { file, fingerprinter: Fingerprinter::default() };
                reader.file.rewind().map_err(failed)?;
                let outcome = work(&mut reader);
                io::copy(&mut reader, &mut io::sink()).map_err(failed)?;
                if reader.fingerprinter.finish() == self.fingerprint {
                    return outcome;
                }
                Err(changed(Stage::Parse).into())
            }
        }
    }
}

struct Hashing<'a> {
    file: &'a File,
    fingerprinter: Fingerprinter,
}

impl Read for Hashing<'_> {
    #[expect(clippy::indexing_slicing, reason = "so much was read into it")]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.fingerprinter.update(&buffer[..count]);
        Ok(count)
    }
}
