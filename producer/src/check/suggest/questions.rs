//! What only a person can decide about a file, with what each answer would give.

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Write},
};

use shared::{
    amount::{Amount, Sum},
    file::{
        amount_text::AmountReader,
        mapping_profile::{DecimalMark, PeriodFormat},
    },
};

use super::{headings::Heading, quoted};

/// Columns that are named as candidates.
const CANDIDATES: usize = 12;

/// Formats of dates and periods that are tried.
const FORMATS: [&str; 9] =
    ["YYYY-MM-DD*", "YYYY-MM", "YYYYMMDD", "YYYY/M/D", "DD.MM.YYYY", "D/M/YYYY", "M/D/YYYY", "MMM-YY", "M/YYYY"];

/// A column whose cells look like amounts.
pub(super) struct Candidate {
    place: usize,
    amounts: usize,
    sum: Sum,
}

/// The rows of a draft that have an account, and how their amounts are read.
pub(super) struct Sample<'a> {
    pub(super) header: &'a [String],
    pub(super) rows: Vec<&'a [String]>,
    pub(super) reader: &'a AmountReader,
    pub(super) decimal: DecimalMark,
}

impl Sample<'_> {
    /// The columns that look like amounts: nearly all of their cells are figures, and one has a sign or a decimal.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let columns = 0..self.header.len();
        columns.filter_map(|place| self.candidate(place)).take(CANDIDATES).collect()
    }

    fn candidate(&self, place: usize) -> Option<Candidate> {
        let (mut amounts, mut texts, mut has_mark, mut sum) = (0, 0, false, Sum::default());
        for cell in self.rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.trim()) {
            match self.reader.read(cell, self.decimal) {
                Ok(Some(amount)) => {
                    amounts += 1;
                    has_mark |= cell.contains(['.', ',', '-', '(', '\u{2212}', '△', '▲']);
                    sum.add(amount);
                }
                Ok(None) => {}
                Err(_) => texts += 1,
            }
        }
        (has_mark && amounts > 0 && texts * 10 <= amounts).then_some(Candidate { place, amounts, sum })
    }

    /// The columns that hold dates or periods, each with every format that reads all of its cells.
    pub(super) fn dates(&self) -> Vec<(usize, &'static str)> {
        let columns = (0..self.header.len()).filter(|place| !self.header[*place].trim().is_empty());
        let mut dates = Vec::new();
        for place in columns {
            let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.trim());
            let cells: Vec<&str> = cells.filter(|cell| !cell.is_empty()).collect();
            for format in FORMATS {
                let Ok(read) = PeriodFormat::new(format, &[], 0) else { continue };
                let is_read = !cells.is_empty() && cells.iter().all(|cell| is_recent(read.read(cell)));
                if is_read && dates.len() < CANDIDATES {
                    dates.push((place, format));
                }
            }
        }
        dates
    }

    /// Rows whose account stands on an earlier row, in the same entity, period and company.
    pub(super) fn repeated(&self, found: &[(Heading, usize)]) -> usize {
        let key_names = ["entity", "period", "company_code", "account_code"];
        let places: Vec<usize> = found
            .iter()
            .filter(|(heading, _)| matches!(heading, Heading::Target(name) if key_names.contains(name)))
            .map(|(_, place)| *place)
            .collect();
        let mut seen = HashSet::new();
        let key = |row: &&[String]| -> Vec<String> {
            places.iter().map(|place| row.get(*place).map_or("", |cell| cell.trim()).to_owned()).collect()
        };
        self.rows.iter().filter(|row| !seen.insert(key(row))).count()
    }

    /// How many of a column's amounts are above zero and below it.
    pub(super) fn signs(&self, place: usize) -> (usize, usize) {
        let mut counts: HashMap<bool, usize> = HashMap::new();
        for cell in self.rows.iter().filter_map(|row| row.get(place)) {
            if let Ok(Some(amount)) = self.reader.read(cell, self.decimal)
                && amount.units() != 0
            {
                *counts.entry(amount.units() > 0).or_default() += 1;
            }
        }
        (counts.get(&true).copied().unwrap_or_default(), counts.get(&false).copied().unwrap_or_default())
    }

    /// What two sides sum to if the credits are added, and if they are subtracted.
    pub(super) fn both_sums(&self, debit: usize, credit: usize) -> (String, String) {
        let (mut added, mut subtracted) = (Sum::default(), Sum::default());
        for row in &self.rows {
            let read =
                |place: usize| row.get(place).and_then(|cell| self.reader.read(cell, self.decimal).ok().flatten());
            for (place, is_credit) in [(debit, false), (credit, true)] {
                let Some(amount) = read(place) else { continue };
                added.add(amount);
                let turned = if is_credit { Amount::from_units(-amount.units()) } else { Some(amount) };
                turned.into_iter().for_each(|amount| subtracted.add(amount));
            }
        }
        (shown(added), shown(subtracted))
    }

    /// Writes which column may be the amount, as comments.
    pub(super) fn write_candidates(&self, toml: &mut String, candidates: &[Candidate]) -> fmt::Result {
        for candidate in candidates {
            let name = self.header.get(candidate.place).map_or("", |name| name.trim());
            writeln!(toml, "#   {}: {} amounts that sum to {}", quoted(name), candidate.amounts, shown(candidate.sum))?;
        }
        Ok(())
    }

    /// The candidates that stand in none of these places.
    pub(super) fn others(candidates: Vec<Candidate>, used: &[usize]) -> Vec<Candidate> {
        candidates.into_iter().filter(|candidate| !used.contains(&candidate.place)).collect()
    }
}

fn shown(sum: Sum) -> String {
    sum.total().map_or_else(|| "more than 18 digits".to_owned(), |sum| sum.to_string())
}

/// Whether a period is one that books are kept of; a number of eight digits may be anything.
fn is_recent(period: Option<String>) -> bool {
    period.is_some_and(|period| ("1990".."2100").contains(&period.get(..4).unwrap_or_default()))
}
