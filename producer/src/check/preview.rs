//! The rows that would be loaded, as far as they are shown, and the keys that stand twice.

use std::collections::HashMap;

use serde::Serialize;
use shared::{
    file::{
        mapping_profile::RepeatedKeys,
        trial_balance::{LedgerRow, RowSink},
    },
    message::failure::{BadRow, Failure},
};

/// Rows that are shown.
const SHOWN: usize = 5;
/// Repeated keys that are listed.
const LISTED: usize = 1_000;

/// Takes the rows that would be loaded.
pub(super) struct Preview {
    repeated: RepeatedKeys,
    /// The first rows.
    pub(super) first: Vec<ShownRow>,
    /// The line on which each key stands first, by company and account.
    keys: HashMap<(String, String), u64>,
    /// Rows whose key stands on an earlier line, if that is a mistake.
    pub(super) twice: Vec<BadRow>,
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

impl Preview {
    pub(super) fn new(repeated: RepeatedKeys) -> Self {
        Self { repeated, first: Vec::new(), keys: HashMap::new(), twice: Vec::new() }
    }

    /// How many accounts there are.
    pub(super) fn accounts(&self) -> usize {
        self.keys.len()
    }
}

impl RowSink for Preview {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        if self.first.len() < SHOWN {
            self.first.push(ShownRow {
                line: row.line,
                company_code: row.company_code.to_string(),
                account_code: row.account_code.to_string(),
                account_name: row.texts[0].as_deref().map(str::to_owned),
                balance: row.amounts[0].unwrap_or_default().to_string(),
            });
        }
        let key = (row.company_code.to_string(), row.account_code.to_string());
        let Some(earlier) = self.keys.get(&key).copied() else {
            self.keys.insert(key, row.line);
            return Ok(());
        };
        if self.repeated == RepeatedKeys::Refuse && self.twice.len() < LISTED {
            let reason = format!("has the same company_code and account_code as line {earlier}");
            self.twice.push(BadRow { line: row.line, column: Some("account_code".to_owned()), reason });
        }
        Ok(())
    }

    fn rejected(&mut self, _: &BadRow, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}
