//! Rows divided by their key, so that each part can be held: those of the file and those of the ledger the same way.
//! Few rows are one part, in memory; many lie in a temporary file until their part is compared.

use std::{
    hash::BuildHasher,
    io::{Read, Seek, SeekFrom, Write},
};

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
const PART: u64 = 1 << 20;
const MOST_PARTS: u64 = 512;
/// Bytes of all parts together that are held in memory before a temporary file takes them.
const HELD: usize = 4 << 20;
/// Bytes of all parts together that are gathered before they are written, and of one.
const GATHERED: usize = 4 << 20;
const MOST_GATHERED: usize = 32 << 10;
/// Bytes of one part that are too many to be held.
const TOO_MANY: usize = 24 << 20;
/// The number of cells stands before a row's cells in two bytes.
const WIDTH: usize = 2;

/// Rows that are divided by their key. One temporary file takes them all, however many parts there are.
pub(super) struct Parts {
    hasher: RandomState,
    parts: Vec<Part>,
    gathers: usize,
    spool: SpooledTempFile,
    written: u64,
}

/// The rows of one part, each one's cells behind those of the one before.
#[derive(Default)]
struct Part {
    /// Where its pieces begin in the spool, and how long each is.
    pieces: Vec<(u64, usize)>,
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
        let parts = (0..count).map(|_| Part::default()).collect();
        let gathers = (GATHERED / count).min(MOST_GATHERED);
        Self { hasher, parts, gathers, spool: SpooledTempFile::new(HELD), written: 0 }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If it finds no place.
    pub(super) fn add(&mut self, key: &[u8], row: &[u8]) -> Result<(), TooMany> {
        let place = self.hasher.hash_one(key) % self.parts.len() as u64;
        let part = usize::try_from(place).ok().and_then(|place| self.parts.get_mut(place)).ok_or(TooMany)?;
        part.bytes += row.len();
        part.gathered.extend_from_slice(row);
        if part.gathered.len() >= self.gathers {
            self.spool.write_all(&part.gathered).map_err(|_| TooMany)?;
            part.pieces.push((self.written, part.gathered.len()));
            self.written += part.gathered.len() as u64;
            part.gathered.clear();
            // The memory of a long row is given back.
            part.gathered.shrink_to(self.gathers * 2);
        }
        if part.bytes > TOO_MANY { Err(TooMany) } else { Ok(()) }
    }

    /// All rows of a part, in memory that those of an earlier one took. Parts have the same numbers in all that one
    /// hasher has divided.
    pub(super) fn rows(&mut self, number: usize, mut rows: Vec<u8>) -> Result<Vec<u8>, TooMany> {
        let part = std::mem::take(self.parts.get_mut(number).ok_or(TooMany)?);
        rows.clear();
        rows.reserve_exact(part.bytes);
        for (start, length) in part.pieces {
            self.spool.seek(SeekFrom::Start(start)).map_err(|_| TooMany)?;
            (&mut self.spool).take(length as u64).read_to_end(&mut rows).map_err(|_| TooMany)?;
        }
        rows.extend_from_slice(&part.gathered);
        if rows.len() == part.bytes { Ok(rows) } else { Err(TooMany) }
    }
}

/// Takes the rows of a file as they are read.
pub(super) struct FileRows {
    encoder: RowEncoder,
    row: Vec<u8>,
    /// None once one found no place.
    parts: Option<Parts>,
    rejected: Rejected,
}

impl FileRows {
    /// Takes those of a job.
    pub(super) fn new(slice: &Slice, job_id: Uuid, parts: Parts) -> Self {
        let encoder = RowEncoder::new(slice, job_id, true);
        Self { encoder, row: Vec::new(), parts: Some(parts), rejected: Rejected::new(slice, job_id) }
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

    /// Bytes of a row, so that all are more than is held.
    const ROW: usize = 512;

    #[test]
    fn rows_of_one_key_come_to_the_same_part_of_both_sides_and_none_is_lost() {
        for count in [1, 7, 512] {
            let hasher = RandomState::default();
            let [mut file, mut ledger] = [(); 2].map(|()| Parts::new(count, hasher.clone()));
            for number in 0..40_000_u32 {
                let row = [number.to_be_bytes(); ROW / 4].concat();
                file.add(&number.to_be_bytes(), &row).unwrap();
                if number % 3 == 0 {
                    ledger.add(&number.to_be_bytes(), &row).unwrap();
                }
            }
            let numbers = |parts: &mut Parts, number| -> Vec<u32> {
                let rows = parts.rows(number, vec![1]).unwrap();
                rows.chunks(ROW).map(|row| u32::from_be_bytes(*row.first_chunk().unwrap())).collect()
            };
            let mut all = Vec::new();
            for number in 0..count {
                let (file, ledger) = (numbers(&mut file, number), numbers(&mut ledger, number));
                assert!(ledger.iter().all(|number| file.binary_search(number).is_ok()));
                assert_eq!(file.iter().filter(|number| **number % 3 == 0).count(), ledger.len());
                all.extend(file);
            }
            all.sort_unstable();
            assert_eq!(all, (0..40_000).collect::<Vec<_>>());
        }
        assert_eq!((count(0), count(3 << 20), count(150 << 20), count(1 << 40)), (1, 3, 150, 512));
    }
}
