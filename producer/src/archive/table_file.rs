//! A table's Parquet file while it is written; its memory does not depend on how many rows there are.

use std::{
    fs::File,
    io::{self, Write},
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    datatypes::{Field, Schema, SchemaRef},
};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use shared::fingerprint::{Fingerprint, Fingerprinter};
use uuid::Uuid;

use super::{
    manifest::FileEntry,
    tables::{Kind, Table},
};

/// Rows and bytes that are gathered before the writer gets them.
const BATCH_ROWS: usize = 2_048;
const BATCH_BYTES: usize = 1 << 20;
/// Rows and bytes of a row group, which the writer holds until it is full.
const GROUP_ROWS: usize = 65_536;
const GROUP_BYTES: usize = 32 << 20;
const PAGE_BYTES: usize = 256 << 10;

/// A row cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    /// A cell is not what the column holds. The cell itself is not shown.
    #[error("row {row} of {file} holds in {column} what an archive cannot: {reason}")]
    Cell { file: &'static str, row: u64, column: &'static str, reason: &'static str },
    /// The batch is inconsistent.
    #[error("the rows do not form a table")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The writer failed.
    #[error("the Parquet file cannot be written")]
    Parquet(#[from] ParquetError),
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// A cell of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Text(&'a str),
    Uuid(Uuid),
    /// An amount in units of 10⁻¹⁶, a number, or a time in microseconds since 1970.
    Units(i128),
    Double(f64),
}

enum Builder {
    Texts(StringBuilder),
    Amounts(Decimal128Builder),
    Integers(Int64Builder),
    SmallIntegers(Int32Builder),
    Times(TimestampMicrosecondBuilder),
    Doubles(Float64Builder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        let data_type = kind.data_type();
        match kind {
            Kind::Text | Kind::OwnText | Kind::Json | Kind::Uuid => Self::Texts(StringBuilder::new()),
            Kind::Amount => Self::Amounts(Decimal128Builder::new().with_data_type(data_type)),
            Kind::Integer => Self::Integers(Int64Builder::new()),
            Kind::SmallInteger => Self::SmallIntegers(Int32Builder::new()),
            Kind::Time => Self::Times(TimestampMicrosecondBuilder::new().with_data_type(data_type)),
            Kind::Double => Self::Doubles(Float64Builder::new()),
        }
    }

    fn push(&mut self, cell: Cell<'_>) -> Result<(), &'static str> {
        const OTHER: &str = "it is of another kind";
        const TOO_LARGE: &str = "it is too large";
        match (self, cell) {
            (Self::Texts(column), Cell::Null) => column.append_null(),
            (Self::Amounts(column), Cell::Null) => column.append_null(),
            (Self::Integers(column), Cell::Null) => column.append_null(),
            (Self::SmallIntegers(column), Cell::Null) => column.append_null(),
            (Self::Times(column), Cell::Null) => column.append_null(),
            (Self::Doubles(column), Cell::Null) => column.append_null(),
            (Self::Texts(column), Cell::Text(text)) => column.append_value(text),
            (Self::Texts(column), Cell::Uuid(uuid)) => {
                column.append_value(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
            }
            (Self::Amounts(column), Cell::Units(units)) => column.append_value(units),
            (Self::Integers(column), Cell::Units(units)) => {
                column.append_value(i64::try_from(units).map_err(|_| TOO_LARGE)?);
            }
            (Self::SmallIntegers(column), Cell::Units(units)) => {
                column.append_value(i32::try_from(units).map_err(|_| TOO_LARGE)?);
            }
            (Self::Times(column), Cell::Units(units)) => {
                column.append_value(i64::try_from(units).map_err(|_| TOO_LARGE)?);
            }
            (Self::Doubles(column), Cell::Double(number)) => column.append_value(number),
            (
                Self::Texts(_)
                | Self::Amounts(_)
                | Self::Integers(_)
                | Self::SmallIntegers(_)
                | Self::Times(_)
                | Self::Doubles(_),
                Cell::Text(_) | Cell::Uuid(_) | Cell::Units(_) | Cell::Double(_),
            ) => return Err(OTHER),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Texts(column) => Arc::new(column.finish()),
            Self::Amounts(column) => Arc::new(column.finish()),
            Self::Integers(column) => Arc::new(column.finish()),
            Self::SmallIntegers(column) => Arc::new(column.finish()),
            Self::Times(column) => Arc::new(column.finish()),
            Self::Doubles(column) => Arc::new(column.finish()),
        }
    }
}

/// A file whose bytes are counted and hashed on their way.
struct Hashed {
    file: File,
    bytes: u64,
    hash: Fingerprinter,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        let (taken, _) = bytes.split_at(written);
        self.hash.update(taken);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes rows into a table's file.
pub(super) struct TableFile {
    table: &'static Table,
    writer: ArrowWriter<Hashed>,
    schema: SchemaRef,
    columns: Vec<Builder>,
    gathered_rows: usize,
    gathered_bytes: usize,
    rows: u64,
}

impl TableFile {
    /// Begins a table in a file that is empty, whose metadata say of which year it is.
    pub(super) fn new(table: &'static Table, file: File, year: &str) -> Result<Self, TableError> {
        let labels = vec![KeyValue::new("aura_archive".to_owned(), year.to_owned())];
        let properties = WriterProperties::builder();
        // A dictionary of values that hardly come again is work and memory for nothing.
        let unlike = table.columns.iter().filter(|column| !column.kind.repeats());
        let properties = unlike
            .fold(properties, |builder, column| builder.set_column_dictionary_enabled(column.name.into(), false))
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .set_data_page_size_limit(PAGE_BYTES)
            .set_dictionary_page_size_limit(PAGE_BYTES)
            .set_key_value_metadata(Some(labels))
            .build();
        let fields: Vec<Field> = table.columns.iter().map(|column| column.field()).collect();
        let schema = Arc::new(Schema::new(fields));
        let hashed = Hashed { file, bytes: 0, hash: Fingerprinter::default() };
        Ok(Self {
            table,
            writer: ArrowWriter::try_new(hashed, Arc::clone(&schema), Some(properties))?,
            schema,
            columns: table.columns.iter().map(|column| Builder::new(column.kind)).collect(),
            gathered_rows: 0,
            gathered_bytes: 0,
            rows: 0,
        })
    }

    /// Adds a row, whose cells are in the order of the table's columns.
    pub(super) fn add<'a>(
        &mut self,
        cells: impl Iterator<Item = Result<Cell<'a>, &'static str>>,
    ) -> Result<(), TableError> {
        self.rows += 1;
        for ((column, builder), cell) in self.table.columns.iter().zip(&mut self.columns).zip(cells) {
            let fault = |reason| {
                let (file, row) = (self.table.file, self.rows);
                TableError::Cell { file, row, column: column.name, reason }
            };
            let cell = cell.map_err(fault)?;
            if let Cell::Text(text) = cell {
                self.gathered_bytes += text.len();
            }
            builder.push(cell).map_err(fault)?;
        }
        self.gathered_rows += 1;
        if self.gathered_rows >= BATCH_ROWS || self.gathered_bytes >= BATCH_BYTES {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Ends the file and has it written to the disk.
    pub(super) fn finish(mut self) -> Result<FileEntry, TableError> {
        self.hand_over()?;
        let Hashed { file, bytes, hash } = self.writer.into_inner()?;
        file.sync_all()?;
        let sha256: Fingerprint = hash.finish();
        Ok(FileEntry { name: self.table.file.to_owned(), bytes, rows: Some(self.rows), sha256 })
    }

    fn hand_over(&mut self) -> Result<(), TableError> {
        if self.gathered_rows > 0 {
            let columns = self.columns.iter_mut().map(Builder::finish).collect();
            self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        }
        (self.gathered_rows, self.gathered_bytes) = (0, 0);
        Ok(())
    }
}
