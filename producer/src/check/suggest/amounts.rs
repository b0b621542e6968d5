//! Which columns of a file may be the amount to load, and what each of them comes to.

use shared::amount::{Amount, Sum};

use super::{
    contra::Contra,
    headings::{self, Heading},
    indicators::{Indicator, guessed, indicators},
    sides,
    table::Table,
};

/// Of so much money a part may be below zero where the rest has no sign: what is against the nature of its account.
const UNSIGNED: u128 = 2;
/// Readings that are named.
const NAMED: usize = 12;

/// Where an amount may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// One column, as it stands.
    Column(usize),
    /// One column, and another that says its side, by its place among the indicators.
    Indicated { column: usize, indicator: usize },
    /// What is debited less what is credited.
    Sides { debit: usize, credit: usize },
}

/// A reading, and what it comes to.
pub(super) struct Candidate {
    pub(super) reading: Reading,
    /// By row; none where there is none.
    pub(super) amounts: Vec<Option<Amount>>,
}

/// What is known of the amounts of a file.
pub(super) struct Amounts {
    /// The readings that give different figures: one of them is taken, of several none.
    pub(super) candidates: Vec<Candidate>,
    /// Readings that are not named.
    pub(super) more: usize,
    /// Whether the only one has no amount below zero, so that credits may stand there without their sign.
    pub(super) is_unsigned: bool,
    /// The heading of the only one, if that says that it is an opening balance, a movement, a budget or of one side.
    pub(super) other_than_closing: Option<String>,
    /// The columns that say debit or credit.
    pub(super) indicators: Vec<Indicator>,
    pub(super) contra: Option<Contra>,
}

impl Candidate {
    pub(super) fn count(&self) -> usize {
        self.amounts.iter().flatten().count()
    }

    /// The sum of those above zero.
    pub(super) fn debit(&self) -> String {
        shown(self.amounts.iter().flatten().copied().filter(|amount| *amount > Amount::ZERO))
    }

    pub(super) fn sum(&self) -> String {
        shown(self.amounts.iter().flatten().copied())
    }
}

impl Candidate {
    /// Its heading, if that says that it is no closing balance, or one of credits alone.
    fn other_than_closing(&self, table: &Table) -> Option<String> {
        let heading = |place: usize| table.headings.get(place).map(String::as_str).unwrap_or_default();
        let says = |heading: &str| headings::names_no_closing(heading);
        match self.reading {
            Reading::Column(place) if says(heading(place)) || sides::is_side(heading(place)) => {
                Some(heading(place).to_owned())
            }
            Reading::Sides { debit, credit } if says(heading(debit)) || says(heading(credit)) => {
                Some(heading(debit).to_owned())
            }
            Reading::Column(_) | Reading::Sides { .. } | Reading::Indicated { .. } => None,
        }
    }
}

impl Amounts {
    pub(super) fn new(table: &Table) -> Self {
        let known = indicators(table);
        let indicators: Vec<Indicator> = match known.is_empty() {
            true => guessed(table),
            false => known,
        };
        // Codes of accounts are figures, too.
        let is_amount =
            |place: usize| table.figures(place).are_amounts() && !headings::names_account(&table.headings[place]);
        let (mut numeric, texts): (Vec<_>, Vec<_>) =
            sides::pairs(table).into_iter().partition(|(debit, credit)| is_amount(*debit) && is_amount(*credit));
        if let Some(named) = table.at(Heading::Debit).zip(table.at(Heading::Credit)) {
            let is_taken = |place| numeric.iter().any(|(debit, credit)| [*debit, *credit].contains(&place));
            if !is_taken(named.0) && !is_taken(named.1) {
                numeric.insert(0, named);
            }
        }
        let contra = Contra::new(table, &numeric, &texts);
        let own = contra.as_ref().and_then(|contra| contra.amount);
        let single = own.and_then(|own| numeric.iter().find(|(_, credit)| *credit == own)).map(|(debit, _)| *debit);
        let readings = match single {
            Some(debit) => vec![Reading::Column(debit)],
            None => readings(table, &numeric, &texts, &indicators),
        };
        // What is the same in this file need not be in the next: a closing balance and the first month's movement.
        let candidates = readings.into_iter().map(|reading| candidate(table, reading, &indicators));
        let mut candidates: Vec<Candidate> = candidates.filter(|candidate| candidate.count() > 0).collect();
        let more = candidates.len().saturating_sub(NAMED);
        candidates.truncate(NAMED);
        let is_unsigned = match candidates.as_slice() {
            [Candidate { reading: Reading::Column(_), amounts }] => contra.is_none() && are_unsigned(amounts),
            _ => false,
        };
        let other_than_closing = match candidates.as_slice() {
            [one] if contra.is_none() => one.other_than_closing(table),
            _ => None,
        };
        Self { candidates, more, is_unsigned, other_than_closing, indicators, contra }
    }

