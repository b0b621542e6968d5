//! The rows that would be loaded: the first of them, the accounts that they come to, the keys that stand twice, and
//! what else of the file looks like amounts.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared::{
    amount::{Amount, Sum},
    file::{
        amount_text::AmountReader,
        columns::key_of,
        layout::Layout,
        mapping_profile::{DecimalMark, MappingProfile, RepeatedKeys},
        records::Record,
        trial_balance::{LedgerRow, RowSink},
    },
    message::failure::{BadRow, Failure},
};

/// Rows that are shown.
const SHOWN: usize = 5;
/// Bad rows that are shown as they stand in the file.
const RAW: usize = 20;
/// Repeated keys that are listed.
const LISTED: usize = 1_000;

/// Takes the rows that would be loaded.
pub(super) struct Preview {
    repeated: RepeatedKeys,
    /// The first rows.
    pub(super) first: Vec<ShownRow>,
    /// By company and account.
    accounts: BTreeMap<(String, String), Account>,
    /// Rows whose key stands on an earlier line, if that is a mistake; at most 1,000 are listed.
    pub(super) twice: Vec<BadRow>,
    /// How many they are.
    pub(super) twice_total: u64,
    /// The first bad rows as they stand in the file, by their lines.
    pub(super) raw: BTreeMap<u64, String>,
    /// The bad cells of the first bad rows, by their lines.
    pub(super) bad_cells: BTreeMap<u64, Vec<BadCell>>,
    nameless: u64,
    /// Columns that the profile names as other amounts, by their keys.
    known: Vec<String>,
    reader: AmountReader,
    /// Columns that no rule names, by their places.
    others: Option<BTreeMap<usize, Other>>,
    /// Columns by which rows of one account may differ, by their places: their names and first texts.
    dividing: BTreeMap<usize, (String, BTreeSet<String>)>,
}

/// Words of headings that tell rows of different periods apart, and of different books.
const OF_PERIODS: [&str; 8] = ["period", "date", "datum", "year", "jahr", "month", "monat", "日付"];
const OF_BOOKS: [&str; 9] =
    ["ledger", "company", "currency", "crcy", "scenario", "balance type", "währung", "buchungskreis", "会社"];
/// Texts of such a column that are told.
const TEXTS: usize = 5;

/// A cell of the file that makes a row bad.
#[derive(Debug, Serialize)]
pub(super) struct BadCell {
    /// The file's own name of the column.
    pub(super) column: String,
    pub(super) text: String,
}

/// A column of the file that no rule names, and what its cells are as amounts.
#[derive(Debug, Default)]
struct Other {
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OtherAmounts {
    pub(super) column: String,
    pub(super) amounts: u64,
    pub(super) sum: Option<Amount>,
}

/// A row as it would be loaded.
#[derive(Debug, Serialize)]
pub(super) struct ShownRow {
    pub(super) line: u64,
    pub(super) company_code: String,
    pub(super) account_code: String,
    pub(super) account_name: Option<String>,
    pub(super) balance: String,
}

/// An account as the ledger would hold it.
#[derive(Debug)]
struct Account {
    /// The first line on which it stands.
    line: u64,
    rows: u64,
    balance: Sum,
    name: Option<String>,
    bs_pl: Option<String>,
    status: Option<String>,
}

/// An account as the ledger would hold it, its rows added up.
#[derive(Debug, Serialize)]
pub(super) struct ListedAccount {
    pub(super) company_code: String,
    pub(super) account_code: String,
    pub(super) account_name: Option<String>,
    pub(super) bs_pl: Option<String>,
    pub(super) status: Option<String>,
    pub(super) rows: u64,
    pub(super) balance: Option<Amount>,
}

/// The figures of a slice as the ledger would hold them: an amount is absent if it is past 18 integer digits.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) balance_sum: Option<Amount>,
    /// The sum of the accounts that are in debit.
    pub(super) debit: Option<Amount>,
    /// The sum of the accounts that are in credit, below zero.
    pub(super) credit: Option<Amount>,
    /// The sums by class; the blank one has an empty name.
    pub(super) by_bs_pl: BTreeMap<String, Option<Amount>>,
    pub(super) by_status: BTreeMap<String, Option<Amount>>,
}

/// The codes of accounts that are the sum of the deepest ones whose codes begin with theirs, of accounts that are
/// sorted by company and code. One alone may be chance.
pub(super) fn groups_of<'a>(accounts: &[(&'a str, &'a str, i128)]) -> Vec<&'a str> {
    let below = |place: usize| {
        let (company, code, _) = accounts[place];
        accounts[place + 1..].iter().take_while(move |(other, longer, _)| *other == company && longer.starts_with(code))
    };
    let is_deepest = |place: usize| below(place).next().is_none();
    let mut groups = Vec::new();
    for (place, (_, code, balance)) in accounts.iter().enumerate() {
        let deepest = (place + 1..=place + below(place).count()).filter(|place| is_deepest(*place));
        let (count, sum) = deepest.fold((0_u32, 0_i128), |(count, sum), place| (count + 1, sum + accounts[place].2));
        if count > 0 && sum == *balance && sum != 0 {
            groups.push(*code);
        }
    }
    if groups.len() > 1 { groups } else { Vec::new() }
}

