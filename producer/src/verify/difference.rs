//! How a cache file differs from the ledger: both are sets of rows, told apart by their accounts.

use std::{collections::BTreeSet, mem};

use arrow::array::RecordBatch;
use shared::amount::{SCALE, decimal_text};

use super::{
    cache_file::Unreadable,
    finding::Code,
    part::Part,
    row::{BALANCE, Cell, Kind, cell, compared, is_same},
};
use crate::output;

/// How a cache file differs from the ledger. Each part of the file is counted, and then all rows of the
/// ledger are compared with it, in the same order each time.
#[derive(Debug, Default)]
pub(super) struct Difference {
    file_rows: usize,
    /// None once it is past all bounds.
    file_sum: Option<i128>,
    /// Whether the file has the account, for each row of the ledger. Only this is kept from part to part.
    is_found: Vec<bool>,
    /// Rows that are in both, and differ in these columns.
    differing: usize,
    columns: BTreeSet<&'static str>,
    /// Rows of the file whose accounts the ledger lacks.
    foreign: usize,
    /// Rows of the file whose accounts have an earlier row there.
    repeated: usize,
}

impl Difference {
    /// Begins with nothing compared.
    pub(super) fn begin() -> Self {
        Self { file_sum: Some(0), ..Self::default() }
    }

    /// Counts rows of the file. They are foreign until the ledger's rows of their accounts come.
    ///
    /// # Errors
    /// If a row has no balance.
    pub(super) fn count(&mut self, batch: &RecordBatch) -> Result<(), Unreadable> {
        self.foreign += batch.num_rows();
        for row in 0..batch.num_rows() {
            self.file_rows += 1;
            let Cell::Amount(balance) = cell(batch, row, BALANCE, Kind::Amount) else {
                return Err(Unreadable(format!("row {} has no balance", self.file_rows)));
            };
            self.file_sum = self.file_sum.and_then(|sum| sum.checked_add(balance));
        }
        Ok(())
    }

    /// Compares a row of the ledger, whose place is counted from zero, with a part's row of its account. Of
    /// rows of one account the first is compared.
    pub(super) fn compare(&mut self, place: usize, ledger: &[Option<&[u8]>], part: &Part) {
        if self.is_found.len() <= place {
            self.is_found.resize(place.saturating_add(1), false);
        }
        let &[Some(company), Some(account), ..] = ledger else { return };
        let Some(found) = part.find(company, account) else { return };
        self.foreign = self.foreign.saturating_sub(found.rows);
        if self.is_found.get_mut(place).is_some_and(|is_found| mem::replace(is_found, true)) {
            self.repeated += found.rows;
            return;
        }
        self.repeated += found.rows.saturating_sub(1);
        let mut differs = false;
        for (place, ((column, kind), ledger)) in compared().zip(ledger).enumerate() {
            if !is_same(*ledger, found.cell(place, kind), kind) {
                differs = true;
                self.columns.insert(column);
            }
        }
        self.differing += usize::from(differs);
    }

    /// What it comes to, beside the sum of the ledger's rows. The ledger is what its run left; a file that
    /// has the same accounts, sums up to the same and still differs may as well be right.
    pub(super) fn judged(&self, ledger_sum: &str) -> Option<(Code, String)> {
        let mut told = Vec::new();
        let ledger_rows = self.is_found.len();
        if self.file_rows != ledger_rows {
            told.push(format!("{} rows where the ledger has {ledger_rows}", self.file_rows));
        }
        let sum = self.file_sum.map(|sum| decimal_text(sum, SCALE));
        if sum.as_deref() != Some(ledger_sum) {
            told.push(format!("a sum of {} where the ledger has {ledger_sum}", sum.as_deref().unwrap_or("none")));
        }
        let accounts = self.accounts();
        let is_disputed = told.is_empty() && accounts.is_empty();
        if self.differing > 0 {
            let columns: Vec<&str> = self.columns.iter().copied().collect();
            told.push(format!("{} rows that differ in {}", self.differing, columns.join(", ")));
        }
        told.extend(accounts);
        let code = if is_disputed { Code::ParquetDisputed } else { Code::ParquetWrong };
        (!told.is_empty()).then(|| (code, format!("the Parquet file has {}", told.join(", "))))
    }

