//! The Parquet cache, as a reader of it finds it.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Decimal128Type},
};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::reader::ChunkReader};

/// A slice's Parquet file.
#[derive(Debug)]
pub struct Cached {
    /// The key-value metadata.
    pub metadata: BTreeMap<String, String>,
    /// Columns by name: text, null, or the plain decimal of an amount.
    pub columns: BTreeMap<String, Vec<Option<String>>>,
    /// The types of the columns.
    pub types: BTreeMap<String, DataType>,
    /// The compression of every column chunk.
    pub compressions: Vec<String>,
    /// The number of rows.
    pub rows: usize,
}

impl Cached {
    /// Account and balance, in the order of the accounts.
    ///
    /// # Panics
    /// If one has no value.
    pub fn balances(&self) -> Vec<(String, String)> {
        let cells = |name: &str| self.columns[name].iter().map(|cell| cell.clone().expect("a value"));
        let mut pairs: Vec<_> = cells("account_code").zip(cells("balance")).collect();
        pairs.sort();
        pairs
    }

    /// Reads a Parquet file.
    ///
    /// # Panics
    /// If it is none.
    pub fn read(file: impl ChunkReader + 'static) -> Self {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
        let file = builder.metadata();
        let pairs = file.file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let metadata = pairs.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect();
        let chunks = file.row_groups().iter().flat_map(|group| group.columns());
        let compressions = chunks.map(|chunk| chunk.compression().to_string()).collect();
        let schema = builder.schema().clone();
        let types = schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
        let mut columns: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
        let mut rows = 0;
        for batch in builder.build().expect("a reader") {
            let batch = batch.expect("a batch");
            rows += batch.num_rows();
            for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
                columns.entry(field.name().clone()).or_default().extend(cells(array));
            }
        }
        Self { metadata, columns, types, compressions, rows }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "columns of other types are only named")]
fn cells(array: &dyn Array) -> Vec<Option<String>> {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(|cell| cell.map(str::to_owned)).collect(),
        DataType::Decimal128(_, 16) => {
            array.as_primitive::<Decimal128Type>().iter().map(|cell| cell.map(decimal)).collect()
        }
        other => (0..array.len()).map(|_| Some(format!("{other}"))).collect(),
    }
}

/// The plain decimal of so many units of 10⁻¹⁶, without trailing zeros.
fn decimal(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:017}", units.unsigned_abs());
    let (integer, fraction) = digits.split_at(digits.len() - 16);
    let plain = format!("{integer}.{fraction}");
    format!("{sign}{}", plain.trim_end_matches('0').trim_end_matches('.'))
}
