//! The signs of amounts that stand on two sides. Where one side is negative throughout, its minus may mean that
//! the side is subtracted already, or that each of its postings is taken back.

use crate::amount::{Amount, Sum};

/// Whose sides they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SidesOf {
    /// Those of the balance.
    Balance,
    /// Those of the balance carried forward.
    Forward,
}

/// What the amounts of both sides were.
#[derive(Debug, Clone, Default)]
pub struct SideSigns {
    debit: Signs,
    credit: Signs,
}

#[derive(Debug, Clone, Default)]
struct Signs {
    positive: u64,
    negative: u64,
    /// The first one that is negative: its line and the amount.
    first: Option<(u64, Amount)>,
    sum: Sum,
}

impl SideSigns {
    /// Takes in the sides of a row.
    pub(super) fn add(&mut self, line: u64, debit: Option<Amount>, credit: Option<Amount>) {
        for (signs, amount) in [(&mut self.debit, debit), (&mut self.credit, credit)] {
            let Some(amount) = amount else { continue };
            signs.sum.add(amount);
            match amount.cmp(&Amount::ZERO) {
                std::cmp::Ordering::Less => {
                    signs.negative += 1;
                    signs.first = signs.first.or(Some((line, amount)));
                }
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => signs.positive += 1,
            }
        }
    }

    /// Why the sides have two readings, if one of them is negative throughout; the names are their columns'.
    pub fn two_readings(&self, [debit, credit]: [&str; 2]) -> Option<String> {
        let is_negative = |signs: &Signs| signs.negative > 0 && signs.positive == 0;
        let (name, signs) = match (is_negative(&self.credit), is_negative(&self.debit)) {
            (true, _) => (credit, &self.credit),
            (false, true) => (debit, &self.debit),
            (false, false) => return None,
        };
        let (line, amount) = signs.first?;
        let shown = |units: Option<i128>| {
            units.and_then(Amount::from_units).map_or_else(|| "more than 18 digits".to_owned(), |sum| sum.to_string())
        };
        let sums = self.debit.sum.total().zip(self.credit.sum.total());
        let (subtracted, added) = (
            shown(sums.map(|(debit, credit)| debit.units() - credit.units())),
            shown(sums.map(|(debit, credit)| debit.units() + credit.units())),
        );
        Some(format!(
            "every amount under {name} that is not zero is negative, the first on line {line} ({amount}): with signed = \
             false, {credit} is subtracted and the rows sum to {subtracted}; with signed = true it carries its minus \
             already and they sum to {added}"
        ))
    }
}
