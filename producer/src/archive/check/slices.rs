//! The slices of an archive: their rows and chains, counted, added up and followed once more.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use chrono::DateTime;
use serde_json::{Map, Value};
use shared::amount::Amount;

use super::{
    super::{
        agreement::{self, Rows, Told},
        chain::Follower,
        manifest::{Manifest, SliceEntry},
        reader::{Batch, read},
        tables::{ABSENT, ACCOUNTS, CHANGES, REJECTED, RUNS, TRAIL, Table},
    },
    Findings,
};

/// Names of slices that the manifest lacks which are told one by one.
const TOLD: usize = 20;

/// What the tables hold of one slice.
struct Seen {
    rows: Rows,
    /// Rows by the name of their file.
    counts: BTreeMap<&'static str, u64>,
    chain: Follower,
    /// What is wrong within the chain; it is not followed past that.
    broken: Option<String>,
    /// What the run of the slice's job tells of the rows, and the file that it says they are of.
    run: Option<(Told, Option<String>)>,
}

/// What the tables hold of all slices.
struct Tables<'a> {
    manifest: &'a Manifest,
    /// Places in the manifest, by entity and period.
    places: HashMap<&'a str, HashMap<&'a str, usize>>,
    seen: Vec<Seen>,
    /// Rows of slices that the manifest lacks, by file and slice.
    strange: BTreeMap<(&'static str, String), u64>,
    /// The same beyond those that are told one by one.
    more_strange: u64,
}

/// Reads all tables and checks what is in them against the manifest and each other.
pub(super) fn check(folder: &Path, manifest: &Manifest, findings: &mut Findings) {
    let mut tables = Tables::of(manifest);
    let mut whole = BTreeSet::new();
    let mut table = |table: &'static Table,
                     columns: &[&str],
                     take: &mut (dyn FnMut(&Batch, usize, &mut Seen, &SliceEntry) + Send)| {
        let names: Vec<&str> = ["entity", "period"].into_iter().chain(columns.iter().copied()).collect();
        match read(folder, table, &names, |batch| tables.take(table, batch, take)) {
            Ok(()) => _ = whole.insert(table.file),
            Err(reason) => findings.add(table.file, format!("its rows cannot be read to the end: {reason}")),
        }
    };
    table(&ACCOUNTS, &["balance"], &mut |batch, row, seen, _| {
        if let Some(balance) = batch.units(2, row).and_then(Amount::from_units) {
            seen.rows.add(balance);
        }
    });
    for other in [&CHANGES, &REJECTED, &ABSENT] {
        table(other, &[], &mut |_, _, _, _| {});
    }
    table(&RUNS, &["job_id", "status", "fingerprint", "slice_rows", "slice_sum", "file"], &mut take_run);
    let columns = ["seq", "event_type", "timestamp", "job_id", "prev_hash", "hash", "event"];
    table(&TRAIL, &columns, &mut take_event);
    tables.tell(&whole, findings);
}

fn take_run(batch: &Batch, row: usize, seen: &mut Seen, slice: &SliceEntry) {
    let job_id = batch.text(2, row).and_then(|id| id.parse().ok());
    if job_id.is_some() && job_id == slice.job_id && batch.text(3, row) == Some("success") {
        let told = Told {
            job_id,
            fingerprint: batch.text(4, row).map(str::to_owned),
            rows: batch.number(5, row).and_then(|rows| u64::try_from(rows).ok()),
            sum: batch.units(6, row).and_then(Amount::from_units),
        };
        seen.run = Some((told, batch.text(7, row).map(str::to_owned)));
    }
}

fn take_event(batch: &Batch, row: usize, seen: &mut Seen, slice: &SliceEntry) {
    if seen.broken.is_some() {
        return;
    }
    let text = batch.text(8, row).unwrap_or_default();
    let Ok(event) = serde_json::from_str::<Map<String, Value>>(text) else {
        seen.broken = Some(format!("event {} cannot be read", seen.chain.events + 1));
        return;
    };
    let hash = batch.text(7, row).unwrap_or_default();
    if let Err(fault) = seen.chain.follow((&slice.entity, &slice.period), text, &event, hash) {
        seen.broken = Some(fault);
        return;
    }
    let value = |name: &str| event.get(name).and_then(Value::as_str);
    let at = value("timestamp").and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    let agrees = batch.number(2, row).is_some_and(|seq| u64::try_from(seq) == Ok(seen.chain.events))
        && batch.text(3, row) == value("event_type")
        && batch.micros(4, row) == at.map(|at| at.timestamp_micros())
        && batch.text(5, row) == value("job_id")
        && batch.text(6, row) == value("prev_hash");
    if !agrees {
        seen.broken = Some(format!("the columns beside event {} do not say what the event says", seen.chain.events));
    }
}

