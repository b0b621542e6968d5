//! Columns that tell rows of different books or periods apart, and that a profile does not read: the rows of all of
//! them go into one slice.

use std::collections::{BTreeMap, BTreeSet};

use shared::amount::{Amount, Sum};

/// Words of headings that tell books apart, in lower case; a short one stands alone, a longer one may be part of another.
const OF_BOOKS: [&str; 71] = [
    "ldgrp",
    "作廢",
    "過帳",
    "承認",
    "posting status",
    "parked",
    "reversed",
    "void",
    "unternehmen",
    "cég",
    "εταιρεία",
    "legal",
    "法人",
    "szenario",
    "wertart",
    "saldoart",
    "value type",
    "data type",
    "gaap",
    "ledger",
    "book",
    "books",
    "company",
    "cocd",
    "entity",
    "subsidiary",
    "mandant",
    "buchungskreis",
    "bukrs",
    "firma",
    "gesellschaft",
    "société",
    "societe",
    "empresa",
    "filial",
    "azienda",
    "società",
    "bedrijf",
    "administratie",
    "yhtiö",
    "bolag",
    "selskab",
    "spółka",
    "vállalat",
    "společnost",
    "şirket",
    "организация",
    "компания",
    "会社",
    "公司",
    "帳別",
    "账套",
    "帳簿",
    "회사",
    "scenario",
    "version",
    "basis",
    "posting layer",
    "balance type",
    "amount type",
    "row type",
    "line type",
    "record type",
    "level",
    "ebene",
    "niveau",
    "summary",
    "posted",
    "document status",
    "unit of measure",
    "datenart",
];
/// The same of currencies.
const OF_CURRENCIES: [&str; 23] = [
    "currency",
    "crcy",
    "curr",
    "währung",
    "waehrung",
    "devise",
    "moneda",
    "moeda",
    "valuta",
    "waluta",
    "deviza",
    "měna",
    "валюта",
    "para birimi",
    "döviz",
    "通貨",
    "币种",
    "币别",
    "幣別",
    "통화",
    "ccy",
    "waers",
    "货币",
];
/// The same of periods.
const OF_PERIODS: [&str; 47] = [
    "stichtag",
    "quarter",
    "period",
    "período",
    "periodo",
    "période",
    "periode",
    "periodo contable",
    "okres",
    "období",
    "dönem",
    "период",
    "期間",
    "期间",
    "會計期間",
    "date",
    "datum",
    "fecha",
    "dato",
    "data księgowania",
    "дата",
    "日付",
    "日期",
    "as of",
    "year",
    "jahr",
    "gjahr",
    "exercice",
    "exercício",
    "ejercicio",
    "esercizio",
    "année",
    "boekjaar",
    "rok",
    "год",
    "年度",
    "month",
    "monat",
    "mois",
    "mes",
    "mês",
    "mese",
    "maand",
    "miesiąc",
    "месяц",
    "月",
    "월",
];
/// Words beside them that make it a property of accounts, and no book.
const NO_BOOKS: [&str; 14] = [
    "partner",
    "intercompany",
    "allowed",
    "opened",
    "created",
    "changed",
    "anlage",
    "posting type",
    "period type",
    "ledger type",
    "book group",
    "account currency",
    "periodic",
    "last posting",
];
/// Texts that tell sides, and no books.
const SIDES: [&str; 12] = ["debit", "credit", "dr", "cr", "d", "c", "s", "h", "soll", "haben", "debet", "kredit"];
/// Letters from which on a word may be part of a longer one.
const PART: usize = 6;
/// Texts of a column that are told apart, and that are told.
const TEXTS: usize = 64;
const TOLD: usize = 5;
/// Books that a file may hold, and rows that each must have, for a column to be one of books by its sums alone: documents
/// sum to nil, too.
const BOOKS: std::ops::RangeInclusive<usize> = 2..=10;
const ROWS: u64 = 4;
/// Rows past which the sums of a column are not looked at: what is held of each grows with them.
const ACCOUNTS: usize = 50_000;

/// What a column tells apart by its heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Divides {
    Books,
    Periods,
}

/// What a heading says that its column tells apart, if it does.
pub(super) fn divides(heading: &str) -> Option<Divides> {
    let heading = heading.to_lowercase();
    if NO_BOOKS.iter().any(|words| heading.contains(words)) {
        None
    } else if has(&heading, &OF_BOOKS) || has(&heading, &OF_CURRENCIES) {
        Some(Divides::Books)
    } else if has(&heading, &OF_PERIODS) {
        Some(Divides::Periods)
    } else {
        None
    }
}

/// Whether a heading, in lower case, has one of these words.
fn has(heading: &str, names: &[&str]) -> bool {
    let words: Vec<&str> = heading.split(|c: char| !c.is_alphanumeric()).collect();
    names.iter().any(|name| {
        let is_part = name.chars().count() >= PART || name.contains(' ') || name.chars().any(|c| c >= '\u{2e80}');
        // In some languages it stands at the end of a longer word.
        let is_end = |word: &&str| word == name || name.len() > 3 && word.ends_with(name);
        if is_part { heading.contains(name) } else { words.iter().any(is_end) }
    })
}

