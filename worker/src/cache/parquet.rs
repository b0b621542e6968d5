//! The columns of a cache file, and its writer, whose memory does not depend on how many rows there are.

use std::{collections::HashMap, fs::File, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, Decimal128Builder, Int64Builder, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use shared::{
    amount::SCALE,
    file::columns::{REVIEW_TEXTS, copied_columns},
    stores::numeric,
};
use uuid::Uuid;

use crate::cache::copy_out::Cells;

/// Rows and bytes that are gathered before the writer gets them.
const BATCH_ROWS: usize = 2_048;
const BATCH_BYTES: usize = 1 << 20;
/// Rows and bytes of a row group, which the writer holds until it is full.
const GROUP_ROWS: usize = 65_536;
const GROUP_BYTES: usize = 32 << 20;
const PAGE_BYTES: usize = 256 << 10;
const PRECISION: u8 = 38;

/// The rows cannot be written as Parquet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// A cell is not what the column holds. The cell itself is not shown.
    #[error("row {row} holds in {column} what the cache cannot: {reason}")]
    Cell {
        /// The row, counted from 1.
        row: u64,
        /// The column.
        column: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The batch is inconsistent.
    #[error("the rows do not form a table")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The writer failed.
    #[error("the Parquet file cannot be written")]
    Parquet(#[from] ParquetError),
}

#[derive(Clone, Copy)]
enum Kind {
    /// Text that every row has.
    Key,
    Text,
    /// An amount that every row has.
    Balance,
    Amount,
    Json,
    Uuid,
    Integer,
}

const BEFORE_REVIEW: [(&str, Kind); 15] = [
    ("entity", Kind::Key),
    ("period", Kind::Key),
    ("company_code", Kind::Key),
    ("account_code", Kind::Key),
    ("account_name", Kind::Text),
    ("balance", Kind::Balance),
    ("bs_pl", Kind::Text),
    ("status", Kind::Text),
    ("department", Kind::Text),
    ("account_category", Kind::Text),
    ("sub_category", Kind::Text),
    ("report_type", Kind::Text),
    ("balance_carryforward", Kind::Amount),
    ("debit_period", Kind::Amount),
    ("credit_period", Kind::Amount),
];
const AFTER_REVIEW: [(&str, Kind); 3] = [("extra", Kind::Json), ("job_id", Kind::Uuid), ("source_line", Kind::Integer)];

/// Texts of which each account has its own.
const OWN_TEXTS: [&str; 3] = ["account_code", "account_name", "extra"];

fn columns() -> impl Iterator<Item = (&'static str, Kind)> {
    BEFORE_REVIEW.into_iter().chain(REVIEW_TEXTS.map(|name| (name, Kind::Text))).chain(AFTER_REVIEW)
}

/// Where the columns of a copied row stand in the file.
fn places() -> Vec<usize> {
    copied_columns().filter_map(|copied| columns().position(|(name, _)| name == copied)).collect()
}

enum Column {
    Texts(StringBuilder),
    Json(StringBuilder),
    Uuids(StringBuilder),
    Amounts(Decimal128Builder),
    Integers(Int64Builder),
}

impl Kind {
    /// Whether rows mostly hold values of their own.
    fn differs(self) -> bool {
        matches!(self, Self::Balance | Self::Amount | Self::Integer)
    }

    fn field(self, name: &str) -> Field {
        let data_type = match self {
            Self::Key | Self::Text | Self::Json | Self::Uuid => DataType::Utf8,
            Self::Balance | Self::Amount => DataType::Decimal128(PRECISION, SCALE as i8),
            Self::Integer => DataType::Int64,
        };
        let nullable = matches!(self, Self::Text | Self::Amount | Self::Json);
        Field::new(name, data_type, nullable)
    }

    fn column(self) -> Column {
        match self {
            Self::Key | Self::Text => Column::Texts(StringBuilder::new()),
            Self::Json => Column::Json(StringBuilder::new()),
            Self::Uuid => Column::Uuids(StringBuilder::new()),
            Self::Balance | Self::Amount => Column::Amounts(Column::amounts(0)),
            Self::Integer => Column::Integers(Int64Builder::new()),
        }
    }
}

impl Column {
    fn push(&mut self, cell: Option<&[u8]>) -> Result<(), &'static str> {
        match (self, cell) {
            (Self::Texts(column) | Self::Json(column) | Self::Uuids(column), None) => column.append_null(),
            (Self::Amounts(column), None) => column.append_null(),
            (Self::Integers(column), None) => column.append_null(),
            (Self::Texts(column), Some(cell)) => column.append_value(text(cell)?),
            // The binary form of jsonb is its version and its text.
            (Self::Json(column), Some([1, json @ ..])) => column.append_value(text(json)?),
            (Self::Json(_), Some(_)) => return Err("it is JSON of another version"),
            (Self::Uuids(column), Some(cell)) => {
                let uuid = Uuid::from_slice(cell).map_err(|_| "it is not a UUID")?;
                column.append_value(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
            }
            (Self::Amounts(column), Some(cell)) => {
                column.append_value(numeric::read(cell).ok_or("it has more digits than an amount")?.units());
            }
            (Self::Integers(column), Some(cell)) => {
                column.append_value(i64::from_be_bytes(cell.try_into().map_err(|_| "it is not a bigint")?));
            }
        }
        Ok(())
    }

    /// Hands over what was pushed. What follows finds as much room as that took.
    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Texts(column) | Self::Json(column) | Self::Uuids(column) => {
                let (bytes, finished) = (column.values_slice().len(), column.finish());
                *column = StringBuilder::with_capacity(finished.len(), bytes + bytes / 8);
                Arc::new(finished)
            }
            Self::Amounts(column) => {
                let finished = column.finish();
                *column = Self::amounts(finished.len());
                Arc::new(finished)
            }
            Self::Integers(column) => {
                let finished = column.finish();
                *column = Int64Builder::with_capacity(finished.len());
                Arc::new(finished)
            }
        }
    }

    fn amounts(rows: usize) -> Decimal128Builder {
        Decimal128Builder::with_capacity(rows).with_data_type(DataType::Decimal128(PRECISION, SCALE as i8))
    }
}

