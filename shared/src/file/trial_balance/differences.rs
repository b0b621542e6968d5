//! Rows of one account that are added up and do not agree in their texts: the first row's count, and that is told.

use std::hash::BuildHasher;

use foldhash::{HashMap, HashMapExt, quality::FixedState};

use super::LedgerRow;
use crate::file::columns::ERP_TEXTS;

/// Accounts whose rows are compared; 64 bytes each.
const COMPARED: usize = 1 << 18;

/// Compares the texts of rows that are added up.
pub(super) struct Differences {
    hasher: FixedState,
    accounts: HashMap<u64, Account>,
    is_full: bool,
    /// By the place of the text.
    columns: [Differing; ERP_TEXTS.len()],
}

struct Account {
    line: u64,
    /// Hashes of its first row's texts.
    texts: [u32; ERP_TEXTS.len()],
    /// Which texts differ, a bit each.
    differs: u8,
}

#[derive(Clone, Copy, Default)]
struct Differing {
    accounts: u64,
    /// Lines of the first two rows.
    first: Option<(u64, u64)>,
}

impl Differences {
    pub(super) fn new() -> Self {
        Self {
            hasher: FixedState::with_seed(0),
            accounts: HashMap::new(),
            is_full: false,
            columns: [Differing::default(); ERP_TEXTS.len()],
        }
    }

    /// Takes in a row.
    pub(super) fn add(&mut self, row: &LedgerRow<'_>) {
        let key = self.hasher.hash_one((row.company_code.as_ref(), row.account_code.as_ref()));
        let mut texts = [0; ERP_TEXTS.len()];
        for (hash, text) in texts.iter_mut().zip(&row.texts) {
            *hash = self.hasher.hash_one(text.as_deref()) as u32;
        }
        let Some(account) = self.accounts.get_mut(&key) else {
            if self.accounts.len() < COMPARED {
                self.accounts.insert(key, Account { line: row.line, texts, differs: 0 });
            } else {
                self.is_full = true;
            }
            return;
        };
        for (place, (column, (known, text))) in
            self.columns.iter_mut().zip(account.texts.iter().zip(&texts)).enumerate()
        {
            let bit = 1 << place;
            if known != text && account.differs & bit == 0 {
                account.differs |= bit;
                column.accounts += 1;
                column.first = column.first.or(Some((account.line, row.line)));
            }
        }
    }

    /// What a person should look at.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let told = ERP_TEXTS.iter().zip(&self.columns).filter_map(|(name, column)| {
            let (first, second) = column.first?;
            Some(format!(
                "accounts whose rows are added up and differ in {name}: {}, the first on lines {first} and {second}; the \
                 first row's counts",
                column.accounts
            ))
        });
        let more =
            self.is_full.then(|| format!("the texts of rows past the first {COMPARED} accounts were not compared"));
        told.chain(more)
    }
}
