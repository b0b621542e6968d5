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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The rule, as the profile has it.
    pub rule: String,
    /// How many rows.
    pub rows: u64,
    /// The sum of their balances, as far as those can be read; none if it is past what an amount can be.
    pub balance_sum: Option<Amount>,
    /// Rows whose balance cannot be read.
    pub unreadable: u64,
}

/// Counts the rows that rules leave out.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<Rule, Counted>);

#[derive(Debug, Default)]
struct Counted {
    rows: u64,
    sum: Sum,
    unreadable: u64,
}

impl Tally {
    /// Counts a row, or one side of a line.
    pub(super) fn add(&mut self, rule: Rule, values: &Values<'_>, amounts: &mut AmountContext<'_>) {
        let counted = self.0.entry(rule).or_default();
        counted.rows += 1;
        match values.amount_source(0).map(|source| source.read(values, amounts)) {
            // The other side of a line counts the other way round.
            Some(Ok(Some(amount))) if values.is_contra() => match Amount::from_units(-amount.units()) {
                Some(amount) => counted.sum.add(amount),
                None => counted.unreadable += 1,
            },
            Some(Ok(Some(amount))) => counted.sum.add(amount),
            Some(Ok(None)) | None => {}
            Some(Err(_)) => counted.unreadable += 1,
        }
    }

    /// How many rows were left out by any rule of these.
    pub(super) fn rows(&self, of: impl Fn(Rule) -> bool) -> u64 {
        self.0.iter().filter(|(rule, _)| of(**rule)).map(|(_, counted)| counted.rows).sum()
    }

    /// What each rule left out.
    pub(super) fn told(&self, profile: &MappingProfile) -> Vec<LeftOut> {
        let told = self.0.iter().map(|(rule, counted)| LeftOut {
            rule: rule.described(profile),
            rows: counted.rows,
            balance_sum: counted.sum.total(),
            unreadable: counted.unreadable,
        });
        told.collect()
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
        let sum = match self.balance_sum {
            Some(sum) => format!("their balances sum to {sum}"),
            None => "their balances sum to more than 18 integer digits".to_owned(),
        };
        let unread = match self.unreadable {
            0 => String::new(),
            some => format!(", not counting those of {some} that cannot be read"),
        };
        let what = if self.rule.starts_with("no ") { "lines with" } else { "rows left out by" };
        format!("{what} {}: {}; {sum}{unread}", self.rule, self.rows)
    }
}