impl<'a> Tables<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let mut places: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
        for (place, slice) in manifest.slices.iter().enumerate() {
            places.entry(&slice.entity).or_default().insert(&slice.period, place);
        }
        let seen =
            || Seen { rows: Rows::default(), counts: BTreeMap::new(), chain: Follower::new(), broken: None, run: None };
        let seen = manifest.slices.iter().map(|_| seen()).collect();
        Self { manifest, places, seen, strange: BTreeMap::new(), more_strange: 0 }
    }

    /// Takes some rows of a table in, each for its slice.
    fn take(
        &mut self,
        table: &'static Table,
        batch: &Batch,
        take: &mut (dyn FnMut(&Batch, usize, &mut Seen, &SliceEntry) + Send),
    ) {
        for row in 0..batch.rows {
            let (entity, period) = (batch.text(0, row).unwrap_or("-"), batch.text(1, row).unwrap_or("-"));
            let place = self.places.get(entity).and_then(|periods| periods.get(period)).copied();
            let known = place.and_then(|place| self.seen.get_mut(place).zip(self.manifest.slices.get(place)));
            match known {
                Some((seen, slice)) => {
                    *seen.counts.entry(table.file).or_default() += 1;
                    take(batch, row, seen, slice);
                }
                None => {
                    let name = (table.file, format!("{entity} {period}"));
                    if self.strange.len() < TOLD || self.strange.contains_key(&name) {
                        *self.strange.entry(name).or_default() += 1;
                    } else {
                        self.more_strange += 1;
                    }
                }
            }
        }
    }

    /// Tells what does not fit, of tables that were read as a whole.
    fn tell(self, whole: &BTreeSet<&str>, findings: &mut Findings) {
        let is_whole = |table: &Table| whole.contains(table.file);
        for ((file, name), rows) in &self.strange {
            findings.add(file, format!("has {rows} rows of {name}, which is not a slice of the manifest"));
        }
        if self.more_strange > 0 {
            findings.add("manifest.json", format!("lacks the slices of {} rows more", self.more_strange));
        }
        for (slice, seen) in self.manifest.slices.iter().zip(&self.seen) {
            let name = format!("{} {}", slice.entity, slice.period);
            let mut found = Vec::new();
            for (table, expected) in slice.counts.by_table() {
                let count = seen.counts.get(table.file).copied().unwrap_or(0);
                if is_whole(table) && count != expected {
                    found.push(format!("there are {count} rows in {}, the manifest says {expected}", table.file));
                }
            }
            let sum = seen.rows.sum();
            if is_whole(&ACCOUNTS) && sum != Some(slice.balance_sum) {
                let sum = sum.map_or_else(|| "more than an amount can be".to_owned(), |sum| sum.to_string());
                found.push(format!("the balances sum to {sum}, the manifest says {}", slice.balance_sum));
            }
            let told = Told { job_id: slice.job_id, fingerprint: slice.fingerprint.clone(), ..Told::default() };
            if is_whole(&TRAIL) {
                let followed =
                    seen.broken.clone().map_or_else(|| seen.chain.ends_at(slice.counts.events, &slice.head), Err);
                match followed {
                    Err(fault) => found.push(format!("its audit chain is not whole: {fault}")),
                    Ok(()) if is_whole(&ACCOUNTS) => {
                        found.extend(agreement::with_chain(seen.rows, &told, seen.chain.ingested.as_ref()));
                    }
                    Ok(()) => {}
                }
            }
            if let Some(job_id) = slice.job_id.filter(|_| is_whole(&RUNS)) {
                match &seen.run {
                    None => found.push(format!("runs.parquet has no run of job {job_id} that succeeded")),
                    Some((run, file)) if run.fingerprint != slice.fingerprint || *file != slice.file => {
                        found.push(format!("the run of job {job_id} is of another file"));
                    }
                    Some((run, _)) if is_whole(&ACCOUNTS) => {
                        found.extend(agreement::differences(seen.rows, run, "the run of the job"));
                    }
                    Some(_) => {}
                }
            }
            found.into_iter().for_each(|detail| findings.add(&name, detail));
        }
    }
}
