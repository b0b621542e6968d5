//! Reading a file's bytes: what is wrong with them is data, with its position, until somebody shows it.

use std::io::{self, Read, Write};

use crate::message::failure::{ErrorCode, Failure, Stage};

/// Bytes that are copied at a time.
const PIECE: usize = 64 << 10;

/// Why a file's bytes cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The storage does not give them.
    #[error("the file cannot be read on: {0}")]
    Storage(io::Error),
    /// The temporary file that they are copied to does not take them: this machine's disk fails, not the file's.
    #[error("{0}")]
    Copy(io::Error),
    /// They are not what the compression says.
    #[error("the compressed file is damaged or cut off ({0}); export or copy it again")]
    Damaged(io::Error),
    /// The file unpacks to too many.
    #[error("the file unpacks to more than the {0} bytes that AURA_MAX_EXPANDED_BYTES allows")]
    Expanded(u64),
    /// The file unpacks to too many times its size.
    #[error("the file unpacks to more than {0} times its size, which AURA_MAX_EXPANSION_RATIO forbids")]
    Ratio(u64),
    /// They are no text of the encoding.
    #[error(
        "line {line}, character {character}: the bytes are no {encoding}; name the right encoding in the mapping profile"
    )]
    Encoding {
        /// The line, from 1.
        line: u64,
        /// The character of the line, from 1.
        character: u64,
        /// The encoding's name.
        encoding: &'static str,
    },
}

impl ReadError {
    /// The code of a job that fails for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Storage(_) | Self::Copy(_) => ErrorCode::StorageUnavailable,
            Self::Damaged(_) => ErrorCode::ArchiveInvalid,
            Self::Expanded(_) | Self::Ratio(_) => ErrorCode::FileTooLarge,
            Self::Encoding { .. } => ErrorCode::EncodingInvalid,
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::new(error.code(), Stage::Parse, error.to_string())
    }
}

/// A file's bytes, of which it can be said what is wrong with them.
pub trait FileRead {
    /// Reads some bytes; none at the end.
    ///
    /// # Errors
    /// If they cannot be read on.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError>;
}

/// Whatever gives bytes as they are stored.
impl<R: Read> FileRead for R {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        loop {
            match Read::read(self, buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(ReadError::Storage),
            }
        }
    }
}

/// What was boxed because its kind shows only as it is read.
pub struct AnyFile<'a>(Box<dyn FileRead + 'a>);

impl<'a> AnyFile<'a> {
    /// Boxes a reader.
    pub fn new(input: impl FileRead + 'a) -> Self {
        Self(Box::new(input))
    }
}

impl FileRead for AnyFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.0.read(buffer)
    }
}

/// Bytes that were read already, and those behind them.
pub(super) struct Prefixed<R> {
    head: io::Cursor<Vec<u8>>,
    input: R,
}

impl<R: FileRead> Prefixed<R> {
    pub(super) fn new(head: Vec<u8>, input: R) -> Self {
        Self { head: io::Cursor::new(head), input }
    }
}

impl<R: FileRead> FileRead for Prefixed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        match FileRead::read(&mut self.head, buffer)? {
            0 => self.input.read(buffer),
            count => Ok(count),
        }
    }
}

/// Adds the next bytes to a buffer: as many as said, or all that are left. Returns how many they are.
///
/// # Errors
/// If they cannot be read on.
#[expect(clippy::indexing_slicing, reason = "the buffer was made as long as that")]
pub fn read_up_to(input: &mut impl FileRead, most: usize, buffer: &mut Vec<u8>) -> Result<usize, ReadError> {
    let start = buffer.len();
    let mut end = start;
    buffer.resize(start + most, 0);
    let read = loop {
        if end == buffer.len() {
            break Ok(());
        }
        match input.read(&mut buffer[end..]) {
            Ok(0) => break Ok(()),
            Ok(count) => end += count,
            Err(error) => break Err(error),
        }
    };
    buffer.truncate(end);
    read.map(|()| end - start)
}

/// Copies at most so many bytes to a temporary file; returns how many they were.
///
/// # Errors
/// If they cannot be read on, or written.
pub(super) fn copy(input: &mut impl FileRead, most: u64, to: &mut impl Write) -> Result<u64, ReadError> {
    let (mut copied, mut piece) = (0, Vec::with_capacity(PIECE));
    while copied < most {
        piece.clear();
        let left = usize::try_from(most - copied).unwrap_or(PIECE).min(PIECE);
        let count = read_up_to(input, left, &mut piece)?;
        if count == 0 {
            break;
        }
        to.write_all(&piece).map_err(ReadError::Copy)?;
        copied += count as u64;
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the share is gone"))
        }
    }

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is full"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_copy_that_cannot_be_written_is_not_said_to_be_a_file_that_cannot_be_read() {
        let failed = |failure: ReadError| Failure::from(failure);
        let full = failed(copy(&mut b"a,b".as_slice(), 10, &mut Broken).unwrap_err());
        assert_eq!((full.code, full.message.as_str()), (ErrorCode::StorageUnavailable, "the disk is full"));
        let gone = failed(copy(&mut Broken, 10, &mut Vec::new()).unwrap_err());
        let reason = "the file cannot be read on: the share is gone";
        assert_eq!((gone.code, gone.message.as_str()), (ErrorCode::StorageUnavailable, reason));
    }
}