/// Whether a cell is a figure with a sign, a decimal mark or a currency beside it, however it is written.
fn is_figure(cell: &str) -> bool {
    let is_beside = |c: char| c.is_alphabetic() || c.is_whitespace() || "€$£¥₹=.".contains(c);
    let figure = cell.trim_start_matches(is_beside).trim_end_matches(is_beside);
    // A text that merely holds a number, such as a date or a document, has letters between or more parts.
    let marks = figure.chars().filter(|c| matches!(c, '.' | ',')).count();
    let letters = cell.chars().filter(|c| c.is_alphabetic()).count();
    // Letters that touch the digits make a code, unless a decimal mark says otherwise.
    let stands_apart = figure.len() < cell.len()
        && (cell.contains(char::is_whitespace) || cell.contains(['€', '$', '£', '¥', '₹', '=']));
    let digits = figure.chars().filter(char::is_ascii_digit).count();
    let others = figure.chars().all(|c| c.is_ascii_digit() || ".,'\u{a0} \u{202f}-+()".contains(c));
    digits > 0 && others && letters <= 3 && (marks > 0 || stands_apart) && !looks_like_date(figure)
}

/// Whether it is three groups of digits, as a date.
fn looks_like_date(figure: &str) -> bool {
    let groups: Vec<&str> = figure.split(['.', '-']).collect();
    groups.len() == 3 && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_digit()) && group.len() != 3)
}

impl OtherAmounts {
    /// What a person is told of it.
    pub(super) fn told(&self) -> String {
        match self.sum {
            Some(sum) => format!("{:?}: {} amounts that sum to {sum}", self.column, self.amounts),
            None => format!("{:?}: {} amounts, of which the profile cannot tell the sum", self.column, self.amounts),
        }
    }
}

impl Preview {
    /// How many rows have no name.
    pub(super) fn nameless(&self) -> u64 {
        self.nameless
    }

    pub(super) fn new(profile: &MappingProfile) -> Self {
        Self {
            repeated: profile.repeated_keys,
            reader: AmountReader::new(&profile.amounts),
            nameless: 0,
            known: profile.other_amounts.iter().map(|name| key_of(name)).collect(),
            others: None,
            dividing: BTreeMap::new(),
            bad_cells: BTreeMap::new(),
            first: Vec::new(),
            accounts: BTreeMap::new(),
            twice: Vec::new(),
            twice_total: 0,
            raw: BTreeMap::new(),
        }
    }

    /// How many accounts there are.
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// The figures of all accounts.
    pub(super) fn figures(&self) -> Figures {
        let (mut sum, mut debit, mut credit) = (Sum::default(), Sum::default(), Sum::default());
        let (mut by_bs_pl, mut by_status): (BTreeMap<String, Sum>, BTreeMap<String, Sum>) = Default::default();
        for account in self.accounts.values() {
            let Some(balance) = account.balance.total() else { return Figures::default() };
            sum.add(balance);
            if balance < Amount::ZERO {
                credit.add(balance)
            } else {
                debit.add(balance)
            }
            for (classes, class) in [(&mut by_bs_pl, &account.bs_pl), (&mut by_status, &account.status)] {
                classes.entry(class.clone().unwrap_or_default()).or_default().add(balance);
            }
        }
        let totals =
            |classes: BTreeMap<String, Sum>| classes.into_iter().map(|(name, sum)| (name, sum.total())).collect();
        Figures {
            balance_sum: sum.total(),
            debit: debit.total(),
            credit: credit.total(),
            by_bs_pl: totals(by_bs_pl),
            by_status: totals(by_status),
        }
    }

    /// The columns that hold amounts which are not those of the balance, and that no rule names.
    pub(super) fn other_amounts(&self) -> Vec<OtherAmounts> {
        let others = self.others.iter().flat_map(BTreeMap::values);
        let are_amounts = |other: &&Other| {
            let looks = other.has_mark || super::suggest::names_amount(&other.name);
            let is_code = super::suggest::names_code(&other.name);
            other.differs && other.amounts > 0 && other.texts * 10 <= other.amounts && looks && !is_code
        };
        let told = others.filter(are_amounts).map(|other| OtherAmounts {
            column: other.name.clone(),
            amounts: other.amounts,
            sum: other.sum.total().filter(|_| other.unread == 0),
        });
        told.collect()
    }

