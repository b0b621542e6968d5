//! A table's Parquet file as the check reads it. Whatever stands in the file is read or refused, in words.

use std::{fs::File, path::Path};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType},
};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{panics::caught, tables::Table};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1_024;

/// Some columns of some rows, in the order in which they were asked for.
pub(super) struct Batch {
    columns: Vec<ArrayRef>,
    pub(super) rows: usize,
}

impl Batch {
    /// A text; none where there is none.
    pub(super) fn text(&self, column: usize, row: usize) -> Option<&str> {
        let column = self.columns.get(column)?.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// An amount in units of 10⁻¹⁶.
    pub(super) fn units(&self, column: usize, row: usize) -> Option<i128> {
        let column = self.columns.get(column)?.as_primitive_opt::<Decimal128Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// A whole number.
    pub(super) fn number(&self, column: usize, row: usize) -> Option<i64> {
        let column = self.columns.get(column)?.as_primitive_opt::<Int64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// A time in microseconds since 1970.
    pub(super) fn micros(&self, column: usize, row: usize) -> Option<i64> {
        let column = self.columns.get(column)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        column.is_valid(row).then(|| column.value(row))
    }
}

/// Reads some columns of a table's file from its beginning to its end.
///
/// # Errors
/// If it is not a file of this table, or is damaged; what was read up to there has been taken.
pub(super) fn read(
    folder: &Path,
    table: &Table,
    names: &[&str],
    mut take: impl FnMut(&Batch) + Send,
) -> Result<(), String> {
    let path = folder.join(table.file);
    caught(|| read_through(&path, table, names, &mut take)).unwrap_or_else(|| Err("reading it broke off".to_owned()))
}

fn read_through(path: &Path, table: &Table, names: &[&str], take: &mut impl FnMut(&Batch)) -> Result<(), String> {
    fn told(error: impl ToString) -> String {
        error.to_string()
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).map_err(told)?).map_err(told)?;
    let schema = builder.schema();
    for column in table.columns {
        let name = column.name;
        let field = schema.field_with_name(name).map_err(|_| format!("it has no column {name}"))?;
        if field.data_type() != &column.kind.data_type() {
            return Err(format!("its column {name} is of type {}", field.data_type()));
        }
    }
    let wanted = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
    let reader = builder.with_projection(wanted).with_batch_size(BATCH_ROWS).build().map_err(told)?;
    for batch in reader {
        take(&ordered(&batch.map_err(told)?, names)?);
    }
    Ok(())
}

/// The columns in the order in which they were asked for, whatever the file's.
fn ordered(batch: &RecordBatch, names: &[&str]) -> Result<Batch, String> {
    let column = |name: &&str| batch.column_by_name(name).cloned().ok_or_else(|| format!("it has no column {name}"));
    Ok(Batch { columns: names.iter().map(column).collect::<Result<_, _>>()?, rows: batch.num_rows() })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            table_file::{Cell, TableFile},
            tables::ABSENT,
        },
        *,
    };

    fn folder_with(rows: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join(ABSENT.file)).unwrap();
        let mut table = TableFile::new(&ABSENT, file, "2022").unwrap();
        for row in 0..rows {
            let code = row.to_string();
            let cells = ["A", "2022-06", "A", &code, "job"].map(|text| Ok(Cell::Text(text)));
            table.add(cells.into_iter()).unwrap();
        }
        assert_eq!(table.finish().unwrap().rows, Some(rows as u64));
        folder
    }

    fn codes(folder: &Path) -> Result<Vec<String>, String> {
        let mut codes = Vec::new();
        let take = |batch: &Batch| {
            codes.extend((0..batch.rows).filter_map(|row| batch.text(1, row)).map(str::to_owned));
        };
        read(folder, &ABSENT, &["period", "account_code"], take)?;
        Ok(codes)
    }

    #[test]
    fn what_was_written_is_read() {
        let rows = 5_000;
        let codes = codes(folder_with(rows).path()).unwrap();
        assert_eq!((codes.len(), codes[0].as_str(), codes[rows - 1].as_str()), (rows, "0", "4999"));
    }

    #[test]
    fn a_damaged_file_is_read_or_refused_and_nothing_else_happens() {
        let folder = folder_with(300);
        let path = folder.path().join(ABSENT.file);
        let whole = std::fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0xff;
            std::fs::write(&path, damaged).unwrap();
            let _ = codes(folder.path());
        }
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(codes(folder.path()).is_err(), "cut off at {length}");
        }
    }
}
