//! The rows that would be loaded: the first of them, the accounts that they come to, the keys that stand twice, and
//! what else of the file looks like amounts.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    amount::{Amount, Sum},
    file::{
        amount_text::AmountReader,
        columns::key_of,
        layout::Layout,
        mapping_profile::{DecimalMark, MappingProfile, RepeatedKeys},
        records::Record,
        trial_balance::{LedgerRow, RowSink, names_total},
    },
    message::failure::{BadRow, Failure},
};

use super::{
    dividing::{Divides, DividingColumn},
    groups::{Entry, groups},
    other_amounts::{OtherAmounts, OtherColumn},
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
    others: Option<BTreeMap<usize, OtherColumn>>,
    /// Columns that no rule names and that may tell books or periods apart, by their places.
    dividing: BTreeMap<usize, DividingColumn>,
    /// What stands in them on the row at hand.
    at_hand: Vec<(usize, String)>,
    /// Whether each row is of a period that the file names.
    has_period: bool,
}

/// A cell of the file that makes a row bad.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BadCell {
    /// The file's own name of the column.
    pub(crate) column: String,
    pub(crate) text: String,
}

/// A row as it would be loaded.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownRow {
    pub(crate) line: u64,
    pub(crate) company_code: String,
    pub(crate) account_code: String,
    pub(crate) account_name: Option<String>,
    pub(crate) balance: String,
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
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedAccount {
    pub(crate) company_code: String,
    pub(crate) account_code: String,
    pub(crate) account_name: Option<String>,
    pub(crate) bs_pl: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) rows: u64,
    pub(crate) balance: Option<Amount>,
}

/// The figures of a slice as the ledger would hold them: an amount is absent if it is past 18 integer digits.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Figures {
    pub(crate) balance_sum: Option<Amount>,
    /// The sum of the accounts that are in debit.
    pub(crate) debit: Option<Amount>,
    /// The sum of the accounts that are in credit, below zero.
    pub(crate) credit: Option<Amount>,
    /// The sums by class; the blank one has an empty name.
    pub(crate) by_bs_pl: BTreeMap<String, Option<Amount>>,
    pub(crate) by_status: BTreeMap<String, Option<Amount>>,
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
            at_hand: Vec::new(),
            has_period: false,
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
        self.figures_of(|_, _| true)
    }

    /// The figures without the accounts that are the sum of others, if there are such.
    pub(super) fn figures_without_groups(&self) -> Option<Figures> {
        let groups: BTreeSet<(&str, &str)> = self.group_keys().into_iter().collect();
        (!groups.is_empty()).then(|| self.figures_of(|company, code| !groups.contains(&(company, code))))
    }

    fn figures_of(&self, counts: impl Fn(&str, &str) -> bool) -> Figures {
        let (mut sum, mut debit, mut credit) = (Sum::default(), Sum::default(), Sum::default());
        let (mut by_bs_pl, mut by_status): (BTreeMap<String, Sum>, BTreeMap<String, Sum>) = Default::default();
        for (_, account) in self.accounts.iter().filter(|((company, code), _)| counts(company, code)) {
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
        self.others.iter().flat_map(BTreeMap::values).filter_map(OtherColumn::amounts).collect()
    }

    /// Columns that tell rows of different books or periods apart, which go into one slice all the same: their names,
    /// and what stands in them.
    pub(super) fn added_up_across(&self) -> Vec<String> {
        // A column of amounts, whose heading names a period, tells no rows apart.
        let is_amount = |place: &usize| self.others.as_ref().and_then(|others| others.get(place)?.amounts()).is_some();
        let told = self.dividing.iter().filter(|(place, _)| !is_amount(place)).filter_map(|(_, column)| column.told());
        let counts = told.filter(|(divides, _)| *divides == Divides::Books || !self.has_period);
        counts.map(|(_, told)| told).collect()
    }

    /// Accounts that call themselves a total.
    pub(super) fn totals(&self) -> Vec<&str> {
        let is_total = |code: &str, name: Option<&str>| names_total(code) || name.is_some_and(names_total);
        let totals = self.accounts.iter().filter(|((_, code), account)| is_total(code, account.name.as_deref()));
        totals.map(|((_, code), _)| code.as_str()).collect()
    }

    /// Accounts that are the sum of others, in the order of the file.
    pub(super) fn groups(&self) -> Vec<&str> {
        self.group_keys().into_iter().map(|(_, code)| code).collect()
    }

    /// Their companies and codes.
    fn group_keys(&self) -> Vec<(&str, &str)> {
        let mut accounts: Vec<_> = self.accounts.iter().collect();
        accounts.sort_by_key(|(_, account)| account.line);
        let entries = accounts
            .into_iter()
            .filter_map(|((company, code), account)| Some(Entry { company, code, balance: account.balance.total()? }));
        let entries: Vec<Entry<'_>> = entries.collect();
        let found = groups(&entries).into_iter().filter_map(|place| entries.get(place));
        found.map(|entry| (entry.company, entry.code)).collect()
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

impl Preview {
    /// Finds the columns that no rule names, once the file's columns are known.
    fn begin(&mut self, layout: &Layout) {
        let columns = &layout.columns;
        let unknown = || columns.names.iter().enumerate().filter(|(_, name)| columns.extra_columns.contains(name));
        let others = unknown().filter(|(_, name)| !self.known.contains(&key_of(name)));
        self.others = Some(others.map(|(place, name)| (place, OtherColumn::new(name.clone()))).collect());
        self.has_period = layout.origins().iter().any(|(target, _)| *target == "period");
        let other = |name: &&String| !self.known.contains(&key_of(name));
        let dividing =
            unknown().filter(|(_, name)| other(name)).map(|(place, name)| (place, DividingColumn::new(name.clone())));
        // Of a line with two accounts each side is booked, so that whatever stands on it sums to nil.
        self.dividing = dividing.filter(|(_, column)| !layout.has_contra() || column.is_of_periods()).collect();
        if layout.has_same() {
            let dividing = std::mem::take(&mut self.dividing).into_iter();
            self.dividing = dividing.filter_map(|(place, column)| Some((place, column.beside_same()?))).collect();
        }
    }
}

impl RowSink for Preview {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        let balance = row.amounts[0].unwrap_or_default();
        for (place, text) in std::mem::take(&mut self.at_hand) {
            if let Some(column) = self.dividing.get_mut(&place) {
                column.add(&text, &row.company_code, &row.account_code, balance);
            }
        }
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
                    self.twice.push(BadRow {
                        line: row.line,
                        column: Some("account_code".to_owned()),
                        reason,
                        text: None,
                    });
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
        if self.others.is_none() {
            self.begin(layout);
        }
        let text = |place: usize| record.get(place).unwrap_or_default().trim().to_owned();
        let open = self.dividing.iter().filter(|(_, column)| column.looks_on());
        self.at_hand = open.map(|(place, _)| (*place, text(*place))).collect();
        for (place, other) in self.others.iter_mut().flatten() {
            let decimal = if record.is_number(*place) { DecimalMark::Point } else { decimal };
            other.look(record.get(*place).unwrap_or_default().trim(), &self.reader, decimal, balance);
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
