//! Slice by slice: the jobs are run through the model in the order in which they were committed,
//! which the audit chain tells, and rows, changes, counts and file must be the model's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use super::{Evidence, Findings, export_of, order_of};
use crate::{
    amount::{text as amount, units},
    faults::{
        World,
        book::{Export, Publication},
        model::{Change, Counts, Row, Slice, Verdict},
        parquet, trail,
    },
};

type Name = (String, String);

/// Compares every slice that the book, the ledger or the cache has.
pub(super) async fn check(world: &World, evidence: &Evidence, findings: &mut Findings) {
    let slices = replay(evidence, findings);
    let (mut rows, mut changes) = ledger(world, findings).await;
    let heads = heads(world).await;
    for (name, slice) in &slices {
        compare_rows(name, &slice.rows, &rows.remove(name).unwrap_or_default(), findings);
        let found = changes.remove(name).unwrap_or_default();
        for missing in slice.changes.difference(&found) {
            findings.lost(format!("{name:?}: the change {missing:?} is not kept"));
        }
        for more in found.difference(&slice.changes) {
            findings.wrong(format!("{name:?}: the change {more:?} did not happen"));
        }
        let head = heads.get(name).cloned().unwrap_or_default();
        let newest = slice.newest.as_ref().map(|(at, file)| (*at, file.clone()));
        if head.1 != newest || head.0 != slice.current.as_ref().map(|current| current.job_id) {
            findings.wrong(format!(
                "{name:?}: PostgreSQL's head is {head:?}, the model's {:?} {newest:?}",
                slice.current.as_ref().map(|c| c.job_id)
            ));
        }
        compare_file(world, name, slice, findings);
        newest_wins(evidence, name, slice, findings);
        in_order_of_delivery(evidence, name, findings);
    }
    for name in rows.keys().chain(changes.keys()) {
        findings.wrong(format!("{name:?} has rows, and no job of it succeeded"));
    }
    files(world, &slices, findings);
}

/// Runs the jobs of each slice through the model.
fn replay(evidence: &Evidence, findings: &mut Findings) -> BTreeMap<Name, Slice> {
    let mut slices: BTreeMap<Name, Slice> = BTreeMap::new();
    for (name, events) in &evidence.trail {
        let slice = slices.entry(name.clone()).or_default();
        for event in events {
            let Ok(id) = trail::text(event, "job_id").parse::<Uuid>() else { continue };
            let kind = trail::text(event, "event_type");
            let found = match kind.as_str() {
                "ingestion_completed" => Verdict::Load,
                "duplicate_file_detected" => Verdict::Duplicate,
                "superseded" => Verdict::Stale,
                _ => continue,
            };
            let Some(job) = evidence.book.get(&id) else { continue };
            let Some(order) = order_of(evidence, job) else { continue };
            let Some(export) = export_of(job) else {
                if found != Verdict::Stale {
                    findings.wrong(format!("{id} has a bad file and ended with {kind}"));
                }
                continue;
            };
            let expected = slice.verdict(job, export, order);
            if expected != found {
                findings.wrong(format!("{id} {name:?}: {kind}, where the model says {expected:?}"));
            }
            match found {
                Verdict::Load => {
                    let counts = slice.load(job, export, order);
                    compare_run(evidence, job, export, slice, counts, findings);
                }
                Verdict::Duplicate => slice.see(order, &export.fingerprint()),
                Verdict::Stale | Verdict::Ambiguous => {}
            }
        }
    }
    slices.remove(&("_system".to_owned(), "-".to_owned()));
    slices
}

fn compare_run(
    evidence: &Evidence,
    job: &Publication,
    export: &Export,
    slice: &Slice,
    counts: Counts,
    findings: &mut Findings,
) {
    let Some(run) = evidence.runs.get(&job.job_id) else { return };
    let sum: i128 = export.rows.iter().map(|(_, balance)| balance).sum();
    let whole = |number: usize| Value::from(number);
    let expected = [
        ("inserted", counts.inserted.into()),
        ("updated", counts.updated.into()),
        ("unchanged", counts.unchanged.into()),
        ("deleted", counts.deleted.into()),
        ("absent", counts.absent.into()),
        ("failed", whole(0)),
        ("rows", whole(export.rows.len())),
        ("balance_sum", amount(sum).into()),
        ("slice_rows", whole(slice.rows.len())),
        ("slice_sum", amount(slice.sum()).into()),
        ("fingerprint", export.fingerprint().into()),
    ];
    for (name, value) in expected {
        if run[name] != value {
            findings.wrong(format!("{}: {name} is {}, the model says {value}", job.job_id, run[name]));
        }
    }
}

