//! What a catalogue learns of a file beside the receipt.

use shared::{
    amount::Amount,
    file::{data_profile::NilCheck, trial_balance::CheckedSlice},
    message::event::{Event, EventType},
};

/// What was seen of a slice's rows. No cell of the ledger is in it but sums.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The columns of the file, and what their cells hold.
    pub(super) columns: Vec<(String, &'static str)>,
    /// Rows of the slice.
    pub(super) rows: u64,
    /// Bytes of the file.
    pub(super) bytes: Option<u64>,
    /// Balances that are blank.
    pub(super) blank_balances: u64,
    /// Distinct values of columns.
    pub(super) distinct: Vec<(&'static str, usize)>,
    /// Whether the slice sums to nil.
    pub(super) nil: NilCheck,
    /// The sum of its balances.
    pub(super) balance_sum: Amount,
    /// Bad rows that were put aside.
    pub(super) bad_rows: u64,
}

impl Facts {
    /// Takes them from what was read, and from what the attempt has recorded.
    pub(super) fn of(checked: &CheckedSlice, events: &[Event]) -> Self {
        let profile = &checked.profile;
        let kind = |name: &String| profile.data_types.get(name).copied().unwrap_or("text");
        let read = events.iter().find(|event| event.event_type == EventType::FingerprintCreated);
        Self {
            columns: profile.columns.iter().map(|name| (name.clone(), kind(name))).collect(),
            rows: profile.row_count,
            bytes: read.and_then(|event| event.metadata.get("bytes")?.as_u64()),
            blank_balances: profile.blank_balances,
            // Columns that the file lacks count as 0, and are none of its columns.
            distinct: profile
                .unique_counts
                .iter()
                .map(|(name, count)| (*name, *count))
                .filter(|one| one.1 > 0)
                .collect(),
            nil: profile.nil_check.clone(),
            balance_sum: checked.balance_sum,
            bad_rows: checked.failed,
        }
    }
}
