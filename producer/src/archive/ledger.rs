//! The rows of one slice, read out of PostgreSQL into the archive's tables.

use std::pin::pin;

use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use shared::{
    amount::Amount,
    stores::{numeric, postgres::PostgresError},
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    table_file::{Cell, TableError, TableFile},
    tables::{ABSENT, ACCOUNTS, CHANGES, Kind, REJECTED, RUNS, Table},
};
use crate::raw_cell::Raw;

/// Microseconds from 1970 to 2000, where PostgreSQL begins to count.
const EPOCH: i128 = 946_684_800_000_000;

/// A table of PostgreSQL, and how its rows of a slice are asked for.
pub(super) struct Source {
    pub(super) table: &'static Table,
    query: &'static str,
}

/// The tables of the ledger, as their files stand in the manifest.
pub(super) const SOURCES: [Source; 5] = [
    Source { table: &ACCOUNTS, query: include_str!("accounts.sql") },
    Source { table: &CHANGES, query: include_str!("changes.sql") },
    Source { table: &REJECTED, query: include_str!("rejected.sql") },
    Source { table: &ABSENT, query: include_str!("absent.sql") },
    Source { table: &RUNS, query: include_str!("runs.sql") },
];

/// Rows cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Copies a table's rows of a slice into its file, and shows the balance of each, if it has one, as they go by.
pub(super) async fn copy(
    tx: &Transaction<'_>,
    source: &Source,
    (entity, period): (&str, &str),
    file: &mut TableFile,
    mut balance: impl FnMut(Amount),
) -> Result<u64, CopyError> {
    let failed = || PostgresError::in_("read the rows of a slice");
    let statement = tx.prepare_cached(&source.query.replace("{all}", &source.table.names())).await.map_err(failed())?;
    let place = source.table.columns.iter().position(|column| column.name == "balance");
    let mut rows = pin!(tx.query_raw(&statement, [entity, period]).await.map_err(failed())?);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(failed())? {
        count += 1;
        let kinds = source.table.columns.iter().enumerate();
        file.add(kinds.map(|(place, column)| cell(&row, place, column.kind)))?;
        if let Some(Ok(Cell::Units(units))) = place.map(|place| cell(&row, place, Kind::Amount))
            && let Some(amount) = Amount::from_units(units)
        {
            balance(amount);
        }
    }
    Ok(count)
}

fn cell(row: &Row, place: usize, kind: Kind) -> Result<Cell<'_>, &'static str> {
    let raw: Option<Raw<'_>> = row.try_get(place).map_err(|_| "it is not there")?;
    raw.map_or(Ok(Cell::Null), |Raw(bytes)| decoded(bytes, kind))
}

/// A cell from the binary form that PostgreSQL sends.
fn decoded(bytes: &[u8], kind: Kind) -> Result<Cell<'_>, &'static str> {
    const OTHER: &str = "it is not of the column's type";
    let text = |bytes| str::from_utf8(bytes).map(Cell::Text).map_err(|_| "it is not UTF-8");
    match kind {
        Kind::Text | Kind::OwnText => text(bytes),
        // The binary form of jsonb is its version and its text.
        Kind::Json => text(bytes.strip_prefix(&[1]).ok_or("it is JSON of another version")?),
        Kind::Uuid => Uuid::from_slice(bytes).map(Cell::Uuid).map_err(|_| OTHER),
        Kind::Amount => {
            let amount = numeric::read(bytes).ok_or("it has more digits than an amount")?;
            Ok(Cell::Units(amount.units()))
        }
        Kind::Integer => bytes.try_into().map(|bytes| Cell::Units(i64::from_be_bytes(bytes).into())).map_err(|_| OTHER),
        Kind::SmallInteger => {
            bytes.try_into().map(|bytes| Cell::Units(i32::from_be_bytes(bytes).into())).map_err(|_| OTHER)
        }
        Kind::Time => match bytes.try_into().map(i64::from_be_bytes) {
            Ok(i64::MIN | i64::MAX) => Err("it is a time without end"),
            Ok(micros) => Ok(Cell::Units(i128::from(micros) + EPOCH)),
            Err(_) => Err(OTHER),
        },
        Kind::Double => bytes.try_into().map(|bytes| Cell::Double(f64::from_be_bytes(bytes))).map_err(|_| OTHER),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn cells_are_decoded_as_their_kinds() {
        assert!(matches!(decoded(b"a", Kind::Text), Ok(Cell::Text("a"))));
        assert!(matches!(decoded(b"\x01{}", Kind::Json), Ok(Cell::Text("{}"))));
        assert!(matches!(decoded(&7_i64.to_be_bytes(), Kind::Integer), Ok(Cell::Units(7))));
        assert!(matches!(decoded(&(-7_i32).to_be_bytes(), Kind::SmallInteger), Ok(Cell::Units(-7))));
        assert!(matches!(decoded(&0.5_f64.to_be_bytes(), Kind::Double), Ok(Cell::Double(0.5))));
        let Ok(Cell::Units(micros)) = decoded(&0_i64.to_be_bytes(), Kind::Time) else { panic!("a time") };
        let at = DateTime::from_timestamp_micros(micros.try_into().unwrap()).unwrap();
        assert_eq!(at.to_rfc3339(), "2000-01-01T00:00:00+00:00");
    }

    #[test]
    fn what_an_archive_cannot_hold_is_refused() {
        assert!(decoded(b"\xff", Kind::Text).is_err());
        assert!(decoded(b"\x02{}", Kind::Json).is_err());
        assert!(decoded(b"a", Kind::Integer).is_err());
        assert!(decoded(&i64::MAX.to_be_bytes(), Kind::Time).is_err(), "infinity");
        assert!(decoded(&[0, 0, 0, 0, 0xc0, 0, 0, 0], Kind::Amount).is_err(), "not a number");
    }
}
