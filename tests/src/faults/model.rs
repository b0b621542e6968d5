//! The model of one slice: the rules of the contract's §6, written a second time and knowing no store.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::book::{Export, Publication};

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The balance in units of 10⁻⁹.
    pub balance: i128,
    /// The job that last wrote it.
    pub job_id: Uuid,
    /// The line of that job's file.
    pub line: i64,
}

/// A balance that a job changed: account, job, the old balance unless it was inserted, and the new one with its line
/// unless it was deleted.
pub type Change = (String, Uuid, Option<i128>, Option<(i128, i64)>);

/// The export that a slice's rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The job.
    pub job_id: Uuid,
    /// Its file.
    pub fingerprint: String,
    /// Whether it was `replace`.
    pub replaced: bool,
    /// The rows of its file.
    pub rows: Vec<(String, i128)>,
}

/// What must become of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its rows are loaded.
    Load,
    /// The slice holds it already.
    Duplicate,
    /// A newer export has been seen.
    Stale,
    /// Another file has the same time.
    Ambiguous,
}

/// What a load counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// New accounts.
    pub inserted: i64,
    /// Accounts that changed.
    pub updated: i64,
    /// Accounts that did not.
    pub unchanged: i64,
    /// Accounts that are gone.
    pub deleted: i64,
    /// Accounts that the file lacks and that were left standing.
    pub absent: i64,
}

/// A slice.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    /// Its rows by account.
    pub rows: BTreeMap<String, Row>,
    /// Where they come from.
    pub current: Option<Current>,
    /// The newest export seen: its time and file.
    pub newest: Option<(DateTime<Utc>, String)>,
    /// Every balance that was changed.
    pub changes: BTreeSet<Change>,
}

impl Slice {
    /// What must become of a job that comes now.
    pub fn verdict(&self, job: &Publication, export: &Export, order: DateTime<Utc>) -> Verdict {
        let fingerprint = export.fingerprint();
        let skips = job.message["skip_duplicates"] != false;
        let same = |now: &Current| now.fingerprint == fingerprint && now.replaced == job.replaces();
        if skips && self.current.as_ref().is_some_and(same) {
            return Verdict::Duplicate;
        }
        match &self.newest {
            Some((newest, _)) if order < *newest => Verdict::Stale,
            Some((newest, file)) if order == *newest && *file != fingerprint => Verdict::Ambiguous,
            _ => Verdict::Load,
        }
    }

    /// Notes that an export has been seen.
    pub fn see(&mut self, order: DateTime<Utc>, fingerprint: &str) {
        if self.newest.as_ref().is_none_or(|(newest, _)| *newest < order) {
            self.newest = Some((order, fingerprint.to_owned()));
        }
    }

    /// Loads an export.
    pub fn load(&mut self, job: &Publication, export: &Export, order: DateTime<Utc>) -> Counts {
        let mut counts = Counts::default();
        // What the first load of a slice inserts is known by that.
        let has_rows = !self.rows.is_empty();
        let names: BTreeSet<&str> = export.rows.iter().map(|(code, _)| code.as_str()).collect();
        let missing: Vec<String> = self.rows.keys().filter(|code| !names.contains(code.as_str())).cloned().collect();
        for code in missing {
            if job.replaces() {
                counts.deleted += 1;
                if let Some(gone) = self.rows.remove(&code) {
                    self.changes.insert((code, job.job_id, Some(gone.balance), None));
                }
            } else {
                counts.absent += 1;
            }
        }
        for (line, (code, balance)) in (2..).zip(&export.rows) {
            let new = Row { balance: *balance, job_id: job.job_id, line };
            match self.rows.get(code) {
                None => {
                    counts.inserted += 1;
                    if has_rows {
                        self.changes.insert((code.clone(), job.job_id, None, Some((*balance, line))));
                    }
                    self.rows.insert(code.clone(), new);
                }
                Some(old) if old.balance == *balance => counts.unchanged += 1,
                Some(old) => {
                    counts.updated += 1;
                    self.changes.insert((code.clone(), job.job_id, Some(old.balance), Some((*balance, line))));
                    self.rows.insert(code.clone(), new);
                }
            }
        }
        let fingerprint = export.fingerprint();
        self.see(order, &fingerprint);
        let (job_id, replaced, rows) = (job.job_id, job.replaces(), export.rows.clone());
        self.current = Some(Current { job_id, fingerprint, replaced, rows });
        counts
    }

    /// The sum of its balances.
    pub fn sum(&self) -> i128 {
        self.rows.values().map(|row| row.balance).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2022-07-01T{hour:02}:00:00Z").parse().unwrap()
    }

    #[test]
    fn an_upsert_leaves_what_it_lacks_and_a_replace_takes_it_away() {
        let mut slice = Slice::default();
        let (wide, narrow) = (Export::numbered("A", "2022-06", 3, 1), Export::numbered("A", "2022-06", 2, 2));
        let job = |export: &Export, mode: &str| Publication::of(Path::new("f"), export, json!({"mode": mode}));
        let counts = slice.load(&job(&wide, "upsert"), &wide, at(1));
        assert_eq!(counts, Counts { inserted: 3, ..Counts::default() });
        let counts = slice.load(&job(&narrow, "upsert"), &narrow, at(2));
        assert_eq!(counts, Counts { updated: 2, absent: 1, ..Counts::default() });
        let counts = slice.load(&job(&narrow, "replace"), &narrow, at(3));
        assert_eq!(counts, Counts { unchanged: 2, deleted: 1, ..Counts::default() });
        assert_eq!(slice.changes.len(), 3);
        assert_eq!(slice.verdict(&job(&narrow, "replace"), &narrow, at(4)), Verdict::Duplicate);
        assert_eq!(slice.verdict(&job(&wide, "replace"), &wide, at(2)), Verdict::Stale);
        assert_eq!(slice.verdict(&job(&wide, "replace"), &wide, at(3)), Verdict::Ambiguous);
        assert_eq!(slice.verdict(&job(&wide, "replace"), &wide, at(5)), Verdict::Load);
    }
}
