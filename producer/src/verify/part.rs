//! A part of a cache file that is held in memory, in which a row is found by its account.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use super::row::{ACCOUNT, COMPANY, Cell, Kind, cell};

/// Rows and bytes of a file that are held at a time; a part ends with the rows that reach one of them.
const HELD_ROWS: usize = 250_000;
const HELD_BYTES: usize = 128 << 20;

/// Rows of a cache file, in any order.
#[derive(Debug, Default)]
pub(super) struct Part {
    batches: Vec<RecordBatch>,
    accounts: HashMap<Vec<u8>, Held>,
    rows: usize,
    bytes: usize,
}

/// Where the first row of an account is, and how many rows of the part are of it.
#[derive(Debug)]
struct Held {
    batch: usize,
    row: usize,
    rows: usize,
}

/// The first row of an account, and how many rows of the part are of it.
#[derive(Debug)]
pub(super) struct Found<'a> {
    batch: &'a RecordBatch,
    row: usize,
    pub(super) rows: usize,
}

impl Part {
    /// Takes in further rows of the file.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        let place = self.batches.len();
        for row in 0..batch.num_rows() {
            // A row without an account is found by none, so it stays one that the ledger lacks.
            if let Some(key) = key_of(&batch, row) {
                self.accounts.entry(key).or_insert(Held { batch: place, row, rows: 0 }).rows += 1;
            }
        }
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch);
    }

    /// Whether what else the file has belongs to another part.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= HELD_ROWS || self.bytes >= HELD_BYTES
    }

    /// The rows of an account.
    pub(super) fn find(&self, company: &[u8], account: &[u8]) -> Option<Found<'_>> {
        let held = self.accounts.get(&key(company, account))?;
        Some(Found { batch: self.batches.get(held.batch)?, row: held.row, rows: held.rows })
    }
}

impl Found<'_> {
    /// A cell of the row, by the place of its column among those compared.
    pub(super) fn cell(&self, place: usize, kind: Kind) -> Cell<'_> {
        cell(self.batch, self.row, place, kind)
    }
}

fn key_of(batch: &RecordBatch, row: usize) -> Option<Vec<u8>> {
    let text = |place| match cell(batch, row, place, Kind::Text) {
        Cell::Text(text) => Some(text.as_bytes()),
        Cell::Null | Cell::Amount(_) | Cell::Integer(_) => None,
    };
    Some(key(text(COMPANY)?, text(ACCOUNT)?))
}

/// Both codes as one; no two accounts have the same, since it begins with the length of the first code.
fn key(company: &[u8], account: &[u8]) -> Vec<u8> {
    [company.len().to_be_bytes().as_slice(), company, account].concat()
}
