//! Rows that give way to a later one of their account: they are in the file and not in the ledger, and that is told.

use std::hash::BuildHasher;

use foldhash::{HashMap, HashMapExt, quality::FixedState};

use super::{LedgerRow, left_out::Money};
use crate::amount::Amount;

/// Accounts whose rows are followed.
const FOLLOWED: usize = 1 << 18;

/// Counts the rows that give way, in rows and in money.
pub(super) struct Superseded {
    hasher: FixedState,
    /// By account, the balance of its last row so far.
    last: HashMap<u64, Amount>,
    rows: u64,
    money: Money,
    is_full: bool,
}

impl Superseded {
    pub(super) fn new() -> Self {
        let hasher = FixedState::with_seed(0);
        Self { hasher, last: HashMap::new(), rows: 0, money: Money::default(), is_full: false }
    }

    /// Takes in a row.
    pub(super) fn add(&mut self, row: &LedgerRow<'_>) {
        let key = self.hasher.hash_one((row.company_code.as_ref(), row.account_code.as_ref()));
        let balance = row.amounts[0].unwrap_or_default();
        if let Some(last) = self.last.get_mut(&key) {
            self.rows += 1;
            self.money.add(std::mem::replace(last, balance));
        } else if self.last.len() < FOLLOWED {
            self.last.insert(key, balance);
        } else {
            self.is_full = true;
        }
    }

    /// What a person should look at.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let told = (self.rows > 0).then(|| {
            format!(
                "rows that give way to a later one of the same account: {}; {}; control totals and the nil check count \
                 them",
                self.rows,
                self.money.told()
            )
        });
        let more =
            self.is_full.then(|| format!("rows that give way past the first {FOLLOWED} accounts were not counted"));
        told.into_iter().chain(more)
    }
}
