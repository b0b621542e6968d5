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

use super::{
    groups::groups,
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
        self.others.iter().flat_map(BTreeMap::values).filter_map(OtherColumn::amounts).collect()
    }

    /// Columns that tell rows of one account apart, which are added up all the same: their names and first texts.
    pub(super) fn added_up_across(&self) -> Vec<String> {
        let several = self.dividing.values().filter(|(_, texts)| texts.len() > 1);
        let told = several.map(|(name, texts)| {
            format!("{name:?} ({})", texts.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
        });
        told.collect()
    }

    /// Accounts that are the sum of those whose codes begin with theirs.
    pub(super) fn groups(&self) -> Vec<&str> {
        let accounts = self.accounts.iter();
        let balances = accounts.filter_map(|((company, code), account)| {
            Some(((company.as_str(), code.as_str()), account.balance.total()?))
        });
        groups(&balances.collect())
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
        if self.repeated != RepeatedKeys::Sum {
            return;
        }
        let has_period = layout.origins().iter().any(|(target, _)| *target == "period");
        let divides = |name: &str| {
            let name = name.to_lowercase();
            let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
            has(&OF_BOOKS) || !has_period && has(&OF_PERIODS)
        };
        let dividing = unknown().filter(|(_, name)| divides(name));
        self.dividing = dividing.map(|(place, name)| (place, (name.clone(), BTreeSet::new()))).collect();
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
        if self.others.is_none() {
            self.begin(layout);
        }
        for (place, (_, texts)) in &mut self.dividing {
            if texts.len() < TEXTS {
                texts.insert(record.get(*place).unwrap_or_default().trim().to_owned());
            }
        }
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
