//! A whole row of the ledger as COPY has it.

use shared::file::columns::{AMOUNTS, COPIED, KEYS, OF_JOB, TEXTS};

/// Where columns stand in a whole row.
pub(super) const JOB_ID: usize = 2;
pub(super) const COMPANY_CODE: usize = OF_JOB.len();
pub(super) const ACCOUNT_CODE: usize = COMPANY_CODE + 1;
pub(super) const SOURCE_LINE: usize = OF_JOB.len() + KEYS.len();
pub(super) const FIRST_AMOUNT: usize = SOURCE_LINE + 1 + TEXTS;
pub(super) const EXTRA: usize = FIRST_AMOUNT + AMOUNTS.len();

/// The cells of a row in the order of [`shared::file::columns::copied_columns`], each with its length before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct WholeRow<'a> {
    bytes: &'a [u8],
    key: &'a [u8],
    cells: [&'a [u8]; COPIED],
}

impl<'a> WholeRow<'a> {
    /// Splits a row into its cells, and those from what follows it; none if it is shorter.
    pub(super) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut cells: [&[u8]; COPIED] = [&[]; COPIED];
        let mut rest = bytes;
        let mut key = 0..0;
        for (place, cell) in cells.iter_mut().enumerate() {
            let length = i32::from_be_bytes(*rest.first_chunk()?);
            let begin = bytes.len() - rest.len();
            (*cell, rest) = rest.split_at_checked(4 + usize::try_from(length).unwrap_or(0))?;
            match place {
                COMPANY_CODE => key.start = begin,
                ACCOUNT_CODE => key.end = bytes.len() - rest.len(),
                _ => {}
            }
        }
        let own = bytes.get(..bytes.len() - rest.len())?;
        Some((Self { bytes: own, key: bytes.get(key)?, cells }, rest))
    }

    /// Splits a row and its place, a cell more, from what follows them.
    pub(super) fn split_placed(bytes: &'a [u8]) -> Option<(Self, &'a [u8], &'a [u8])> {
        let (row, rest) = Self::split(bytes)?;
        let length = i32::from_be_bytes(*rest.first_chunk()?);
        let (place, rest) = rest.split_at_checked(4 + usize::try_from(length).ok()?)?;
        Some((row, place, rest))
    }

    /// All cells.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What tells the row from the others of its slice.
    pub(super) fn key(&self) -> &'a [u8] {
        self.key
    }

    /// A cell with its length before it.
    pub(super) fn cell(&self, column: usize) -> &'a [u8] {
        self.cells.get(column).copied().unwrap_or_default()
    }

    /// A cell's value, unless it is null.
    pub(super) fn value(&self, column: usize) -> Option<&'a [u8]> {
        value(self.cell(column))
    }
}

/// The value of a cell with its length before it, unless it is null.
pub(super) fn value(cell: &[u8]) -> Option<&[u8]> {
    let (length, value) = cell.split_first_chunk()?;
    (i32::from_be_bytes(*length) >= 0).then_some(value)
}
