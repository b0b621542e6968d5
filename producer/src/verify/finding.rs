//! What `verify` finds, and what is to be done about it.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use shared::slice::Slice;
use uuid::Uuid;

/// The entity and period of a chain or slice, as the stores have them: they may be no valid codes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "FindingSlice")]
pub(crate) struct Name {
    pub(crate) entity: String,
    pub(crate) period: String,
}

impl Name {
    /// The slice of that name, if it can be one.
    pub(super) fn slice(&self) -> Option<Slice> {
        Some(Slice { entity: self.entity.parse().ok()?, period: self.period.parse().ok()? })
    }
}

impl From<&Slice> for Name {
    fn from(slice: &Slice) -> Self {
        Self { entity: slice.entity.to_string(), period: slice.period.to_string() }
    }
}

macro_rules! codes {
    ($($code:ident = $name:literal, $remedy:literal;)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "FindingCode")]
        pub(crate) enum Code {
            $(#[serde(rename = $name)] $code,)*
        }

        impl Code {
            /// Its name in answers and events.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// What is to be done about it.
            pub(super) fn remedy(self) -> &'static str {
                match self { $(Self::$code => $remedy,)* }
            }
        }
    };
}

/// What makes a chain less than whole.
pub(super) const CHAIN: [Code; 6] = [
    Code::AuditChanged,
    Code::AuditRemoved,
    Code::AuditAdded,
    Code::AuditReordered,
    Code::AuditRewritten,
    Code::OutboxChanged,
];

codes! {
    AuditChanged = "audit_changed",
        "find out who wrote to MongoDB, and compare with a backup; a chain is never rewritten, so this stays";
    AuditRemoved = "audit_removed",
        "find out who wrote to MongoDB, and restore the events, as they were, from a backup of it";
    AuditAdded = "audit_added",
        "was PostgreSQL restored from an older backup? else find out who wrote to MongoDB, keep a copy, remove them";
    AuditReordered = "audit_reordered",
        "find out who wrote to MongoDB, and restore the events, as they were, from a backup of it";
    AuditRewritten = "audit_rewritten",
        "the chain's end is not the one that PostgreSQL wrote: compare both with backups from before";
    AnchorBroken = "anchor_broken",
        "trail and books were rewritten since the anchor: compare both stores with backups, and trust no figure of it";
    ChainHalted = "chain_halted",
        "mend what is named (the other findings of this chain tell), then: verify --repair";
    OutboxChanged = "outbox_changed",
        "find out who wrote to PostgreSQL's audit_outbox, and restore the event from a backup";
    RowsChanged = "rows_changed",
        "find out who wrote to PostgreSQL; load the export again with skip_duplicates false, mode replace if it is full";
    RowsOfNoRun = "rows_of_no_run",
        "find out who wrote to PostgreSQL; a full export with mode replace, skip_duplicates false takes them away";
    SliceChanged = "slice_changed",
        "find out who wrote to PostgreSQL's slices; load the newest export again with skip_duplicates false";
    RunMissing = "run_missing",
        "restore the run from a backup of PostgreSQL, or load the export again with skip_duplicates false";
    RunChanged = "run_changed",
        "find out who wrote to PostgreSQL's ingestion_runs; what the audit trail says was written by the worker";
    EventsMissing = "events_missing",
        "compare the job's events with the log of its worker and with backups; they cannot be derived";
    RunStalled = "run_stalled",
        "see that a worker runs and is ready; else its message may have been purged: publish it again, as it was";
    OutboxOverdue = "outbox_overdue",
        "see that a worker runs and reaches MongoDB: its /readyz and log say what is wrong; then it is delivered";
    CacheOverdue = "cache_overdue",
        "see that a worker runs and can write to AURA_CACHE_URL: its /readyz and log say what is wrong; then it is";
    MetadataMissing = "metadata_missing",
        "verify --repair writes what can be derived; the data profile comes only from a backup or by loading again";
    MetadataChanged = "metadata_changed",
        "find out who wrote to MongoDB; restore the document, or remove it and: verify --repair";
    MetadataUnknown = "metadata_unknown",
        "was PostgreSQL restored from an older backup? else find out who wrote to MongoDB, and remove the document";
    ParquetMissing = "parquet_missing", "verify --repair, with a worker running";
    ParquetStale = "parquet_stale", "verify --repair, with a worker running";
    ParquetWrong = "parquet_wrong", "find out who wrote to the cache; verify --repair, with a worker running";
    ParquetUnreadable = "parquet_unreadable", "verify --repair, with a worker running";
    ParquetDisputed = "parquet_disputed",
        "one of both was changed, and nothing tells which: load the export again with skip_duplicates false";
    ParquetUnknown = "parquet_unknown",
        "was PostgreSQL restored from an older backup? else remove the file, which readers take for a slice's";
    LetterUnwritten = "letter_unwritten",
        "RabbitMQ put it there, or something moved it, or PostgreSQL was restored: verify --repair writes it down";
    LetterGone = "letter_gone",
        "was the queue purged, or restored? if its job is still to be done, publish it again; verify --repair notes it";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Finding {
    pub(crate) code: Code,
    #[serde(flatten)]
    pub(crate) name: Name,
    pub(crate) job_id: Option<Uuid>,
    pub(crate) detail: String,
    pub(crate) remedy: &'static str,
    /// Whether it was put back, or is on its way to be.
    pub(crate) repaired: bool,
    /// What `--repair` did, or why it could not.
    pub(crate) repair: Option<String>,
}

/// The findings about one chain and slice.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) name: Name,
    pub(super) list: Vec<Finding>,
}