    /// What is wrong with the accounts of the file, whatever their rows hold. They are counted and not named.
    fn accounts(&self) -> Vec<String> {
        let missing = self.is_found.iter().filter(|is_found| !**is_found).count();
        let told = [
            (self.foreign, "row", " of accounts that the ledger lacks"),
            (self.repeated, "row", " of accounts that earlier rows have"),
            (missing, "account", " of the ledger missing"),
        ];
        let told = told.into_iter().filter(|(number, ..)| *number > 0);
        told.map(|(number, what, of)| output::count(number, what) + of).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringArray};

    use super::*;

    /// Company, account, and balance in units of 10⁻¹⁶.
    type Account = (&'static str, &'static str, i128);

    const ONE: i128 = 10_i128.pow(SCALE);
    const TEN: Account = ("1", "10", 5 * ONE);
    const TWENTY: Account = ("1", "20", 5 * ONE);
    const THIRTY: Account = ("2", "10", -7 * ONE);
    const LEDGER: [Account; 3] = [TEN, TWENTY, THIRTY];

    fn column(rows: &[Account], name: &str, kind: Kind) -> ArrayRef {
        let text = |row: &Account| match name {
            "company_code" => Some(row.0),
            "account_code" => Some(row.1),
            _ => None,
        };
        let amount = |row: &Account| (name == "balance").then_some(row.2);
        match kind {
            Kind::Text | Kind::Json | Kind::Uuid => Arc::new(rows.iter().map(text).collect::<StringArray>()),
            Kind::Amount => Arc::new(rows.iter().map(amount).collect::<Decimal128Array>()),
            Kind::Integer => Arc::new(rows.iter().map(|_| Some(1_i64)).collect::<Int64Array>()),
        }
    }

    fn batch(rows: &[Account]) -> RecordBatch {
        RecordBatch::try_from_iter(compared().map(|(name, kind)| (name, column(rows, name, kind)))).unwrap()
    }

    /// What PostgreSQL's `numeric_send` makes of so many units.
    fn numeric(units: i128) -> Vec<u8> {
        let (mut digits, mut rest) = (Vec::new(), units.unsigned_abs());
        while rest > 0 {
            digits.insert(0, (rest % 10_000) as u16);
            rest /= 10_000;
        }
        let weight = digits.len() as i16 - 5;
        let sign = if units < 0 { 0x4000 } else { 0 };
        let words = [digits.len() as u16, weight.cast_unsigned(), sign, 16].into_iter().chain(digits);
        words.flat_map(u16::to_be_bytes).collect()
    }

    fn ledger_row((company, account, balance): Account) -> Vec<Option<Vec<u8>>> {
        let cell = |name: &str| match name {
            "company_code" => Some(company.as_bytes().to_vec()),
            "account_code" => Some(account.as_bytes().to_vec()),
            "balance" => Some(numeric(balance)),
            "source_line" => Some(1_i64.to_be_bytes().to_vec()),
            _ => None,
        };
        compared().map(|(name, _)| cell(name)).collect()
    }

    /// What a file, in its parts, comes to beside a ledger.
    fn judged(parts: &[&[Account]], ledger: &[Account]) -> Option<(Code, String)> {
        let mut difference = Difference::begin();
        for rows in parts {
            let (mut part, batch) = (Part::default(), batch(rows));
            difference.count(&batch).unwrap();
            part.push(batch);
            for (place, row) in ledger.iter().enumerate() {
                let cells = ledger_row(*row);
                let cells: Vec<Option<&[u8]>> = cells.iter().map(Option::as_deref).collect();
                difference.compare(place, &cells, &part);
            }
        }
        let sum: i128 = ledger.iter().map(|row| row.2).sum();
        difference.judged(&decimal_text(sum, SCALE))
    }

