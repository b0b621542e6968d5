//! What the ledger's rows are to the file's: the same, changed or missing.
//!
//! Two amounts are the same if they are the same number, however it is written; extra columns if each has the same
//! text. A row that holds what this cannot read is not compared here at all.

use std::collections::BTreeMap;

use bytes::BufMut;
use shared::{
    amount::Amount,
    file::columns::{COPIED, copied_columns},
    jsonb,
    stores::numeric,
};

use super::{
    held::Held,
    whole_row::{ACCOUNT_CODE, COMPANY_CODE, EXTRA, FIRST_AMOUNT, JOB_ID, SOURCE_LINE, WholeRow, value},
};
use crate::ledger::{copy_in::put_field, statements::WrittenColumns};

/// The version of the binary form of jsonb, which stands before its text.
const JSONB: u8 = 1;
/// The columns whose change is kept: the balance, and the name and classes.
pub(super) const KEPT: [&str; 4] = ["balance", "account_name", "bs_pl", "status"];

/// What a row of the ledger is to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// The file has it as it is.
    Unchanged,
    /// The file has it otherwise.
    Changed,
    /// The file lacks it.
    Missing,
}

/// A row that the file has otherwise.
#[derive(Debug)]
pub(super) struct Changed {
    /// The number of the file's row.
    pub(super) row: usize,
    /// Where it stands in the ledger.
    pub(super) place: Vec<u8>,
    /// What it held of what is kept, if any of that changes, and whether the balance does.
    pub(super) old: Option<(OldValues, bool)>,
    /// Its extra columns from now on, where the file's are added to what is there.
    extra: Option<Vec<u8>>,
}

/// A row that the file lacks.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) place: Vec<u8>,
    pub(super) company_code: Vec<u8>,
    pub(super) account_code: Vec<u8>,
    pub(super) old: OldValues,
}

/// Values of [`KEPT`].
pub(super) type OldValues = [Option<Vec<u8>>; KEPT.len()];

/// A comparison of the ledger's rows with those of a file.
pub(super) struct Comparison<'a> {
    pub(super) held: &'a Held,
    /// Rows that the file has otherwise, in the ledger's order.
    pub(super) changed: Vec<Changed>,
    /// Rows that the file lacks.
    pub(super) missing: Vec<Missing>,
    /// The sum of their balances, in units of 10⁻¹⁶.
    pub(super) missing_sum: i128,
    is_found: Vec<bool>,
    /// Which columns the file's rows write.
    written: Vec<usize>,
    adds_extra: bool,
    kept: [usize; KEPT.len()],
}

impl<'a> Comparison<'a> {
    /// Begins with all rows of the file, of which these columns are written.
    pub(super) fn new(held: &'a Held, written: &WrittenColumns) -> Self {
        Self {
            held,
            changed: Vec::new(),
            missing: Vec::new(),
            missing_sum: 0,
            is_found: vec![false; held.len()],
            written: written.compared().map(place_of).collect(),
            adds_extra: written.adds_extra(),
            kept: KEPT.map(place_of),
        }
    }

    /// Takes a row of the ledger, which stands there; none if it cannot be compared.
    pub(super) fn take(&mut self, ledger: &WholeRow<'_>, place: &[u8]) -> Option<Compared> {
        let place = value(place)?;
        let Some(number) = self.held.find(ledger.key()) else {
            self.missing_sum = self.missing_sum.checked_add(amount(ledger.value(FIRST_AMOUNT)?)?)?;
            self.missing.push(Missing {
                place: place.to_vec(),
                company_code: ledger.value(COMPANY_CODE)?.to_vec(),
                account_code: ledger.value(ACCOUNT_CODE)?.to_vec(),
                old: self.old_values(ledger),
            });
            return Some(Compared::Missing);
        };
        let found = self.is_found.get_mut(number)?;
        if std::mem::replace(found, true) {
            return None;
        }
        let file = self.held.row(number)?;
        let mut is_changed = false;
        for column in &self.written {
            is_changed |= !is_same(ledger, &file, *column)?;
        }
        let extra = if self.adds_extra { Some(added_extra(ledger, &file)?) } else { None };
        is_changed |= extra.as_ref().is_some_and(|(_, is_same)| !is_same);
        if !is_changed {
            return Some(Compared::Unchanged);
        }
        let differs = |column: &usize| is_same(ledger, &file, *column).is_none_or(|is_same| !is_same);
        let [balance, names @ ..] = &self.kept;
        let (has_balance, has_name) = (differs(balance), names.iter().any(differs));
        let old = (has_balance || has_name).then(|| (self.old_values(ledger), has_balance));
        let extra = extra.map(|(extra, _)| extra);
        self.changed.push(Changed { row: number, place: place.to_vec(), old, extra });
        Some(Compared::Changed)
    }