impl Findings {
    pub(super) fn about(name: &Name) -> Self {
        Self { name: name.clone(), list: Vec::new() }
    }

    pub(super) fn add(&mut self, code: Code, detail: impl Into<String>) {
        self.add_of(code, None, detail);
    }

    pub(super) fn add_of(&mut self, code: Code, job_id: Option<Uuid>, detail: impl Into<String>) {
        self.list.push(Finding {
            code,
            name: self.name.clone(),
            job_id,
            detail: detail.into(),
            remedy: code.remedy(),
            repaired: false,
            repair: None,
        });
    }

    pub(super) fn has(&self, codes: &[Code]) -> bool {
        self.list.iter().any(|finding| codes.contains(&finding.code))
    }
}

/// Numbers in their order; those that follow each other are kept as one range.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    pub(super) fn push(&mut self, number: i64) {
        self.push_all(number, number);
    }

    pub(super) fn push_all(&mut self, begin: i64, end: i64) {
        match self.0.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(begin) => *last = end,
            _ => self.0.push((begin, end)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those above a number.
    pub(super) fn above(self, number: i64) -> Self {
        let above = self.0.into_iter().filter(|(_, end)| *end > number);
        Self(above.map(|(begin, end)| (begin.max(number.saturating_add(1)), end)).collect())
    }
}

/// As people write them: `3, 5-7 and 12 more`.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (place, (begin, end)) in self.0.iter().take(SHOWN).enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            if begin == end { write!(f, "{begin}")? } else { write!(f, "{begin}-{end}")? }
        }
        let more = self.0.iter().skip(SHOWN).map(|(begin, end)| end.abs_diff(*begin).saturating_add(1));
        let more = more.fold(0_u64, u64::saturating_add);
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(numbers: impl IntoIterator<Item = i64>) -> Ranges {
        let mut ranges = Ranges::default();
        numbers.into_iter().for_each(|number| ranges.push(number));
        ranges
    }

    #[test]
    fn numbers_in_a_row_are_told_as_a_range() {
        assert_eq!(ranges([3, 5, 6, 7, 9]).to_string(), "3, 5-7, 9");
        let odd = ranges((0..15).map(|number| number * 2));
        assert_eq!(odd.to_string(), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18 and 5 more");
        assert_eq!(ranges([3, 5, 6, 7, 9]).above(5).to_string(), "6-7, 9");
        assert!(ranges([3, 5]).above(5).is_empty());
    }
}
