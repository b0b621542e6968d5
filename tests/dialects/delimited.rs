//! Delimited files in random dialects.

use proptest::prelude::*;
use shared::{amount::Amount, message::failure::ErrorCode};

use crate::{
    described,
    dialect::{Dialect, dialects},
    file::Table,
    ledger::{LIMIT, Ledger, ledgers},
    periods::PERIODS,
    reading::{profile, read, slice},
};

/// A ledger that a dialect can write.
pub(crate) fn written(mut ledger: Ledger, mut dialect: Dialect) -> (Ledger, Dialect) {
    ledger.change_texts(|text| dialect.holdable(text));
    if ledger.slices.iter().any(|(.., month)| *month > 12) && !PERIODS[dialect.period].closing {
        dialect.period = 0;
    }
    (ledger, dialect)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_is_read_back_from_whatever_dialect_it_is_written_in(ledger in ledgers(25), dialect in dialects()) {
        let (ledger, dialect) = written(ledger, dialect);
        let table = Table::new(&ledger, &dialect);
        let toml = described::profile(&dialect, &table, true);
        let (bytes, profile) = (table.bytes(), profile(&toml));
        for (place, (entity, ..)) in ledger.slices.iter().enumerate() {
            let read = read(&bytes, &profile, &slice(entity, &ledger.period(place)));
            let expected = &table.rows[place];
            let sum: i128 = expected.iter().map(|row| row.balance).sum();
            let told = || format!("{toml}\n--- of ---\n{:?}", table.text);
            if sum.abs() >= LIMIT {
                prop_assert_eq!(read.unwrap_err().code, ErrorCode::RowInvalid, "{}", told());
                continue;
            }
            let (checked, rows) = read.map_err(|failure| TestCaseError::fail(format!("{failure}\n{}", told())))?;
            prop_assert_eq!(&rows.0, expected, "{}", told());
            prop_assert_eq!(checked.balance_sum, Amount::from_units(sum).unwrap());
            prop_assert_eq!(checked.rows_other_slices, (ledger.entries.len() - expected.len()) as u64);
            prop_assert_eq!((checked.left_out, checked.without_key), (table.left_out, table.keyless), "{}", told());
        }
    }

    #[test]
    fn without_a_decimal_mark_amounts_are_exact_or_refused_as_ambiguous(ledger in ledgers(8), dialect in dialects()) {
        let (ledger, dialect) = written(ledger, dialect);
        let table = Table::new(&ledger, &dialect);
        let toml = described::profile(&dialect, &table, false);
        let (bytes, profile) = (table.bytes(), profile(&toml));
        for (place, (entity, ..)) in ledger.slices.iter().enumerate() {
            let expected = &table.rows[place];
            let sum: i128 = expected.iter().map(|row| row.balance).sum();
            match read(&bytes, &profile, &slice(entity, &ledger.period(place))) {
                Ok((_, rows)) => prop_assert_eq!(&rows.0, expected, "{}\n{:?}", toml, table.text),
                Err(failure) if sum.abs() >= LIMIT && failure.code == ErrorCode::RowInvalid => {}
                Err(failure) => {
                    prop_assert_eq!(failure.code, ErrorCode::AmbiguousAmounts, "{}\n{}\n{:?}", failure, toml, table.text);
                }
            }
        }
    }
}