type Rows = BTreeMap<Name, BTreeMap<String, Row>>;
type Changes = BTreeMap<Name, BTreeSet<Change>>;

async fn ledger(world: &World, findings: &mut Findings) -> (Rows, Changes) {
    let (mut rows, mut changes) = (Rows::new(), Changes::new());
    let statement = "SELECT entity, period, account_code, trim_scale(balance)::text, job_id, source_line, \
                     company_code = entity AND account_name = 'Account ' || account_code \
                     AND bs_pl = 'BS' AND status = 'Assets' FROM gl_accounts";
    for row in world.rows(statement, &[]).await.expect("PostgreSQL answers") {
        let code: String = row.get(2);
        if !row.get::<_, Option<bool>>(6).unwrap_or(false) {
            findings.wrong(format!("the texts of account {code} are not those of its file"));
        }
        let held = Row { balance: units(row.get(3)), job_id: row.get(4), line: row.get(5) };
        rows.entry((row.get(0), row.get(1))).or_default().insert(code, held);
    }
    let statement = "SELECT entity, period, account_code, job_id, trim_scale(old_balance)::text, \
                     trim_scale(new_balance)::text, source_line, \
                     CASE change WHEN 'inserted' THEN (old_name, old_bs_pl, old_status) IS NULL \
                     ELSE (old_name, old_bs_pl, old_status) = ('Account ' || account_code, 'BS', 'Assets') END \
                     AND CASE change WHEN 'deleted' THEN (new_name, new_bs_pl, new_status) IS NULL \
                     ELSE (new_name, new_bs_pl, new_status) = ('Account ' || account_code, 'BS', 'Assets') END \
                     AND change IN ('inserted', 'updated', 'deleted') FROM gl_balance_changes";
    for row in world.rows(statement, &[]).await.expect("PostgreSQL answers") {
        let code: String = row.get(2);
        if !row.get::<_, Option<bool>>(7).unwrap_or(false) {
            findings.wrong(format!("the texts of a change of account {code} are not those of its file"));
        }
        let new = row.get::<_, Option<&str>>(5).map(units).zip(row.get(6));
        let change = (code, row.get(3), row.get::<_, Option<&str>>(4).map(units), new);
        changes.entry((row.get(0), row.get(1))).or_default().insert(change);
    }
    (rows, changes)
}

type Head = (Option<Uuid>, Option<(chrono::DateTime<chrono::Utc>, String)>);

async fn heads(world: &World) -> BTreeMap<Name, Head> {
    let statement = "SELECT entity, period, job_id, newest_at, newest_fingerprint FROM slices";
    let rows = world.rows(statement, &[]).await.expect("PostgreSQL answers");
    rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), Some((row.get(3), row.get(4)))))).collect()
}

fn compare_rows(name: &Name, expected: &BTreeMap<String, Row>, found: &BTreeMap<String, Row>, findings: &mut Findings) {
    for (code, row) in expected {
        match found.get(code) {
            None => findings.lost(format!("{name:?} {code}: the row is not there")),
            Some(other) if other != row => {
                findings.wrong(format!("{name:?} {code}: {other:?}, the model says {row:?}"))
            }
            Some(_) => {}
        }
    }
    for code in found.keys().filter(|code| !expected.contains_key(*code)) {
        findings.wrong(format!("{name:?} {code}: a row that the model does not have"));
    }
}

fn file_name((entity, period): &Name) -> String {
    format!("{entity}_{period}_ingested.parquet")
}

