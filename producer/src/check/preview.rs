//! The rows that would be loaded: the first of them, the accounts that they come to, and the keys that stand twice.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    amount::{Amount, Sum},
    file::{
        mapping_profile::RepeatedKeys,
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
    pub(super) fn new(repeated: RepeatedKeys) -> Self {
        Self {
            repeated,
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
}