    /// Columns that tell rows of one account apart, which are added up all the same: their names and first texts.
    pub(super) fn added_up_across(&self) -> Vec<String> {
        let several = self.dividing.values().filter(|(_, texts)| texts.len() > 1);
        let told = several.map(|(name, texts)| {
            format!("{name:?} ({})", texts.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
        });
        told.collect()
    }

    /// Accounts that are the sum of those whose codes begin with theirs: groups, which count twice.
    pub(super) fn groups(&self) -> Vec<&str> {
        let codes: Vec<(&str, &str, i128)> = self
            .accounts
            .iter()
            .filter_map(|((company, code), account)| {
                Some((company.as_str(), code.as_str(), account.balance.total()?.units()))
            })
            .collect();
        groups_of(&codes)
    }

    /// All accounts, by their codes.
    pub(super) fn listed(self) -> Vec<ListedAccount> {
        let accounts = self.accounts.into_iter();
        let listed = accounts.map(|((company_code, account_code), account)| ListedAccount {
            company_code,
            account_code,
            account_name: account.name,
            bs_pl: account.bs_pl,
            status: account.status,
            rows: account.rows,
            balance: account.balance.total(),
        });
        listed.collect()
    }
}

impl RowSink for Preview {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        let balance = row.amounts[0].unwrap_or_default();
        self.nameless += u64::from(row.texts[0].is_none());
        if self.first.len() < SHOWN {
            self.first.push(ShownRow {
                line: row.line,
                company_code: row.company_code.to_string(),
                account_code: row.account_code.to_string(),
                account_name: row.texts[0].as_deref().map(str::to_owned),
                balance: balance.to_string(),
            });
        }
        let text = |place: usize| row.texts[place].as_deref().map(|text| text.trim().to_owned());
        let new = || Account {
            line: row.line,
            rows: 0,
            balance: Sum::default(),
            name: text(0),
            bs_pl: text(1),
            status: text(2),
        };
        let key = (row.company_code.to_string(), row.account_code.to_string());
        let account = self.accounts.entry(key).or_insert_with(new);
        account.rows += 1;
        match self.repeated {
            RepeatedKeys::Last => {
                let (line, rows) = (account.line, account.rows);
                *account = Account { line, rows, ..new() };
            }
            RepeatedKeys::Refuse if account.rows > 1 => {
                self.twice_total += 1;
                if self.twice.len() < LISTED {
                    let reason = format!("has the same company_code and account_code as line {}", account.line);
                    self.twice.push(BadRow { line: row.line, column: Some("account_code".to_owned()), reason });
                }
            }
            RepeatedKeys::Refuse | RepeatedKeys::Sum => {}
        }
        account.balance.add(balance);
        Ok(())
    }

    fn rejected(&mut self, row: &BadRow, raw: &str) -> Result<(), Failure> {
        if self.raw.len() < RAW {
            self.raw.insert(row.line, raw.to_owned());
        }
        Ok(())
    }

    fn seen(&mut self, record: &Record<'_>, layout: &Layout, decimal: DecimalMark, balance: Option<Amount>) {
        let others = self.others.get_or_insert_with(|| {
            let columns = &layout.columns;
            let is_open = |place: &usize| {
                let name = &columns.names[*place];
                columns.extra_columns.contains(name) && !self.known.contains(&key_of(name))
            };
            let unknown = (0..columns.names.len()).filter(is_open);
            let has_period = layout.origins().iter().any(|(target, _)| *target == "period");
            if self.repeated == RepeatedKeys::Sum {
                let divides = |name: &str| {
                    let name = name.to_lowercase();
                    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
                    has(&OF_BOOKS) || !has_period && has(&OF_PERIODS)
                };
                let columns = (0..columns.names.len()).filter(|place| {
                    let name = &columns.names[*place];
                    columns.extra_columns.contains(name) && divides(name)
                });
                self.dividing =
                    columns.map(|place| (place, (layout.columns.names[place].clone(), BTreeSet::new()))).collect();
            }
            unknown.map(|place| (place, Other { name: columns.names[place].clone(), ..Other::default() })).collect()
        });
        for (place, (_, texts)) in &mut self.dividing {
            if texts.len() < TEXTS {
                texts.insert(record.get(*place).unwrap_or_default().trim().to_owned());
            }
        }
        for (place, other) in others {
            let cell = record.get(*place).unwrap_or_default().trim();
            let read = self.reader.read(cell, if record.is_number(*place) { DecimalMark::Point } else { decimal });
            match read {
                // It may be written in a way that the profile does not know, beside amounts that it knows.
                Err(_) if is_figure(cell) => {
                    (other.amounts, other.unread) = (other.amounts + 1, other.unread + 1);
                    (other.has_mark, other.differs) = (true, true);
                }
                Ok(None) => other.differs |= balance.is_some_and(|balance| balance != Amount::ZERO),
                Ok(Some(amount)) => {
                    other.amounts += 1;
                    other.sum.add(amount);
                    other.has_mark |= cell.contains(['.', ',', '-', '(', '\u{2212}', '△', '▲']);
                    other.differs |= balance.unwrap_or_default() != amount;
                }
                Err(_) => other.texts += 1,
            }
        }
    }

    fn seen_bad(&mut self, row: &BadRow, record: &Record<'_>, layout: &Layout) {
        if self.bad_cells.len() >= RAW {
            return;
        }
        let Some(column) = row.column.as_deref() else { return };
        let origins = layout.origins().into_iter().find(|(target, _)| *target == column).map(|(_, places)| places);
        let cells = origins.unwrap_or_default().into_iter().filter_map(|place| {
            let column = layout.columns.names.get(place)?.clone();
            Some(BadCell { column, text: record.get(place).unwrap_or_default().to_owned() })
        });
        self.bad_cells.insert(row.line, cells.collect());
    }
}
