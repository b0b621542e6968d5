//! Columns of a file that hold amounts which are not loaded.

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    amount::{Amount, Sum},
    file::{amount_text::AmountReader, mapping_profile::DecimalMark},
};

use super::suggest::{CURRENCY, names_amount, names_code};

/// Letters that may stand beside a figure, as those of a currency or a side.
const LETTERS: usize = 3;

/// A column of the file that no rule names, and what its cells are as amounts.
#[derive(Debug, Default)]
pub(super) struct OtherColumn {
    name: String,
    amounts: u64,
    texts: u64,
    /// Amounts among them that the profile cannot read.
    unread: u64,
    sum: Sum,
    /// Whether one has a sign or a decimal mark.
    has_mark: bool,
    /// Whether one is not the balance of its row.
    differs: bool,
}

/// A column of the file that holds amounts and is not loaded.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct OtherAmounts {
    pub(crate) column: String,
    pub(crate) amounts: u64,
    /// None if the profile cannot read all of them, or it is past what an amount can be.
    pub(crate) sum: Option<Amount>,
}

impl OtherColumn {
    pub(super) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Looks at the cell of a row of this balance.
    pub(super) fn look(&mut self, cell: &str, reader: &AmountReader, decimal: DecimalMark, balance: Option<Amount>) {
        match reader.read(cell, decimal) {
            Ok(None) => self.differs |= balance.is_some_and(|balance| balance != Amount::ZERO),
            Ok(Some(amount)) => {
                self.amounts += 1;
                self.sum.add(amount);
                self.has_mark |= has_mark(cell);
                self.differs |= balance.unwrap_or_default() != amount;
            }
            // It may be written in a way that the profile does not know, beside amounts that it knows.
            Err(_) if is_figure(cell) => {
                (self.amounts, self.unread) = (self.amounts + 1, self.unread + 1);
                (self.has_mark, self.differs) = (true, true);
            }
            Err(_) => self.texts += 1,
        }
    }

    /// What it holds, if that is amounts which are not those of the balance.
    pub(super) fn amounts(&self) -> Option<OtherAmounts> {
        let looks = (self.has_mark || names_amount(&self.name)) && !names_code(&self.name);
        let are_amounts = self.differs && self.amounts > 0 && self.texts * 10 <= self.amounts && looks;
        are_amounts.then(|| OtherAmounts {
            column: self.name.clone(),
            amounts: self.amounts,
            sum: self.sum.total().filter(|_| self.unread == 0),
        })
    }
}

impl OtherAmounts {
    /// What a person is told of it.
    pub(crate) fn told(&self) -> String {
        match self.sum {
            Some(sum) => format!("{:?}: {} amounts that sum to {sum}", self.column, self.amounts),
            None => format!("{:?}: {} amounts, of which the profile cannot tell the sum", self.column, self.amounts),
        }
    }
}

/// Whether a cell that is an amount has a sign or a decimal mark, which a number of something else rarely has.
pub(super) fn has_mark(cell: &str) -> bool {
    cell.contains(['.', ',', '-', '(', '\u{2212}', '△', '▲'])
}

/// Whether a cell is a figure with a sign, a decimal mark or a currency beside it, however it is written.
fn is_figure(cell: &str) -> bool {
    let is_beside = |c: char| {
        c.is_alphabetic() || c.is_whitespace() || matches!(c, '=' | '.') || CURRENCY.contains(&c.to_string().as_str())
    };
    let figure = cell.trim_start_matches(is_beside).trim_end_matches(is_beside);
    let letters = cell.chars().filter(|c| c.is_alphabetic()).count();
    // Letters that touch the digits make a code, unless a decimal mark says otherwise.
    let stands_apart = figure.len() < cell.len()
        && (cell.contains(char::is_whitespace)
            || cell.contains('=')
            || CURRENCY.iter().any(|sign| cell.contains(sign)));
    let is_marked = figure.contains(['.', ',']);
    let has_digit = figure.contains(|c: char| c.is_ascii_digit());
    let is_written = figure
        .chars()
        .all(|c| c.is_ascii_digit() || c.is_whitespace() || matches!(c, '.' | ',' | '\'' | '-' | '+' | '(' | ')'));
    has_digit && is_written && letters <= LETTERS && (is_marked || stands_apart) && !is_date(figure)
}

/// Whether it is three groups of digits of which none is one of thousands, as a date.
fn is_date(figure: &str) -> bool {
    let groups: Vec<&str> = figure.split(['.', '-']).collect();
    groups.len() == 3 && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_digit()) && group.len() != 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_from_codes_and_dates_however_they_are_written() {
        for figure in ["1,000.00 DR", "GBP 1000", "1000 kr", "€1.000,00", "1.000,00", "=1000.00", "S 1000", "1'000.00-"]
        {
            assert!(is_figure(figure), "{figure}");
        }
        for text in ["UK1", "1000", "30.06.2022", "2022-06-30", "Invoice 12", "A/12.5", "x.y", ""] {
            assert!(!is_figure(text), "{text}");
        }
    }
}
