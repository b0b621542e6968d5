//! The file's rows of one part, held until they are compared.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use super::whole_row::WholeRow;

/// Rows by their key.
pub(super) struct Held {
    rows: Vec<u8>,
    starts: Vec<usize>,
    by_key: HashTable<usize>,
    hasher: RandomState,
}

impl Held {
    /// Makes rows ready to be looked up, each one's cells behind those of the one before; none if two have the same
    /// key.
    pub(super) fn index(rows: Vec<u8>) -> Option<Self> {
        let mut held = Self { rows, starts: Vec::new(), by_key: HashTable::new(), hasher: RandomState::default() };
        let (mut by_key, mut start) = (HashTable::new(), 0);
        while start < held.rows.len() {
            held.starts.push(start);
            let number = held.starts.len() - 1;
            let row = held.row(number)?;
            let is_same = |other: &usize| held.row(*other).is_some_and(|other| other.key() == row.key());
            let hash_of = |number: &usize| held.row(*number).map_or(0, |row| held.hasher.hash_one(row.key()));
            match by_key.entry(held.hasher.hash_one(row.key()), is_same, hash_of) {
                Entry::Vacant(place) => _ = place.insert(number),
                Entry::Occupied(_) => return None,
            }
            start += row.bytes().len();
        }
        held.by_key = by_key;
        Some(held)
    }

    /// The memory that the rows took.
    pub(super) fn into_rows(self) -> Vec<u8> {
        self.rows
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// A row by its number.
    pub(super) fn row(&self, number: usize) -> Option<WholeRow<'_>> {
        WholeRow::split(self.rows.get(*self.starts.get(number)?..)?).map(|(row, _)| row)
    }

    /// The number of the row that has a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let is_same = |number: &usize| self.row(*number).is_some_and(|row| row.key() == key);
        self.by_key.find(self.hasher.hash_one(key), is_same).copied()
    }
}