fn text(cell: &[u8]) -> Result<&str, &'static str> {
    str::from_utf8(cell).map_err(|_| "it is not UTF-8")
}

/// Writes rows into a Parquet file.
pub(crate) struct TableWriter {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    columns: Vec<(&'static str, Column)>,
    places: Vec<usize>,
    gathered_rows: usize,
    gathered_bytes: usize,
    rows: u64,
}

impl TableWriter {
    /// Begins a file whose metadata hold these pairs.
    pub(crate) fn new(file: File, metadata: &[(&str, &str)]) -> Result<Self, TableError> {
        let pairs = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned()));
        let properties = WriterProperties::builder();
        // A dictionary of values that hardly come again is work and memory for nothing.
        let unlike = columns().filter(|(name, kind)| kind.differs() || OWN_TEXTS.contains(name));
        let properties = unlike
            .fold(properties, |builder, (name, _)| builder.set_column_dictionary_enabled(name.into(), false))
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .set_data_page_size_limit(PAGE_BYTES)
            .set_dictionary_page_size_limit(PAGE_BYTES)
            .set_key_value_metadata(Some(pairs.collect()))
            .build();
        let fields: Vec<Field> = columns().map(|(name, kind)| kind.field(name)).collect();
        // Arrow's readers show a schema's own metadata in place of the file's.
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let schema = Arc::new(Schema::new(fields).with_metadata(metadata));
        Ok(Self {
            writer: ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?,
            schema,
            columns: columns().map(|(name, kind)| (name, kind.column())).collect(),
            places: places(),
            gathered_rows: 0,
            gathered_bytes: 0,
            rows: 0,
        })
    }

    /// Adds a row whose cells are in the order of [`copied_columns`].
    pub(crate) fn add(&mut self, cells: Cells<'_>) -> Result<(), TableError> {
        self.rows += 1;
        for (place, cell) in self.places.iter().zip(cells) {
            let Some((name, column)) = self.columns.get_mut(*place) else { continue };
            self.gathered_bytes += cell.map_or(0, <[u8]>::len);
            column.push(cell).map_err(|reason| TableError::Cell { row: self.rows, column: name, reason })?;
        }
        self.gathered_rows += 1;
        if self.gathered_rows >= BATCH_ROWS || self.gathered_bytes >= BATCH_BYTES {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Ends the file; returns it, not yet synced, and how many rows it holds.
    pub(crate) fn finish(mut self) -> Result<(File, u64), TableError> {
        self.hand_over()?;
        Ok((self.writer.into_inner()?, self.rows))
    }

    fn hand_over(&mut self) -> Result<(), TableError> {
        let columns = self.columns.iter_mut().map(|(_, column)| column.finish()).collect();
        self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        (self.gathered_rows, self.gathered_bytes) = (0, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shared::file::columns::{COPIED, ColumnKind, row_columns};

    use super::*;

    #[test]
    fn a_file_holds_each_column_of_the_ledger_as_its_kind() {
        let of_job = [("entity", DataType::Utf8), ("period", DataType::Utf8), ("job_id", DataType::Utf8)];
        let of_row = row_columns().map(|(name, kind)| match kind {
            ColumnKind::Text | ColumnKind::Json => (name, DataType::Utf8),
            ColumnKind::Amount => (name, DataType::Decimal128(PRECISION, SCALE as i8)),
            ColumnKind::Line => (name, DataType::Int64),
        });
        let ledger: BTreeMap<_, _> = of_row.chain(of_job).collect();
        let file: BTreeMap<_, _> = columns().map(|(name, kind)| (name, kind.field(name).data_type().clone())).collect();
        assert_eq!((&file, columns().count()), (&ledger, ledger.len()));
        assert_eq!((places().len(), copied_columns().count()), (ledger.len(), COPIED));
    }
}