    /// What a reading makes of rows, by row.
    pub(super) fn of(&self, table: &Table, rows: &[Vec<String>], reading: Reading) -> Vec<Option<Amount>> {
        read(table, rows, reading, &self.indicators)
    }

    /// The one reading that there is.
    pub(super) fn only(&self) -> Option<&Candidate> {
        match self.candidates.as_slice() {
            [one] if !self.is_unsigned && self.other_than_closing.is_none() => Some(one),
            _ => None,
        }
    }
}

/// Whether there are several amounts, and next to nothing of them is below zero.
fn are_unsigned(amounts: &[Option<Amount>]) -> bool {
    let of = |below: bool| {
        let these = amounts.iter().flatten().filter(|amount| (**amount < Amount::ZERO) == below);
        these.fold(0_u128, |sum, amount| sum.saturating_add(amount.units().unsigned_abs()))
    };
    let several = amounts.iter().flatten().filter(|amount| **amount != Amount::ZERO).nth(1).is_some();
    several && of(true).saturating_mul(UNSIGNED) < of(false)
}

/// The readings that a file allows, the likeliest first.
fn readings(
    table: &Table,
    pairs: &[(usize, usize)],
    accounts: &[(usize, usize)],
    indicators: &[Indicator],
) -> Vec<Reading> {
    let of_pair = |place: usize| pairs.iter().chain(accounts).any(|(debit, credit)| [*debit, *credit].contains(&place));
    let balance = table.at(Heading::Target("balance"));
    let is_other = |place: usize| {
        table.found.iter().any(|(heading, known)| *known == place && *heading != Heading::Target("balance"))
    };
    let others = (0..table.width()).filter(|place| {
        Some(*place) != balance
            && !of_pair(*place)
            && !is_other(*place)
            && table.looks_like_amounts(*place, &table.figures(*place))
    });
    let columns: Vec<usize> = balance.into_iter().chain(others).collect();
    let is_guessed = table.at(Heading::Indicator).is_none();
    // Files have the letter before each amount or behind it: as the first one stands, so do the others.
    let first = indicators.iter().map(|indicator| indicator.place).min();
    let is_before = first < columns.iter().copied().min();
    let distance = |indicator: &Indicator, column: usize| {
        ((indicator.place < column) != is_before, indicator.place.abs_diff(column))
    };
    let singles = columns.into_iter().flat_map(|column| {
        let figures = table.figures(column).amounts;
        if is_guessed {
            let says = |place: &usize| are_unsigned(&figures) || indicators[*place].turns_most(table, &figures);
            let ways = (0..indicators.len()).filter(says);
            let ways = ways.map(|indicator| Reading::Indicated { column, indicator });
            return std::iter::once(Reading::Column(column)).chain(ways).collect();
        }
        let nearest = indicators.iter().enumerate().min_by_key(|(_, indicator)| distance(indicator, column));
        let Some((indicator, _)) = nearest else { return vec![Reading::Column(column)] };
        let indicated = Reading::Indicated { column, indicator };
        // A figure that has a sign may carry its side already.
        let is_signed = figures.iter().flatten().any(|amount| *amount < Amount::ZERO);
        if is_signed { vec![Reading::Column(column), indicated] } else { vec![indicated] }
    });
    singles.chain(pairs.iter().map(|(debit, credit)| Reading::Sides { debit: *debit, credit: *credit })).collect()
}

fn candidate(table: &Table, reading: Reading, indicators: &[Indicator]) -> Candidate {
    Candidate { reading, amounts: read(table, &table.rows, reading, indicators) }
}

fn read(table: &Table, rows: &[Vec<String>], reading: Reading, indicators: &[Indicator]) -> Vec<Option<Amount>> {
    let figures = |place: usize| table.figures_in(rows, place).amounts;
    match reading {
        Reading::Column(place) => figures(place),
        Reading::Indicated { column, indicator } => match indicators.get(indicator) {
            Some(indicator) => indicator.applied(rows, figures(column)),
            None => figures(column),
        },
        Reading::Sides { debit, credit } => {
            let less = |(debit, credit): (Option<Amount>, Option<Amount>)| match (debit, credit) {
                (None, None) => None,
                (debit, credit) => Amount::from_units(debit.map_or(0, Amount::units) - credit.map_or(0, Amount::units)),
            };
            figures(debit).into_iter().zip(figures(credit)).map(less).collect()
        }
    }
}

/// The sum of amounts, for people.
pub(super) fn shown(amounts: impl Iterator<Item = Amount>) -> String {
    let mut sum = Sum::default();
    amounts.for_each(|amount| sum.add(amount));
    sum.total().map_or_else(|| "more than 18 digits".to_owned(), |sum| sum.to_string())
}