    /// Puts the cells of the ledger's row that was found changed last, as they are from now on.
    pub(super) fn put_changed(&self, ledger: &WholeRow<'_>, cells: &mut Vec<u8>) {
        let Some(changed) = self.changed.last() else { return };
        let Some(file) = self.held.row(changed.row) else { return };
        for column in 0..COPIED {
            match &changed.extra {
                Some(extra) if column == EXTRA => put_field(cells, extra),
                _ if column == JOB_ID || column == SOURCE_LINE || self.written.contains(&column) => {
                    cells.put_slice(file.cell(column));
                }
                _ => cells.put_slice(ledger.cell(column)),
            }
        }
    }

    /// The value that a changed row has in a column from now on.
    pub(super) fn new_value<'c>(&'c self, changed: &'c Changed, column: usize) -> Option<&'c [u8]> {
        match &changed.extra {
            Some(extra) if column == EXTRA => Some(extra),
            _ => self.held.row(changed.row)?.value(column),
        }
    }

    /// The rows that the ledger does not have.
    pub(super) fn new_rows(&self) -> impl Iterator<Item = WholeRow<'a>> {
        let held = self.held;
        let numbers = self.is_found.iter().enumerate().filter(|(_, is_found)| !**is_found);
        numbers.filter_map(move |(number, _)| held.row(number))
    }

    fn old_values(&self, ledger: &WholeRow<'_>) -> OldValues {
        self.kept.map(|column| ledger.value(column).map(<[u8]>::to_vec))
    }
}

/// Where a column stands in a whole row.
pub(super) fn place_of(name: &str) -> usize {
    copied_columns().position(|column| column == name).unwrap_or(COPIED)
}

/// Whether two rows have the same in a column; none if that cannot be told.
fn is_same(ledger: &WholeRow<'_>, file: &WholeRow<'_>, column: usize) -> Option<bool> {
    if ledger.cell(column) == file.cell(column) {
        return Some(true);
    }
    let (Some(ledger), Some(file)) = (ledger.value(column), file.value(column)) else { return Some(false) };
    Some(match column {
        FIRST_AMOUNT..EXTRA => amount(ledger)? == amount(file)?,
        EXTRA => texts(ledger)? == texts(file)?,
        _ => false,
    })
}

/// The extra columns of the ledger's row with those of the file's added, as jsonb, and whether that is what it has.
fn added_extra(ledger: &WholeRow<'_>, file: &WholeRow<'_>) -> Option<(Vec<u8>, bool)> {
    let file = texts(file.value(EXTRA)?)?;
    let before = ledger.value(EXTRA).map(texts);
    let has_some = before.is_some();
    let before = before.unwrap_or_else(|| Some(BTreeMap::new()))?;
    let is_same = has_some && file.iter().all(|(name, text)| before.get(name) == Some(text));
    let after = before.iter().chain(&file).map(|(name, text)| (name.as_str(), text.as_str()));
    Some(([&[JSONB], jsonb::object(after).as_bytes()].concat(), is_same))
}

fn amount(value: &[u8]) -> Option<i128> {
    numeric::read(value).map(Amount::units)
}

fn texts(value: &[u8]) -> Option<BTreeMap<String, String>> {
    jsonb::texts(str::from_utf8(value.strip_prefix(&[JSONB])?).ok()?)
}
