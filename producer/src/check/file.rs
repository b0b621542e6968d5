//! The file that is looked at: opened as the worker would, and what it is as a whole.

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read},
    path::PathBuf,
    time::Instant,
};

use schemars::JsonSchema;
use serde::Serialize;
use shared::fingerprint::Fingerprinter;

use crate::errors::CommandError;

/// The file itself.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileFacts {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// SHA-256 of its bytes.
    pub(crate) fingerprint: String,
}

/// A file that is to be looked at.
#[derive(Debug, Clone)]
pub(crate) struct FileAt {
    path: PathBuf,
    /// What it is called, where that is not its path.
    label: Option<String>,
    /// After this nothing more is read of it.
    until: Option<Instant>,
}

/// What is read of a file until it takes too long.
#[derive(Debug)]
pub(crate) struct Timed {
    file: File,
    until: Option<Instant>,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.until.is_some_and(|until| Instant::now() > until) {
            return Err(io::Error::new(ErrorKind::TimedOut, "it takes too long"));
        }
        self.file.read(buffer)
    }
}

impl FileAt {
    /// One that is called by its path, however long it takes.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), label: None, until: None }
    }

    /// One that is called otherwise, and is read until a moment.
    pub(crate) fn called(self, label: String, until: Instant) -> Self {
        Self { label: Some(label), until: Some(until), ..self }
    }

    fn name(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.path.display().to_string())
    }

    /// Opens the file as the worker would: a regular one.
    ///
    /// # Errors
    /// If it is not there, is none, or cannot be read.
    pub(crate) fn open(&self) -> Result<BufReader<Timed>, CommandError> {
        let cannot = |reason: String| CommandError::Input(format!("{} {reason}", self.name()));
        let metadata = std::fs::metadata(&self.path).map_err(|error| {
            let absent = error.kind() == ErrorKind::NotFound;
            cannot(if absent { "is not there".to_owned() } else { format!("cannot be read: {error}") })
        })?;
        if !metadata.is_file() {
            return Err(cannot("is not a regular file".to_owned()));
        }
        let file = File::open(&self.path).map_err(|error| cannot(format!("cannot be read: {error}")))?;
        Ok(BufReader::new(Timed { file, until: self.until }))
    }

    /// The file itself: its size and its fingerprint.
    ///
    /// # Errors
    /// If it cannot be read, or is larger than a file may be.
    pub(crate) fn facts(&self, most: u64) -> Result<FileFacts, CommandError> {
        let mut input = self.open()?;
        let (mut fingerprinter, mut bytes, mut chunk) = (Fingerprinter::default(), 0, vec![0; 1 << 20]);
        loop {
            let count = input
                .read(&mut chunk)
                .map_err(|error| CommandError::Input(format!("{} cannot be read: {error}", self.name())))?;
            if count == 0 {
                break;
            }
            bytes += count as u64;
            fingerprinter.update(&chunk[..count]);
        }
        if bytes > most {
            let name = self.name();
            let reason = format!("{name} has {bytes} bytes, more than the {most} that AURA_MAX_FILE_BYTES allows");
            return Err(CommandError::Input(reason));
        }
        Ok(FileFacts { path: self.name(), bytes, fingerprint: fingerprinter.finish().to_string() })
    }
}
