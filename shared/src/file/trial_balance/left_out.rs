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

/// Totals that are remembered.
const MOST_TOTALS: usize = 1_000;
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
    /// Rows that call themselves totals and whose sides are equal and not nil, as those of a whole trial balance: their lines and
    /// both sides.
    totals: Vec<(u64, [Amount; 2])>,
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

/// Texts with which the row of a file's own total begins, in lower case, and with which it ends.
const TOTALS: [&str; 64] = [
    "gesamtergebnis",
    "suma końcowa",
    "total",
    "totals",
    "grand total",
    "report total",
    "subtotal",
    "sub-total",
    "sub total",
    "summe",
    "summen",
    "gesamt",
    "gesamtsumme",
    "endsumme",
    "zwischensumme",
    "übertrag",
    "totale",
    "totali",
    "subtotale",
    "somma",
    "totaux",
    "sous-total",
    "somme",
    "totaal",
    "subtotaal",
    "totais",
    "t o t a i s",
    "t o t a l",
    "soma",
    "totales",
    "suma",
    "sumas",
    "summa",
    "sum",
    "totalt",
    "delsumma",
    "razem",
    "ogółem",
    "suma kontrolna",
    "celkem",
    "spolu",
    "összesen",
    "mindösszesen",
    "ukupno",
    "sveukupno",
    "skupaj",
    "укупно",
    "итого",
    "всего",
    "разом",
    "всього",
    "всичко",
    "общо",
    "σύνολο",
    "γενικό σύνολο",
    "toplam",
    "genel toplam",
    "ara toplam",
    "yhteensä",
    "i alt",
    "kokku",
    "kopā",
    "iš viso",
    "samtals",
];
/// The same in scripts without spaces, and from right to left; rows may end with them, too.
const TOTAL_ENDS: [&str; 24] = [
    "合計",
    "合计",
    "总计",
    "總計",
    "総計",
    "小計",
    "小计",
    "総合計",
    "합계",
    "총계",
    "소계",
    "รวม",
    "المجموع",
    "الإجمالي",
    "סה\"כ",
    "סך הכל",
    "جمع کل",
    "कुल योग",
    "tổng cộng",
    "cộng",
    "jumlah",
    "yhteensä",
    "összesen",
    "carried forward",
];

/// Whether a cell calls its row a total.
pub fn names_total(cell: &str) -> bool {
    let quotes = ['\'', '"', '*', ' ', ':', '='];
    let cell = cell.trim().trim_matches(quotes).to_lowercase();
    let begins = |word: &str| {
        let rest = cell.strip_prefix(word).map(|rest| rest.trim_start_matches('s'));
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    let ends = |word: &str| {
        let rest = cell.strip_suffix(word);
        let stands_alone = word.chars().any(|c| c >= '\u{0590}');
        rest.is_some_and(|rest| stands_alone || !rest.ends_with(char::is_alphanumeric))
    };
    TOTALS.iter().chain(&TOTAL_ENDS).any(|word| begins(word)) || TOTAL_ENDS.iter().any(|word| ends(word))
}

/// Whether a row calls itself a total.
fn is_total(values: &Values<'_>) -> bool {
    values.record.iter().map(str::trim).find(|cell| !cell.is_empty()).is_some_and(names_total)
}

impl Tally {
    /// Counts a row, or one side of a line.
    pub(super) fn add(&mut self, rule: Rule, values: &Values<'_>, amounts: &mut AmountContext<'_>) {
        if is_total(values)
            && let Some(sides) = values.amount_source(0).and_then(|source| source.both_sides(values, amounts))
            && sides[0] == sides[1]
            && sides[0] != Amount::ZERO
            && self.totals.len() < MOST_TOTALS
        {
            self.totals.push((values.record.line, sides));
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
        // Those of groups may stand beside it; the largest is that of the file.
        if self.totals.iter().any(|(_, own)| sides == own.map(Some)) {
            return None;
        }
        let (line, own) = *self.totals.iter().max_by_key(|(_, [debit, _])| *debit)?;
        let shown = |side: Option<Amount>| side.map_or_else(|| "more than 18 digits".to_owned(), |sum| sum.to_string());
        let ([debit, credit], [own_debit, own_credit]) = (sides, own);
        Some(format!(
            "line {line} is the file's own total, debit {own_debit} and credit {own_credit}; the rows that load have \
             debit {} and credit {}",
            shown(debit),
            shown(credit)
        ))
    }
}

/// Warnings of what was left out, of a file that may hold other slices too: whose row a rule leaves out is not looked at.
pub(super) fn warnings(left_out: &[LeftOut], has_other_slices: bool) -> impl Iterator<Item = String> {
    let more = left_out.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("rows were left out by {more} rules more"));
    let warning = move |left_out: &LeftOut| left_out.warning(has_other_slices);
    left_out.iter().take(NAMED).map(warning).chain(more)
}

impl LeftOut {
    /// What a person is told of it.
    fn warning(&self, has_other_slices: bool) -> String {
        let sum = self.money.told();
        let unread = match self.unreadable {
            0 => String::new(),
            some => format!(", not counting those of {some} that cannot be read"),
        };
        let what = if self.rule.starts_with("no ") { "lines with" } else { "rows left out by" };
        let of = if has_other_slices { " of the whole file, of any slice" } else { "" };
        format!("{what} {}: {}{of}; {sum}{unread}", self.rule, self.rows)
    }
}