/// A column that no rule names, and what stands in it.
#[derive(Debug)]
pub(super) struct DividingColumn {
    name: String,
    by_heading: Option<Divides>,
    /// Whether its sums may tell that it is one of books.
    looks_at_sums: bool,
    texts: BTreeMap<String, (u64, Sum)>,
    /// There are more texts than are told apart, or rows without one.
    is_open: bool,
    /// Rows whose account stood on an earlier row with another text.
    shared: u64,
    /// The first text of each account.
    first: BTreeMap<(String, String), String>,
    /// Each text with the accounts beside it.
    seen: BTreeSet<(String, String, String)>,
}

impl DividingColumn {
    pub(super) fn new(name: String) -> Self {
        Self {
            by_heading: divides(&name),
            name,
            looks_at_sums: true,
            texts: BTreeMap::new(),
            is_open: false,
            shared: 0,
            first: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    /// The same where the profile says which columns hold the same text in all rows: whoever says it of one has thought of
    /// currencies, and of what sums to nil by itself. None if there is nothing left to look for.
    pub(super) fn beside_same(self) -> Option<Self> {
        let is_of_currencies = has(&self.name.to_lowercase(), &OF_CURRENCIES);
        (self.by_heading.is_some() && !is_of_currencies).then_some(Self { looks_at_sums: false, ..self })
    }

    /// Takes in a row: its text here, its account and its balance.
    pub(super) fn add(&mut self, text: &str, company: &str, account: &str, balance: Amount) {
        if self.texts.len() >= TEXTS && !self.texts.contains_key(text) {
            self.is_open = true;
            return;
        }
        let (rows, sum) = self.texts.entry(text.to_owned()).or_default();
        *rows += 1;
        sum.add(balance);
        self.looks_at_sums &= self.texts.len() <= *BOOKS.end() && self.seen.len() < ACCOUNTS;
        if !self.looks_at_sums {
            self.first.clear();
            self.seen.clear();
            return;
        }
        // Of postings, in which an account stands twice beside the same text, sums tell nothing.
        self.looks_at_sums = self.seen.insert((text.to_owned(), company.to_owned(), account.to_owned()));
        let first = self.first.entry((company.to_owned(), account.to_owned())).or_insert_with(|| text.to_owned());
        self.shared += u64::from(first != text);
    }

    /// Whether its heading says that it tells periods apart.
    pub(super) fn is_of_periods(&self) -> bool {
        self.by_heading == Some(Divides::Periods)
    }

    /// Whether further rows may tell more.
    pub(super) fn looks_on(&self) -> bool {
        !self.is_open
    }

    /// What it tells apart, if rows of several books or periods are among those that were taken in.
    pub(super) fn told(&self) -> Option<(Divides, String)> {
        let mut texts = self.texts.keys().filter(|text| !text.is_empty());
        let are_sides = texts.all(|text| SIDES.contains(&text.to_lowercase().as_str()));
        if self.texts.len() < 2 || are_sides {
            return None;
        }
        let kind = match self.by_heading {
            Some(Divides::Books) => Divides::Books,
            Some(Divides::Periods) if self.is_open || !is_one_month(self.texts.keys().map(String::as_str)) => {
                Divides::Periods
            }
            Some(Divides::Periods) => return None,
            None if self.is_of_books() => Divides::Books,
            None => return None,
        };
        let texts: Vec<String> = self
            .texts
            .iter()
            .take(TOLD)
            .map(|(text, (rows, sum))| {
                let text = if text.is_empty() { "(blank)" } else { text };
                let sum = sum.total().map_or_else(|| "more than 18 digits".to_owned(), |sum| sum.to_string());
                format!("{text}: {rows} rows, {sum}")
            })
            .collect();
        let more = if self.texts.len() > TOLD || self.is_open { ", …" } else { "" };
        Some((kind, format!("{:?} ({}{more})", self.name, texts.join("; "))))
    }

    /// Whether it is a column of books whatever its heading: a few that each sum to nil, in which the same accounts
    /// stand, or of which each account stands in one.
    fn is_of_books(&self) -> bool {
        let is_nil = |(rows, sum): &(u64, Sum)| *rows >= ROWS && sum.total() == Some(Amount::ZERO);
        let rows: u64 = self.texts.values().map(|(rows, _)| rows).sum();
        self.looks_at_sums
            && !self.is_open
            && BOOKS.contains(&self.texts.len())
            && !self.texts.contains_key("")
            && self.texts.values().all(is_nil)
            && (self.shared * 3 >= rows || self.first.len() as u64 == rows)
    }
}

/// Whether all texts are dates of one month, however they are written, or the same period.
fn is_one_month<'a>(texts: impl Iterator<Item = &'a str>) -> bool {
    let texts: Vec<&str> = texts.collect();
    let is_dotted = texts.iter().any(|text| text.contains('.'));
    let parts: Vec<Vec<&str>> = texts
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| {
            let date = text.split(['T', ' ']).next().unwrap_or(text);
            date.split(['-', '.', '/']).collect()
        })
        .collect();
    let same = |part: &dyn Fn(&[&'a str]) -> Option<&'a str>| {
        let mut all = parts.iter().map(|parts| part(parts));
        let first = all.next().flatten();
        first.is_some() && all.all(|other| other == first)
    };
    let digits = |text: &&str| text.len() > 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let width = parts.first().map_or(0, Vec::len);
    match width {
        3 if parts.iter().all(|parts| parts[0].len() == 4) => {
            same(&|parts| parts.first().copied()) && same(&|parts| parts.get(1).copied())
        }
        3 => {
            // The day or the month may stand first; a number above 12 tells, and of two readings neither is taken.
            let is_day = |place: usize| {
                let number = |parts: &&Vec<&str>| parts.get(place).and_then(|part| part.parse::<u8>().ok());
                parts.iter().any(|parts| number(&parts).is_some_and(|number| number > 12))
            };
            let same = |place: usize| same(&|parts| parts.get(place).copied());
            same(2) && (same(1) && (is_dotted || same(0) || is_day(0)) || same(0) && !is_dotted && is_day(1))
        }
        1 if parts.iter().all(|parts| parts.first().is_some_and(digits)) => {
            match parts.first().map_or(0, |one| one[0].len()) {
                8 => same(&|parts| parts[0].get(..6)) || same(&|parts| parts[0].get(2..)),
                3 | 4 => same(&|parts| parts[0].len().checked_sub(2).and_then(|at| parts[0].get(at..))),
                _ => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_tells_what_its_column_tells_apart() {
        for heading in
            ["Legal entity", "Subsidiary", "CoCd", "SUMMARY_FLAG", "Société", "帳別", "Crcy", "Posting layer"]
        {
            assert_eq!(divides(heading), Some(Divides::Books), "{heading}");
        }
        for heading in ["Período", "Belegdatum", "As of", "Mois", "会计期间", "Jahr"] {
            assert_eq!(divides(heading), Some(Divides::Periods), "{heading}");
        }
        for heading in
            ["Booking text", "Name", "Cost centre", "Currentness", "Mesure", "Partner company", "Year opened"]
        {
            assert_eq!(divides(heading), None, "{heading}");
        }
    }

    #[test]
    fn dates_of_one_month_tell_no_periods_apart() {
        let one = |texts: &[&str]| is_one_month(texts.iter().copied());
        for month in [
            &["2022-06-01", "2022-06-30T00:00:00"][..],
            &["01.06.2022", "30.06.2022", ""],
            &["6/1/2022", "6/30/2022"],
            &["1/6/22", "30/6/22"],
            &["20220601", "20220630"],
            &["106", "3006"],
        ] {
            assert!(one(month), "{month:?}");
        }
        for months in [
            &["2022-05-31", "2022-06-01"][..],
            &["2022-06-01", "2022-07-01"],
            &["01.06.2022", "01.07.2022"],
            &["6/1/2022", "7/1/2022"],
            &["20220601", "20220701"],
            &["2022-05", "2022-06"],
            &["3105", "0106"],
            &["5", "6"],
        ] {
            assert!(!one(months), "{months:?}");
        }
    }

    #[test]
    fn a_few_texts_with_the_same_accounts_that_each_sum_to_nil_are_books() {
        let column = |rows: &[(&str, &str, &str)]| {
            let mut column = DividingColumn::new("Kind".to_owned());
            for (text, account, balance) in rows {
                column.add(text, "", account, balance.parse().unwrap());
            }
            column.told().map(|(divides, _)| divides)
        };
        let of = |text: &'static str, accounts: [&'static str; 4], balances: [&'static str; 4]| {
            accounts.into_iter().zip(balances).map(|(account, balance)| (text, account, balance)).collect::<Vec<_>>()
        };
        let (same, others) = (["1", "2", "3", "4"], ["5", "6", "7", "8"]);
        let (nil, other_nil) = (["5", "-5", "2", "-2"], ["7", "-7", "1", "-1"]);
        assert_eq!(column(&[of("X", same, nil), of("Y", same, other_nil)].concat()), Some(Divides::Books));
        assert_eq!(column(&[of("X", same, nil), of("Y", others, other_nil)].concat()), Some(Divides::Books));
        assert_eq!(column(&[of("X", same, nil), of("Y", same, ["7", "-7", "1", "-2"])].concat()), None, "cost centres");
        let postings = [of("X", same, nil), of("Y", same, nil), of("X", same, other_nil), of("Y", same, nil)].concat();
        assert_eq!(column(&postings), None, "kinds of documents");
        let documents = [("X", "1", "5"), ("X", "2", "-5"), ("Y", "1", "7"), ("Y", "4", "-7")];
        assert_eq!(column(&documents), None, "documents");
        let sides = [of("S", same, nil), of("H", others, other_nil), vec![("", "9", "0")]].concat();
        assert_eq!(column(&sides), None, "sides");
    }
}
