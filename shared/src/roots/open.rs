//! Opening a file below a folder, so that no link, however it is exchanged meanwhile, leads out of the folder.
//!
//! The name's links are resolved first, as the system would. What they come to has no link in it: it is opened from
//! the folder's own handle, one folder after the other, and each of them must not be a link. What became one in the
//! meantime is resolved anew.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

/// Links that one name may lead through, as many as the system follows.
const MAX_LINKS: usize = 40;
/// How often a name is resolved whose links are exchanged while it is opened.
const ROUNDS: usize = 32;
/// A pipe must not block, and no program that is started gets the handle.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why no file could be opened below a folder.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A link leads out of the folder, whether or not anything is there.
    #[error("a link leads out of the folder")]
    Outside,
    /// It is a folder, a pipe, a socket or a device.
    #[error("it is not a regular file")]
    NotRegular,
    /// No file can have this name: it is too long, its links go in circles, or it holds a NUL character.
    #[error("no file can have this name")]
    NoSuchName(#[source] io::Error),
    /// Its links were exchanged again and again while it was opened.
    #[error("its links keep changing")]
    Unsteady,
    /// It does not exist, or cannot be reached or read.
    #[error("it cannot be opened")]
    Io(#[source] io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        // The system's numbers: not all of them have a kind of their own.
        match Errno::from_io_error(&error) {
            Some(Errno::NAMETOOLONG | Errno::LOOP | Errno::INVAL | Errno::ILSEQ) => Self::NoSuchName(error),
            Some(Errno::NXIO | Errno::NODEV | Errno::ISDIR) => Self::NotRegular,
            None if error.kind() == io::ErrorKind::InvalidInput => Self::NoSuchName(error),
            _ => Self::Io(error),
        }
    }
}

/// Opens a regular file below a folder to be read. Its links may lead anywhere below the folder.
///
/// # Errors
/// If a link leads out, it is not a regular file, or it cannot be opened.
pub fn open_below(folder: &Path, path: &Path) -> Result<File, OpenError> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    }
    let folder = folder.canonicalize()?;
    let handle = rustix::fs::open(&folder, PASS, Mode::empty()).map_err(io::Error::from)?;
    for _ in 0..ROUNDS {
        let resolved = resolve(path);
        if !resolved.reached.starts_with(&folder) {
            return Err(OpenError::Outside);
        }
        if let Some(error) = resolved.error {
            return Err(error.into());
        }
        let within = resolved.reached.strip_prefix(&folder).map_err(|_| OpenError::Outside)?;
        match open_plain(&handle, within) {
            // Not what was resolved: a link came in its place, or it went away.
            Err(OpenError::NoSuchName(error)) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {}
            Err(OpenError::Io(error)) if matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR | Errno::NOENT)) => {
            }
            opened => return opened,
        }
    }
    Err(OpenError::Unsteady)
}

/// Opens a regular file by a name in which no part is a link.
fn open_plain(folder: &OwnedFd, within: &Path) -> Result<File, OpenError> {
    let Some(name) = within.file_name() else { return Err(OpenError::NotRegular) };
    let mut passed: Option<OwnedFd> = None;
    for part in within.parent().into_iter().flat_map(Path::components) {
        let next = rustix::fs::openat(passed.as_ref().unwrap_or(folder), part.as_os_str(), PASS, Mode::empty());
        passed = Some(next.map_err(io::Error::from)?);
    }
    let parent = passed.as_ref().unwrap_or(folder);
    let is_regular = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    // Looked at before: to open a device may already do something.
    let seen = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
    if FileType::from_raw_mode(seen.st_mode) == FileType::Symlink {
        return Err(io::Error::from(Errno::LOOP).into());
    }
    if !is_regular(seen.st_mode) {
        return Err(OpenError::NotRegular);
    }
    let file = rustix::fs::openat(parent, name, READ, Mode::empty()).map_err(io::Error::from)?;
    let opened = rustix::fs::fstat(&file).map_err(io::Error::from)?;
    if is_regular(opened.st_mode) { Ok(file.into()) } else { Err(OpenError::NotRegular) }
}

/// How far the links of a name could be resolved.
struct Resolved {
    /// A path without links: the file, or the folder in which the next part could not be had.
    reached: PathBuf,
    error: Option<io::Error>,
}

/// Resolves an absolute path as the system does, and where it cannot, says how far it came.
fn resolve(path: &Path) -> Resolved {
    let parts = |path: &Path| -> Vec<OsString> { path.components().map(|part| part.as_os_str().to_owned()).collect() };
    let mut left: VecDeque<OsString> = parts(path).into();
    let (mut reached, mut links) = (PathBuf::new(), 0);
    while let Some(part) = left.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::RootDir) => reached = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                reached.pop();
            }
            Some(Component::Normal(name)) => {
                let next = reached.join(name);
                let kind = next.symlink_metadata().map(|metadata| metadata.file_type());
                match kind {
                    Ok(kind) if kind.is_symlink() => {}
                    // A file among the folders of a path is found out when the next part is asked for.
                    Ok(_) => {
                        reached = next;
                        continue;
                    }
                    Err(error) => return Resolved { reached, error: Some(error) },
                }
                links += 1;
                if links > MAX_LINKS {
                    return Resolved { reached, error: Some(Errno::LOOP.into()) };
                }
                match next.read_link() {
                    Ok(target) => {
                        for part in parts(&target).into_iter().rev() {
                            left.push_front(part);
                        }
                    }
                    // It is a link no more.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => left.push_front(part),
                    Err(error) => return Resolved { reached, error: Some(error) },
                }
            }
            Some(Component::CurDir | Component::Prefix(_)) | None => {}
        }
    }
    Resolved { reached, error: None }
}