    fn told(code: Code, detail: &str) -> Option<(Code, String)> {
        Some((code, format!("the Parquet file has {detail}")))
    }

    #[test]
    fn the_same_rows_are_equal_in_any_order_and_any_parts() {
        assert_eq!(judged(&[&LEDGER], &LEDGER), None);
        assert_eq!(judged(&[&[THIRTY, TEN, TWENTY]], &LEDGER), None);
        assert_eq!(judged(&[&[THIRTY], &[TEN], &[TWENTY]], &LEDGER), None);
        assert_eq!(judged(&[&[TWENTY, THIRTY], &[TEN], &[]], &LEDGER), None);
        assert_eq!(judged(&[&[]], &[]), None);
    }

    #[test]
    fn other_cells_are_in_dispute_unless_the_sum_is_another() {
        let moved = [("1", "10", 4 * ONE), ("1", "20", 6 * ONE), THIRTY];
        let detail = "2 rows that differ in balance";
        assert_eq!(judged(&[&moved], &LEDGER), told(Code::ParquetDisputed, detail));
        let detail = "a sum of 4 where the ledger has 3, 1 rows that differ in balance";
        assert_eq!(judged(&[&[TEN, THIRTY], &[("1", "20", 6 * ONE)]], &LEDGER), told(Code::ParquetWrong, detail));
    }

    #[test]
    fn an_account_that_stands_twice_in_place_of_another_is_found_in_one_part_and_across_parts() {
        let detail = "1 row of accounts that earlier rows have, 1 account of the ledger missing";
        let parts: [&[&[Account]]; 3] =
            [&[&[TEN, TEN, THIRTY]], &[&[TEN, THIRTY], &[TEN]], &[&[TEN], &[TEN], &[THIRTY]]];
        for parts in parts {
            assert_eq!(judged(parts, &LEDGER), told(Code::ParquetWrong, detail), "{parts:?}");
        }
        let detail = "5 rows where the ledger has 3, a sum of 13 where the ledger has 3, 2 rows of accounts that \
                      earlier rows have";
        assert_eq!(judged(&[&[TEN, TEN], &[TEN, THIRTY, TWENTY]], &LEDGER), told(Code::ParquetWrong, detail));
    }

    #[test]
    fn accounts_that_only_one_side_has_are_counted_on_each() {
        let detail = "1 row of accounts that the ledger lacks, 1 account of the ledger missing";
        // Both codes in a row read as those of the account that is missing.
        assert_eq!(judged(&[&[("11", "0", 5 * ONE), TWENTY, THIRTY]], &LEDGER), told(Code::ParquetWrong, detail));
        let twice = ("3", "10", 5 * ONE);
        let detail = "2 rows of accounts that the ledger lacks, 2 accounts of the ledger missing";
        assert_eq!(judged(&[&[twice, THIRTY, twice]], &LEDGER), told(Code::ParquetWrong, detail));
        assert_eq!(judged(&[&[twice], &[THIRTY, twice]], &LEDGER), told(Code::ParquetWrong, detail));
    }

    #[test]
    fn a_sum_past_all_bounds_is_none() {
        let detail = "2 rows where the ledger has 0, a sum of none where the ledger has 0, 2 rows of accounts that the \
                      ledger lacks";
        let file = [("1", "10", i128::MAX), ("1", "20", 1)];
        assert_eq!(judged(&[&file], &[]), told(Code::ParquetWrong, detail));
    }

    #[test]
    fn a_row_without_a_balance_is_named_by_its_number_in_the_file() {
        let mut difference = Difference::begin();
        difference.count(&batch(&LEDGER)).unwrap();
        let columns = compared().map(|(name, kind)| {
            let name_of_none = if name == "balance" { "none" } else { name };
            (name, column(&[TEN], name_of_none, kind))
        });
        let without = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(difference.count(&without), Err(Unreadable("row 4 has no balance".to_owned())));
    }
}
