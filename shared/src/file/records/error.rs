//! What is wrong with a record, and where.

use std::fmt;

use super::super::read::ReadError;
use crate::message::failure::{ErrorCode, Failure, Stage};

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: u64,
    /// The byte of the line, from 1.
    pub byte: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, byte {}", self.line, self.byte)
    }
}

/// Why no further record can be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record has too many fields.
    #[error("line {line}: has more than {most} fields")]
    TooManyFields {
        /// The line on which it starts.
        line: u64,
        /// How many it may have.
        most: usize,
    },
    /// A record has too many bytes.
    #[error("line {line}: the record is longer than {most} bytes")]
    TooLong {
        /// The line on which it starts.
        line: u64,
        /// How many it may have.
        most: usize,
    },
    /// The bytes are not UTF-8.
    #[error("{0}: is not UTF-8; name the encoding in a mapping profile")]
    NotUtf8(Position),
    /// A NUL character, which no text has.
    #[error("{0}: holds a NUL character; if the file is UTF-16, a mapping profile has to say so")]
    Nul(Position),
    /// The file ends within quotes, which were opened here.
    #[error("{0}: a quote is opened and never closed")]
    UnclosedQuote(Position),
    /// A quote that neither opens nor closes a field, nor stands for one.
    #[error("{0}: a quote stands neither around a field nor doubled within one")]
    LoneQuote(Position),
    /// A line end within quotes, which the profile does not allow.
    #[error("{0}: the line ends within quotes")]
    QuotedLineEnd(Position),
}

impl RecordError {
    /// The code of a job that fails for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Read(error) => error.code(),
            Self::TooManyFields { .. } | Self::TooLong { .. } => ErrorCode::FileTooLarge,
            Self::NotUtf8(_) => ErrorCode::EncodingInvalid,
            Self::Nul(_) | Self::UnclosedQuote(_) | Self::LoneQuote(_) | Self::QuotedLineEnd(_) => {
                ErrorCode::CsvMalformed
            }
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Self::new(error.code(), Stage::Parse, error.to_string())
    }
}
