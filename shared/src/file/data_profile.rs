//! The data profile: statistics of a slice's rows as they stand in the file.

use std::{
    collections::{BTreeMap, HashSet},
    hash::BuildHasher,
    io,
};

use foldhash::quality::FixedState;
use serde::Serialize;

use crate::{
    amount::Amount,
    file::{
        balance_stats::{BalanceStats, Balances},
        classes::ClassCounts,
        columns::FileColumns,
        records::Record,
    },
};

/// Distinct values that are told apart in one column; a higher count is cut to this one. Their hashes take
/// some 15 MiB a job at most.
const DISTINCT: usize = 1 << 17;
/// Columns whose distinct values are counted.
pub const COUNTED: [&str; 6] = ["entity", "company_code", "period", "bs_pl", "status", "department"];

/// Statistics of a slice's rows, before blanks become 0. Decimals are texts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataProfile {
    /// Rows of the slice.
    pub row_count: u64,
    /// Columns of the file.
    pub column_count: usize,
    /// Their names.
    pub columns: Vec<String>,
    /// What their cells hold: `integer`, `decimal`, `text`, or `empty`.
    pub data_types: BTreeMap<String, &'static str>,
    /// Percent of their cells that are blank.
    pub null_percentages: BTreeMap<String, f64>,
    /// Mebibytes of the cells' text.
    pub memory_usage_mb: f64,
    /// Statistics of the balances that are not blank.
    pub balance_stats: BalanceStats,
    /// Balances below 0.01 in magnitude, blank ones not counted.
    pub zero_balance_accounts: u64,
    /// Their percentage of all rows.
    pub zero_balance_percentage: f64,
    /// Balances that are blank.
    pub blank_balances: u64,
    /// Distinct values, blank ones not counted; 0 where the file lacks the column.
    pub unique_counts: BTreeMap<&'static str, usize>,
    /// Rows by their classes.
    pub class_counts: ClassCounts,
    /// Whether the slice sums to nil.
    pub nil_check: NilCheck,
}

/// Whether the slice sums to nil.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NilCheck {
    /// The sum of the balances.
    pub sum: Amount,
    /// How far from zero it may be.
    pub tolerance: Amount,
    /// Whether it is within that.
    pub balanced: bool,
}

#[derive(Clone, Default)]
struct Cells {
    blank: u64,
    not_integer: bool,
    not_decimal: bool,
}

#[derive(Default)]
struct Distinct {
    last: u64,
    seen: HashSet<u64, std::hash::BuildHasherDefault<Identity>>,
}

/// Keeps a value that is a hash already.
#[derive(Default)]
struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Takes in the rows of a slice one by one.
pub struct Profiler {
    cells: Vec<Cells>,
    bytes: u64,
    rows: u64,
    distinct: Vec<Distinct>,
    hasher: FixedState,
    balances: Balances,
}

impl Profiler {
    /// A profiler for files with these columns.
    pub fn new(columns: &FileColumns) -> Self {
        Self {
            cells: vec![Cells::default(); columns.names.len()],
            bytes: 0,
            rows: 0,
            distinct: COUNTED.map(|_| Distinct::default()).into(),
            hasher: FixedState::with_seed(0),
            balances: Balances::default(),
        }
    }

    /// Takes in a row, its texts of [`COUNTED`], and its balance, unless that is blank.
    ///
    /// # Errors
    /// If the temporary file of a large slice cannot be written.
    pub fn add(
        &mut self,
        record: &Record<'_>,
        counted: [&str; COUNTED.len()],
        balance: Option<Amount>,
    ) -> io::Result<()> {
        self.rows += 1;
        for (cell, known) in record.iter().zip(&mut self.cells) {
            self.bytes += cell.len() as u64;
            let text = cell.trim();
            if text.is_empty() {
                known.blank += 1;
            } else if !known.not_decimal {
                let decimal = Amount::parse(text.as_bytes()).is_ok();
                known.not_decimal |= !decimal;
                known.not_integer |= !decimal || text.contains('.');
            }
        }
        for (column, text) in self.distinct.iter_mut().zip(counted) {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let hash = self.hasher.hash_one(text);
            // Neighbouring rows mostly hold the same value.
            if (hash != column.last || column.seen.is_empty()) && column.seen.len() < DISTINCT {
                column.last = hash;
                column.seen.insert(hash);
            }
        }
        match balance {
            Some(balance) => self.balances.add(balance),
            None => Ok(()),
        }
    }

    /// The sum of the balances, or none if it has more than 18 integer digits.
    pub fn sum(&self) -> Option<Amount> {
        self.balances.sum()
    }

    /// The statistics.
    ///
    /// # Errors
    /// If the temporary file of a large slice cannot be read.
    #[expect(clippy::float_arithmetic, reason = "percentages and megabytes are no amounts")]
    pub fn finish(
        self,
        columns: &FileColumns,
        tolerance: Amount,
        class_counts: ClassCounts,
    ) -> io::Result<DataProfile> {
        let rows = self.rows;
        let percent = |count: u64| if rows == 0 { 0.0 } else { (count as f64 / rows as f64 * 1e4).round() / 1e2 };
        let sum = self.balances.sum().unwrap_or_default();
        let named = || columns.names.iter().cloned().zip(&self.cells);
        let near_zero = self.balances.near_zero();
        let blank = rows - self.balances.count();
        Ok(DataProfile {
            row_count: rows,
            column_count: columns.names.len(),
            columns: columns.names.clone(),
            data_types: named().map(|(name, cells)| (name, cells.kind(rows))).collect(),
            null_percentages: named().map(|(name, cells)| (name, percent(cells.blank))).collect(),
            memory_usage_mb: (self.bytes as f64 / 1_048_576.0 * 1e6).round() / 1e6,
            zero_balance_accounts: near_zero,
            zero_balance_percentage: percent(near_zero),
            blank_balances: blank,
            unique_counts: COUNTED.into_iter().zip(self.distinct.iter().map(|column| column.seen.len())).collect(),
            class_counts,
            nil_check: NilCheck { sum, tolerance, balanced: sum.units().abs() <= tolerance.units().abs() },
            balance_stats: self.balances.stats()?,
        })
    }
}

impl Cells {
    fn kind(&self, rows: u64) -> &'static str {
        if self.blank == rows {
            "empty"
        } else if self.not_decimal {
            "text"
        } else if self.not_integer {
            "decimal"
        } else {
            "integer"
        }
    }
}
