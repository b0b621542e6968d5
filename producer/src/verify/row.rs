//! What is compared of a row: a cell as PostgreSQL sends it, and the one that a cache file holds.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Decimal128Type, Int64Type},
};
use shared::{
    amount::SCALE,
    file::columns::{AMOUNTS, ERP_TEXTS},
    stores::numeric,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::raw_cell::Raw;

/// What a compared column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Amount,
    Json,
    Uuid,
    Integer,
}

/// The columns that are compared, keys first: all but those of the review workflow, which may have
/// moved on since the file was written.
pub(super) fn compared() -> impl Iterator<Item = (&'static str, Kind)> {
    let keys = ["company_code", "account_code", "entity", "period"].map(|name| (name, Kind::Text));
    let amounts = AMOUNTS.map(|name| (name, Kind::Amount));
    let texts = ERP_TEXTS.map(|name| (name, Kind::Text));
    let others = [("extra", Kind::Json), ("job_id", Kind::Uuid), ("source_line", Kind::Integer)];
    keys.into_iter().chain(amounts).chain(texts).chain(others)
}

/// The places, among the compared columns, of the two that tell rows apart within a slice.
pub(super) const COMPANY: usize = 0;
pub(super) const ACCOUNT: usize = 1;
/// The place of `balance` among the compared columns.
pub(super) const BALANCE: usize = 4;

impl Kind {
    /// Whether a cache file's column of this type can hold it.
    pub(super) fn fits(self, data_type: &DataType) -> bool {
        match self {
            Self::Text | Self::Json | Self::Uuid => data_type == &DataType::Utf8,
            Self::Amount => matches!(data_type, DataType::Decimal128(_, scale) if *scale == SCALE as i8),
            Self::Integer => data_type == &DataType::Int64,
        }
    }
}

/// A cell of a cache file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    Null,
    Text(&'a str),
    /// In units of 10⁻¹⁶.
    Amount(i128),
    Integer(i64),
}

/// A cell of a cache file's rows, by the place of its column among those compared.
pub(super) fn cell(batch: &RecordBatch, row: usize, place: usize, kind: Kind) -> Cell<'_> {
    let cells = batch.column(place);
    if cells.is_null(row) {
        return Cell::Null;
    }
    match kind {
        Kind::Text | Kind::Json | Kind::Uuid => Cell::Text(cells.as_string::<i32>().value(row)),
        Kind::Amount => Cell::Amount(cells.as_primitive::<Decimal128Type>().value(row)),
        Kind::Integer => Cell::Integer(cells.as_primitive::<Int64Type>().value(row)),
    }
}

/// The cells of a row of the ledger, as PostgreSQL sends them.
pub(super) fn raw_cells(row: &Row) -> Vec<Option<&[u8]>> {
    (0..row.len()).map(|place| row.get::<_, Option<Raw<'_>>>(place).map(|Raw(cell)| cell)).collect()
}

/// Whether a cell of the ledger, as PostgreSQL sends it, is what a cache file holds.
pub(super) fn is_same(ledger: Option<&[u8]>, cached: Cell<'_>, kind: Kind) -> bool {
    let Some(ledger) = ledger else { return cached == Cell::Null };
    match (kind, cached) {
        (Kind::Text, Cell::Text(cached)) => ledger == cached.as_bytes(),
        // The binary form of jsonb is its version and its text.
        (Kind::Json, Cell::Text(cached)) => ledger.strip_prefix(&[1]) == Some(cached.as_bytes()),
        (Kind::Uuid, Cell::Text(cached)) => {
            Uuid::from_slice(ledger).is_ok_and(|uuid| cached == uuid.hyphenated().to_string())
        }
        (Kind::Amount, Cell::Amount(cached)) => numeric::read(ledger).is_some_and(|amount| amount.units() == cached),
        (Kind::Integer, Cell::Integer(cached)) => ledger == cached.to_be_bytes(),
        (Kind::Text | Kind::Json | Kind::Uuid | Kind::Amount | Kind::Integer, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_and_the_balance_stand_where_they_are_looked_for() {
        let names: Vec<&str> = compared().map(|(name, _)| name).collect();
        assert_eq!([names[COMPANY], names[ACCOUNT], names[BALANCE]], ["company_code", "account_code", "balance"]);
    }

    #[test]
    fn cells_are_the_same_if_they_are_exactly_alike() {
        let uuid = Uuid::from_u128(7);
        assert!(is_same(None, Cell::Null, Kind::Text));
        assert!(is_same(Some(b"a"), Cell::Text("a"), Kind::Text));
        assert!(is_same(Some(b"\x01{}"), Cell::Text("{}"), Kind::Json));
        assert!(is_same(Some(uuid.as_bytes()), Cell::Text(&uuid.to_string()), Kind::Uuid));
        assert!(is_same(Some(&7_i64.to_be_bytes()), Cell::Integer(7), Kind::Integer));

        assert!(!is_same(None, Cell::Text(""), Kind::Text), "an empty text is not null");
        assert!(!is_same(Some(b""), Cell::Null, Kind::Text), "null is not an empty text");
        assert!(!is_same(Some(b"a"), Cell::Text("a "), Kind::Text));
        assert!(!is_same(Some(b"\x02{}"), Cell::Text("{}"), Kind::Json), "JSON of another version");
        assert!(!is_same(Some(uuid.as_bytes()), Cell::Text("7"), Kind::Uuid));
        assert!(!is_same(Some(&7_i64.to_be_bytes()), Cell::Amount(7), Kind::Integer), "a cell of another kind");
    }
}
