//! The file that is looked at: opened as the worker would, and what it is as a whole.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    path::Path,
};

use serde::Serialize;
use shared::fingerprint::Fingerprinter;

use crate::errors::CommandError;

/// The file itself.
#[derive(Debug, Serialize)]
pub(crate) struct FileFacts {
    pub(super) path: String,
    pub(super) bytes: u64,
    /// SHA-256 of its bytes.
    pub(crate) fingerprint: String,
}

/// Opens a file as the worker would: a regular one.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>, CommandError> {
    let cannot = |reason: String| CommandError::Input(format!("{} {reason}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| {
        let absent = error.kind() == ErrorKind::NotFound;
        cannot(if absent { "is not there".to_owned() } else { format!("cannot be read: {error}") })
    })?;
    if !metadata.is_file() {
        return Err(cannot("is not a regular file".to_owned()));
    }
    Ok(BufReader::new(File::open(path).map_err(|error| cannot(format!("cannot be read: {error}")))?))
}

/// The file itself: its size and its fingerprint.
pub(crate) fn facts(path: &Path, most: u64) -> Result<FileFacts, CommandError> {
    let mut input = open(path)?;
    let (mut fingerprinter, mut bytes, mut chunk) = (Fingerprinter::default(), 0, vec![0; 1 << 20]);
    loop {
        let count = input
            .read(&mut chunk)
            .map_err(|error| CommandError::Input(format!("{} cannot be read: {error}", path.display())))?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        fingerprinter.update(&chunk[..count]);
    }
    if bytes > most {
        let reason =
            format!("{} has {bytes} bytes, more than the {most} that AURA_MAX_FILE_BYTES allows", path.display());
        return Err(CommandError::Input(reason));
    }
    Ok(FileFacts { path: path.display().to_string(), bytes, fingerprint: fingerprinter.finish().to_string() })
}