fn compare_file(world: &World, name: &Name, slice: &Slice, findings: &mut Findings) {
    let Some(current) = &slice.current else { return };
    let Some(cached) = parquet::read(&world.path().join("cache").join(file_name(name))) else {
        findings.lost(format!("{name:?} has no Parquet file"));
        return;
    };
    if cached.job_id != current.job_id.to_string() || cached.fingerprint != current.fingerprint {
        findings.wrong(format!("{name:?}: the Parquet file is of {}, not of {}", cached.job_id, current.job_id));
    }
    if cached.rows != current.rows.iter().cloned().collect() {
        findings.wrong(format!("{name:?}: the Parquet file has other rows than its job's file"));
    }
}

/// Whatever the order of arrival, the newest good export that may load is the one that was seen last.
fn newest_wins(evidence: &Evidence, name: &Name, slice: &Slice, findings: &mut Findings) {
    let good = evidence.book.values().filter(|job| job.slice() == *name && export_of(job).is_some());
    let loads = good.filter(|job| {
        let status = evidence.runs.get(&job.job_id).and_then(|run| run["status"].as_str());
        matches!(status, Some("success" | "skipped" | "superseded"))
    });
    let newest = loads.filter_map(|job| order_of(evidence, job)).max();
    if newest != slice.newest.as_ref().map(|(at, _)| *at) {
        findings.wrong(format!("{name:?}: the newest export is of {newest:?}, the slice has {:?}", slice.newest));
    }
}

/// Jobs without any time stand in the order in which the broker first delivered them, which is that of
/// their publication. An order that a worker's stall or death left open may be called ambiguous.
fn in_order_of_delivery(evidence: &Evidence, name: &Name, findings: &mut Findings) {
    let undated = evidence.book.values().filter(|job| job.slice() == *name && job.place.is_some());
    let mut jobs: Vec<&Publication> = undated.collect();
    jobs.sort_by_key(|job| job.place);
    let (mut before, mut ambiguous) = (None::<(Uuid, _)>, 0);
    for job in &jobs {
        let run = evidence.runs.get(&job.job_id);
        let told = |field: &str| run.and_then(|run| run[field].as_str()).unwrap_or_default();
        ambiguous += u64::from(told("error_code") == "ambiguous_order");
        if !matches!(told("status"), "success" | "skipped" | "superseded") {
            continue;
        }
        let at = order_of(evidence, job);
        // What was superseded by one that was published after it came over nothing, whatever it stands beside.
        let ended = |job: &Publication| evidence.runs.get(&job.job_id).and_then(|run| run["finished_at"].as_str());
        let is_overtaken = told("status") == "superseded"
            && jobs.iter().any(|other| {
                let status = evidence.runs.get(&other.job_id).and_then(|run| run["status"].as_str());
                other.place > job.place
                    && status == Some("success")
                    && order_of(evidence, other) > at
                    && ended(other) <= ended(job)
            });
        if let Some((earlier, time)) = before.filter(|(_, time)| at <= *time && !is_overtaken) {
            let id = job.job_id;
            findings.wrong(format!("{name:?}: {id} of {at:?} was published after {earlier} of {time:?}"));
        }
        // One that was superseded was compared with the newest of its slice alone, and came over nothing: where it
        // stands beside others that were no longer the newest either decides nothing.
        if told("status") != "superseded" && before.is_none_or(|(_, time)| at > time) {
            before = Some((job.job_id, at));
        }
    }
    if ambiguous > 0 {
        findings.notes.push(format!("{name:?}: {ambiguous} jobs without a time ended as ambiguous_order"));
    }
}

/// No Parquet file but those of slices that were loaded.
fn files(world: &World, slices: &BTreeMap<Name, Slice>, findings: &mut Findings) {
    let loaded = slices.iter().filter(|(_, slice)| slice.current.is_some());
    let expected: BTreeSet<String> = loaded.map(|(name, _)| file_name(name)).collect();
    for file in std::fs::read_dir(world.path().join("cache")).expect("the cache").filter_map(Result::ok) {
        let file = file.file_name().to_string_lossy().into_owned();
        if file.ends_with(".parquet") && !expected.contains(&file) {
            findings.wrong(format!("the cache has {file}, which no job wrote"));
        }
    }
}
