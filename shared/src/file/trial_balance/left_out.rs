//! What a profile leaves out of a file, in rows and in money.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    amount::{Amount, Sum},
    file::{
        layout::{AmountContext, Rule, Values},
        mapping_profile::MappingProfile,
    },
};

/// Rules that warnings name.
const NAMED: usize = 20;

/// Rows that one rule leaves out.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// The rule, as the profile has it.
    pub rule: String,
    /// How many rows.
    pub rows: u64,
    /// The sum of their balances, as far as those can be read; none if it is past what an amount can be.
    pub balance_sum: Option<Amount>,
    /// The sum of those that are in debit.
    pub debit: Option<Amount>,
    /// The sum of those that are in credit, below zero.
    pub credit: Option<Amount>,
    /// Rows whose balance cannot be read.
    pub unreadable: u64,
    #[serde(skip)]
    money: Money,
}

/// Counts the rows that rules leave out.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rules: BTreeMap<Rule, Counted>,
    /// The last row that calls itself the total of the file: its line and both of its sides.
    total: Option<(u64, [Amount; 2])>,
}

#[derive(Debug, Default)]
struct Counted {
    rows: u64,
    money: Money,
    unreadable: u64,
}

/// The sums of balances: of all, of those in debit, and of those in credit.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Money {
    sum: Sum,
    debit: Sum,
    credit: Sum,
}

impl Money {
    pub(super) fn add(&mut self, amount: Amount) {
        self.sum.add(amount);
        let side = if amount < Amount::ZERO { &mut self.credit } else { &mut self.debit };
        side.add(amount);
    }

    /// What a person is told of it. A sum of nil says nothing of what makes it up.
    pub(super) fn told(self) -> String {
        let shown =
            |sum: Sum| sum.total().map_or_else(|| "more than 18 integer digits".to_owned(), |sum| sum.to_string());
        let (debit, credit) = (self.debit.total(), self.credit.total());
        let is_one_sided = [debit, credit].contains(&Some(Amount::ZERO));
        let sum = format!("their balances sum to {}", shown(self.sum));
        if is_one_sided { sum } else { format!("{sum}, debit {} and credit {}", shown(self.debit), shown(self.credit)) }
    }
}

/// Texts with which the row of a file's own total begins, in lower case.
const TOTALS: [&str; 13] = [
    "total",
    "totals",
    "grand total",
    "total general",
    "summe",
    "gesamt",
    "gesamtsumme",
    "totale",
    "totaal",
    "suma",
    "合計",
    "合计",
    "总计",
];

/// Whether a row calls itself the total of the file.
fn is_total(values: &Values<'_>) -> bool {
    let first = values.record.iter().map(str::trim).find(|cell| !cell.is_empty()).unwrap_or_default();
    let first = first.trim_end_matches(':').to_lowercase();
    TOTALS.contains(&first.as_str())
}

impl Tally {
    /// Counts a row, or one side of a line.
    pub(super) fn add(&mut self, rule: Rule, values: &Values<'_>, amounts: &mut AmountContext<'_>) {
        if is_total(values)
            && let Some(sides) = values.amount_source(0).and_then(|source| source.both_sides(values, amounts))
        {
            self.total = Some((values.record.line, sides));
        }
        let counted = self.rules.entry(rule).or_default();
        counted.rows += 1;
        match values.amount_source(0).map(|source| source.read(values, amounts)) {
            // The other side of a line counts the other way round.
            Some(Ok(Some(amount))) if values.is_contra() => match Amount::from_units(-amount.units()) {
                Some(amount) => counted.money.add(amount),
                None => counted.unreadable += 1,
            },
            Some(Ok(Some(amount))) => counted.money.add(amount),
            Some(Ok(None)) | None => {}
            Some(Err(_)) => counted.unreadable += 1,
        }
    }

    /// How many rows were left out by any rule of these.
    pub(super) fn rows(&self, of: impl Fn(Rule) -> bool) -> u64 {
        self.rules.iter().filter(|(rule, _)| of(**rule)).map(|(_, counted)| counted.rows).sum()
    }

    /// What each rule left out.
    pub(super) fn told(&self, profile: &MappingProfile) -> Vec<LeftOut> {
        let told = self.rules.iter().map(|(rule, counted)| LeftOut {
            rule: rule.described(profile),
            rows: counted.rows,
            balance_sum: counted.money.sum.total(),
            debit: counted.money.debit.total(),
            credit: counted.money.credit.total(),
            unreadable: counted.unreadable,
            money: counted.money,
        });
        told.collect()
    }
}

impl Tally {
    /// What is wrong with the file's own total, if it has one: the rows that load must come to it.
    pub(super) fn wrong_total(&self, sides: [Option<Amount>; 2]) -> Option<String> {
        let (line, own) = self.total?;
        let shown = |side: Option<Amount>| side.map_or_else(|| "more than 18 digits".to_owned(), |sum| sum.to_string());
        let ([debit, credit], [own_debit, own_credit]) = (sides, own);
        (sides != own.map(Some)).then(|| {
            format!(
                "line {line} is the file's own total, debit {own_debit} and credit {own_credit}; the rows that load have \
                 debit {} and credit {}",
                shown(debit),
                shown(credit)
            )
        })
    }
}

/// Warnings of what was left out.
pub(super) fn warnings(left_out: &[LeftOut]) -> impl Iterator<Item = String> {
    let more = left_out.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("rows were left out by {more} rules more"));
    left_out.iter().take(NAMED).map(LeftOut::warning).chain(more)
}

impl LeftOut {
    /// What a person is told of it.
    fn warning(&self) -> String {
        let sum = self.money.told();
        let unread = match self.unreadable {
            0 => String::new(),
            some => format!(", not counting those of {some} that cannot be read"),
        };
        let what = if self.rule.starts_with("no ") { "lines with" } else { "rows left out by" };
        format!("{what} {}: {}; {sum}{unread}", self.rule, self.rows)
    }
}
