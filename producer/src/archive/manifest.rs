//! `manifest.json`: what an archive holds, file by file and slice by slice. The signature is of its bytes.

use std::{collections::BTreeSet, ops::AddAssign};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{amount::Amount, fingerprint::Fingerprint};
use uuid::Uuid;

use super::tables;

/// The names of the files that are no tables.
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SIGNATURE: &str = "manifest.sig";
pub(super) const README: &str = "README.txt";

/// What `format` says.
pub(super) const FORMAT: &str = "aura-archive";
/// The version of the format that this program writes and reads.
pub(super) const VERSION: u32 = 1;
/// The longest manifest that is read: some hundred thousand slices.
pub(super) const LONGEST: u64 = 256 << 20;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) year: String,
    pub(super) entities: Vec<String>,
    /// By the clock of PostgreSQL: the moment of which everything is.
    pub(super) taken_at: DateTime<Utc>,
    pub(super) actor: String,
    /// The version of Aura that wrote it.
    pub(super) aura: String,
    pub(super) totals: Totals,
    pub(super) files: Vec<FileEntry>,
    pub(super) slices: Vec<SliceEntry>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Rows of a table.
    pub(super) rows: Option<u64>,
    pub(super) sha256: Fingerprint,
}

/// A slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SliceEntry {
    pub(super) entity: String,
    pub(super) period: String,
    /// The job whose rows the slice holds; none if no job has loaded it.
    pub(super) job_id: Option<Uuid>,
    /// SHA-256 of that job's file.
    pub(super) fingerprint: Option<String>,
    /// That file, as the job named it.
    pub(super) file: Option<String>,
    pub(super) balance_sum: Amount,
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// The hash of the last event.
    pub(super) head: String,
}

/// How much there is of a slice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ArchivedCounts")]
pub(crate) struct Counts {
    /// Accounts.
    pub(super) rows: u64,
    pub(super) changes: u64,
    pub(super) rejected_rows: u64,
    pub(super) absent_accounts: u64,
    pub(super) runs: u64,
    /// Events of the audit chains.
    pub(super) events: u64,
}

/// How much there is of all slices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ArchivedTotals")]
pub(crate) struct Totals {
    pub(super) slices: u64,
    #[serde(flatten)]
    pub(super) counts: Counts,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        // What a damaged manifest says may not fit.
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.rows, other.rows);
        add(&mut self.changes, other.changes);
        add(&mut self.rejected_rows, other.rejected_rows);
        add(&mut self.absent_accounts, other.absent_accounts);
        add(&mut self.runs, other.runs);
        add(&mut self.events, other.events);
    }
}

impl Counts {
    /// Each count, with the table whose rows it counts.
    pub(super) fn by_table(&self) -> [(&'static tables::Table, u64); 6] {
        [
            (&tables::ACCOUNTS, self.rows),
            (&tables::CHANGES, self.changes),
            (&tables::REJECTED, self.rejected_rows),
            (&tables::ABSENT, self.absent_accounts),
            (&tables::RUNS, self.runs),
            (&tables::TRAIL, self.events),
        ]
    }
}

impl Totals {
    /// Adds slices up.
    pub(super) fn of(slices: &[SliceEntry]) -> Self {
        let mut totals = Self { slices: slices.len() as u64, counts: Counts::default() };
        slices.iter().for_each(|slice| totals.counts += slice.counts);
        totals
    }
}

/// A manifest cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("cannot be read: {0}")]
    Form(String),
    #[error("is of format {format:?}, version {version}; this program reads {FORMAT:?}, version {VERSION}")]
    Version { format: String, version: u64 },
}

impl Manifest {
    /// The bytes that are written and signed.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is none, or of a version that this program does not know.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        /// What all versions have.
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u64,
        }
        let form = |error: serde_json::Error| ManifestError::Form(error.to_string());
        let Head { format, version } = serde_json::from_slice(bytes).map_err(form)?;
        if format != FORMAT || version != u64::from(VERSION) {
            return Err(ManifestError::Version { format, version });
        }
        serde_json::from_slice(bytes).map_err(form)
    }

    /// What in it does not fit the rest of it.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let totals = Totals::of(&self.slices);
        if totals != self.totals {
            found.push("its totals are not the sums of its slices".to_owned());
        }
        let names: BTreeSet<_> = self.slices.iter().map(|slice| (&slice.entity, &slice.period)).collect();
        if names.len() != self.slices.len() {
            found.push("it names a slice more than once".to_owned());
        }
        let entities: BTreeSet<_> = self.slices.iter().map(|slice| &slice.entity).collect();
        if entities != self.entities.iter().collect() {
            found.push("its entities are not those of its slices".to_owned());
        }
        let of_another = |slice: &&SliceEntry| !is_of_year(&slice.period, &self.year);
        if let Some(slice) = self.slices.iter().find(of_another) {
            found.push(format!("{} {} is not a slice of {}", slice.entity, slice.period, self.year));
        }
        for (table, rows) in totals.counts.by_table() {
            let said = self.files.iter().find(|file| file.name == table.file).and_then(|file| file.rows);
            if said != Some(rows) {
                let said = said.map_or_else(|| "none".to_owned(), |rows| rows.to_string());
                found.push(format!("its slices have {rows} rows in {}, the file is said to have {said}", table.file));
            }
        }
        found
    }
}

