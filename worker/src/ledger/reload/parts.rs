//! Rows divided by their key, so that each part can be held: those of the file and those of the ledger the same way.
//! Few rows are one part, in memory; many lie in temporary files until their part is compared.

use std::{
    hash::BuildHasher,
    io::{self, Read, Seek, Write},
};

use bytes::BytesMut;
use foldhash::fast::RandomState;
use shared::{
    file::trial_balance::{LedgerRow, RowSink},
    message::failure::{BadRow, Failure},
    slice::Slice,
};
use tempfile::SpooledTempFile;
use uuid::Uuid;

use super::whole_row::WholeRow;
use crate::ledger::copy_in::{Rejected, RowEncoder};

/// Bytes of a file that make a part, and the most parts that there are.
const PART: u64 = 3 << 20;
const MOST_PARTS: u64 = 128;
/// Bytes of all parts together that are held in memory, and of one that are gathered before they are written.
const HELD: usize = 4 << 20;
const GATHERED: usize = 32 << 10;
/// Bytes of one part that are too many to be held.
const TOO_MANY: usize = 24 << 20;
/// The number of cells stands before a row's cells in two bytes.
const WIDTH: usize = 2;

/// Rows that are divided by their key.
pub(super) struct Parts {
    hasher: RandomState,
    parts: Vec<Part>,
}

/// The rows of one part, each one's cells behind those of the one before.
pub(super) struct Part {
    spool: SpooledTempFile,
    gathered: Vec<u8>,
    bytes: usize,
}

/// A part that has become too large, or that a temporary file does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// How many parts the rows of a file of so many bytes make.
pub(super) fn count(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(PART).clamp(1, MOST_PARTS)).unwrap_or(1)
}

impl Parts {
    /// So many parts, without rows. Only what one hasher has divided belongs together.
    pub(super) fn new(count: usize, hasher: RandomState) -> Self {
        let part = || Part { spool: SpooledTempFile::new(HELD / count), gathered: Vec::new(), bytes: 0 };
        Self { hasher, parts: (0..count).map(|_| part()).collect() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If it finds no place.
    pub(super) fn add(&mut self, key: &[u8], row: &[u8]) -> Result<(), TooMany> {
        let place = self.hasher.hash_one(key) % self.parts.len() as u64;
        let part = usize::try_from(place).ok().and_then(|place| self.parts.get_mut(place)).ok_or(TooMany)?;
        part.add(row).map_err(|_| TooMany)?;
        if part.bytes > TOO_MANY { Err(TooMany) } else { Ok(()) }
    }

    /// The parts, in an order that is the same for all that one hasher has divided.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Part> {
        self.parts.into_iter()
    }
}

impl Part {
    fn add(&mut self, row: &[u8]) -> io::Result<()> {
        self.bytes += row.len();
        self.gathered.extend_from_slice(row);
        if self.gathered.len() < GATHERED {
            return Ok(());
        }
        self.spool.write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }

    /// All of its rows.
    pub(super) fn rows(mut self) -> Result<Vec<u8>, TooMany> {
        let mut rows = Vec::with_capacity(self.bytes);
        let mut read = || {
            self.spool.rewind()?;
            self.spool.read_to_end(&mut rows)
        };
        read().map_err(|_| TooMany)?;
        rows.extend_from_slice(&self.gathered);
        if rows.len() == self.bytes { Ok(rows) } else { Err(TooMany) }
    }
}

/// Takes the rows of a file as they are read.
pub(super) struct FileRows {
    encoder: RowEncoder,
    row: BytesMut,
    /// None once one found no place.
    parts: Option<Parts>,
    rejected: Rejected,
}

impl FileRows {
    /// Takes those of a job.
    pub(super) fn new(slice: &Slice, job_id: Uuid, parts: Parts) -> Self {
        let encoder = RowEncoder::new(slice, job_id, true);
        Self { encoder, row: BytesMut::new(), parts: Some(parts), rejected: Rejected::new(slice, job_id) }
    }

    /// The rows, if all found their place, and those that were put aside.
    pub(super) fn end(self) -> (Option<Parts>, Rejected) {
        (self.parts, self.rejected)
    }
}

impl RowSink for FileRows {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        let Some(parts) = &mut self.parts else { return Ok(()) };
        self.row.clear();
        self.encoder.put(&mut self.row, row);
        let cells = self.row.get(WIDTH..).unwrap_or_default();
        let added = WholeRow::split(cells).ok_or(TooMany).and_then(|(row, _)| parts.add(row.key(), cells));
        if added.is_err() {
            self.parts = None;
        }
        Ok(())
    }

    fn rejected(&mut self, row: &BadRow, raw: &str) -> Result<(), Failure> {
        self.rejected.add(row, raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_key_come_to_the_same_part_of_both_sides_and_none_is_lost() {
        for count in [1, 7] {
            let hasher = RandomState::default();
            let [mut file, mut ledger] = [(); 2].map(|()| Parts::new(count, hasher.clone()));
            for number in 0..40_000_u32 {
                let row = [number.to_be_bytes(); 4].concat();
                file.add(&number.to_be_bytes(), &row).unwrap();
                if number % 3 == 0 {
                    ledger.add(&number.to_be_bytes(), &row).unwrap();
                }
            }
            let numbers = |part: Part| -> Vec<u32> {
                let rows = part.rows().unwrap();
                rows.chunks(16).map(|row| u32::from_be_bytes(*row.first_chunk().unwrap())).collect()
            };
            let mut all = Vec::new();
            for (file, ledger) in file.into_iter().zip(ledger.into_iter()) {
                let (file, ledger) = (numbers(file), numbers(ledger));
                assert!(ledger.iter().all(|number| file.binary_search(number).is_ok()));
                assert_eq!(file.iter().filter(|number| **number % 3 == 0).count(), ledger.len());
                all.extend(file);
            }
            all.sort_unstable();
            assert_eq!(all, (0..40_000).collect::<Vec<_>>());
        }
        assert_eq!((count(0), count(3 << 20), count(150 << 20), count(1 << 40)), (1, 1, 50, 128));
    }
}
