//! What `verify` finds, and what is to be done about it.

use std::fmt;

use serde::Serialize;
use shared::slice::Slice;
use uuid::Uuid;

/// The entity and period of a chain or slice, as the stores have them: they may be no valid codes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Name {
    pub(super) entity: String,
    pub(super) period: String,
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
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub(super) enum Code {
            $(#[serde(rename = $name)] $code,)*
        }

        impl Code {
            /// Its name in answers and events.
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// What is to be done about it.
            pub(super) fn remedy(self) -> &'static str {
                match self { $(Self::$code => $remedy,)* }
            }
        }
    };
}

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
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) code: Code,
    #[serde(flatten)]
    pub(super) name: Name,
    pub(super) job_id: Option<Uuid>,
    pub(super) detail: String,
    pub(super) remedy: &'static str,
    /// Whether it was put back, or is on its way to be.
    pub(super) repaired: bool,
    /// What `--repair` did, or why it could not.
    pub(super) repair: Option<String>,
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

/// Numbers as people write them: `3, 5-7 and 12 more`.
pub(super) fn ranges(numbers: &[i64]) -> String {
    const SHOWN: usize = 10;
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *number => *end = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let text = |(begin, end): &(i64, i64)| if begin == end { begin.to_string() } else { format!("{begin}-{end}") };
    let mut shown = runs.iter().take(SHOWN).map(text).collect::<Vec<_>>().join(", ");
    let more: i64 = runs.iter().skip(SHOWN).map(|(begin, end)| end - begin + 1).sum();
    if more > 0 {
        shown.push_str(&format!(" and {more} more"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_told_as_a_range() {
        assert_eq!(ranges(&[3, 5, 6, 7, 9]), "3, 5-7, 9");
        let odd: Vec<i64> = (0..15).map(|n| n * 2).collect();
        assert_eq!(ranges(&odd), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18 and 5 more");
    }
}