/// Returns whether a period is one of a year.
fn is_of_year(period: &str, year: &str) -> bool {
    period.strip_prefix(year).is_some_and(|rest| rest.starts_with('-'))
}

/// A signature as it stands in its file, and back.
pub(super) mod signature {
    /// The text of a signature: hexadecimal digits in a line.
    pub(in crate::archive) fn text(signature: &[u8]) -> String {
        let digits: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    }

    /// The signature that a text is; none if it is none.
    pub(in crate::archive) fn read(text: &str) -> Option<Vec<u8>> {
        let digits = text.trim_end().as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        if is_hex { pairs.iter().map(byte).collect() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slice(entity: &str, period: &str, rows: u64) -> SliceEntry {
        SliceEntry {
            entity: entity.to_owned(),
            period: period.to_owned(),
            job_id: Some(Uuid::from_u128(7)),
            fingerprint: Some("ab".to_owned()),
            file: Some("/in/a.csv".to_owned()),
            balance_sum: "-0.0000000000000001".parse().unwrap(),
            counts: Counts { rows, events: 8, runs: 1, ..Counts::default() },
            head: "0".repeat(64),
        }
    }

    fn manifest(slices: Vec<SliceEntry>) -> Manifest {
        let totals = Totals::of(&slices);
        let file = |(table, rows): (&tables::Table, u64)| FileEntry {
            name: table.file.to_owned(),
            bytes: 1,
            rows: Some(rows),
            sha256: Fingerprint::of(b""),
        };
        Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            year: "2022".to_owned(),
            entities: slices.iter().map(|slice| slice.entity.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
            taken_at: DateTime::from_timestamp(1_700_000_000, 5_000).unwrap(),
            actor: "tester".to_owned(),
            aura: "0.1.0".to_owned(),
            totals,
            files: totals.counts.by_table().map(file).to_vec(),
            slices,
        }
    }

    #[test]
    fn a_manifest_reads_back_and_has_amounts_as_decimal_texts() {
        let written = manifest(vec![slice("A", "2022-06", 3), slice("B", "2022-13", 4)]);
        let bytes = written.bytes().unwrap();
        assert_eq!(Manifest::read(&bytes), Ok(written.clone()));
        assert_eq!(written.contradictions(), Vec::<String>::new());
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(r#""balance_sum": "-0.0000000000000001""#), "{text}");
    }

    #[test]
    fn what_does_not_fit_the_rest_of_a_manifest_is_named() {
        let good = manifest(vec![slice("A", "2022-06", 3), slice("B", "2022-13", 4)]);
        let changed = |change: fn(&mut Manifest)| {
            let mut manifest = good.clone();
            change(&mut manifest);
            manifest.contradictions().join("; ")
        };
        assert!(changed(|it| it.slices[0].counts.rows = 4).contains("totals"));
        assert!(changed(|it| it.entities.push("C".to_owned())).contains("entities"));
        assert!(changed(|it| it.slices[1] = it.slices[0].clone()).contains("more than once"));
        assert!(changed(|it| it.year = "202".to_owned()).contains("not a slice of 202"));
        assert!(changed(|it| it.files[0].rows = Some(8)).contains("accounts.parquet"));
        assert!(changed(|it| it.slices[0].counts.rows = u64::MAX).contains("totals"), "and does not overflow");
    }

    #[test]
    fn other_versions_and_other_documents_are_told_apart() {
        let of = |text: &str| Manifest::read(text.as_bytes()).unwrap_err().to_string();
        assert!(of(r#"{"format": "aura-archive", "version": 2}"#).contains("version 2"));
        assert!(of(r#"{"format": "another", "version": 1}"#).contains("another"));
        assert!(of(r#"{"format": "aura-archive", "version": 1}"#).contains("cannot be read"));
        assert!(of("[]").contains("cannot be read"));
    }

    proptest! {
        #[test]
        fn signatures_read_back_and_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), text in ".{0,200}") {
            prop_assert_eq!(signature::read(&signature::text(&bytes)), Some(bytes));
            let _ = signature::read(&text);
            let _ = Manifest::read(text.as_bytes());
        }
    }
}
