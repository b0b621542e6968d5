//! Lines with two accounts: the second one, and what it books.

use shared::amount::Amount;

use super::{
    amounts::{Candidate, shown},
    headings::{self, Heading},
    table::Table,
};

/// The second account of a line.
pub(super) struct Contra {
    /// The columns of both accounts.
    pub(super) account: usize,
    pub(super) contra: usize,
    /// The columns of their names, where those are others.
    pub(super) names: Option<(usize, usize)>,
    /// The second one's own amount.
    pub(super) amount: Option<usize>,
}

impl Contra {
    /// The second account that lines have, by its name or as one of two columns that differ in their side.
    pub(super) fn new(table: &Table, numeric: &[(usize, usize)], texts: &[(usize, usize)]) -> Option<Self> {
        let account = table.at(Heading::Target("account_code"));
        if let Some((contra, account)) = table.at(Heading::Contra).zip(account) {
            return Some(Self { account, contra, names: None, amount: None });
        }
        let heading = |place: usize| table.headings[place].as_str();
        let accounts = || texts.iter().filter(|(debit, _)| headings::names_account(heading(*debit))).copied();
        let codes = accounts().find(|(debit, _)| headings::names_code(heading(*debit)));
        let (account, contra) = codes.or_else(|| accounts().next())?;
        let names =
            codes.and_then(|code| accounts().find(|pair| *pair != code && !headings::names_code(heading(pair.0))));
        // The amounts beside them, and not those of a tax.
        let heading = |place: usize| table.headings[place].as_str();
        let amounts = || numeric.iter().filter(|(debit, _)| headings::is_amount_of_side(heading(*debit)));
        let amount = match (numeric, amounts().count()) {
            ([(_, credit)], _) => Some(*credit),
            (_, 1) => amounts().next().map(|(_, credit)| *credit),
            _ => None,
        };
        Some(Self { account, contra, names, amount })
    }

    /// The rows that the first account alone makes, and those that both make, each with their sum.
    pub(super) fn figures(&self, table: &Table, amounts: &Candidate) -> [(usize, String); 2] {
        let of = |place: usize, amounts: &[Option<Amount>], turned: bool| -> Vec<Amount> {
            let rows = table.rows.iter().zip(amounts).filter(|(row, _)| Table::is_filled(row, place));
            let signed = |amount: Amount| if turned { Amount::from_units(-amount.units()) } else { Some(amount) };
            rows.map(|(_, amount)| amount.and_then(signed).unwrap_or(Amount::ZERO)).collect()
        };
        let own = of(self.account, &amounts.amounts, false);
        let second = match self.amount {
            Some(place) => of(self.contra, &table.figures(place).amounts, true),
            None => of(self.contra, &amounts.amounts, true),
        };
        let told = |amounts: Vec<Amount>| (amounts.len(), shown(amounts.into_iter()));
        [told(own.clone()), told([own, second].concat())]
    }
}
