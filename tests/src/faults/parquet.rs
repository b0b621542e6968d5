//! The Parquet cache, as a reader of it finds it.

use std::{collections::BTreeMap, fs::File, path::Path};

use arrow::{array::AsArray, datatypes::Decimal128Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Units of 10⁻⁹ are what the model knows; the file has 10⁻¹⁶.
const FINER: i128 = 10_000_000;

/// What a slice's file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cached {
    /// The job in its metadata.
    pub job_id: String,
    /// The fingerprint in its metadata.
    pub fingerprint: String,
    /// Balances by account, in units of 10⁻⁹.
    pub rows: BTreeMap<String, i128>,
}

/// Reads a file; none if it is not there.
///
/// # Panics
/// If it is not a Parquet file with these columns: readers never see a partial one.
pub fn read(path: &Path) -> Option<Cached> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).ok()?).expect("a whole Parquet file");
    let pairs = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let meta = |name: &str| pairs.iter().find(|pair| pair.key == name).and_then(|pair| pair.value.clone());
    let mut cached = Cached {
        job_id: meta("job_id").unwrap_or_default(),
        fingerprint: meta("fingerprint").unwrap_or_default(),
        rows: BTreeMap::new(),
    };
    for batch in builder.build().expect("a reader") {
        let batch = batch.expect("a batch");
        let codes = batch.column_by_name("account_code").expect("account_code").as_string::<i32>();
        let balances = batch.column_by_name("balance").expect("balance").as_primitive::<Decimal128Type>();
        for (code, balance) in codes.iter().zip(balances) {
            let balance = balance.expect("a balance");
            assert_eq!(balance % FINER, 0, "a balance has more decimals than the file had");
            let again = cached.rows.insert(code.expect("a code").to_owned(), balance / FINER);
            assert!(again.is_none(), "an account stands twice in {}", path.display());
        }
    }
    Some(cached)
}
