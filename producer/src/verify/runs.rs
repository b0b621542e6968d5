//! Runs against their receipts, their events and their metadata.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, Decimal128, Document, doc};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use shared::stores::{audit_chain, postgres::PostgresError};
use uuid::Uuid;

use crate::documents::Documents;

use super::{
    finding::{Code, Findings, Name},
    scope::Scope,
    snapshot::{JobEvents, Run, Snapshot},
    stores::{StoreError, Stores, query},
};

/// The events of a success, each once.
const SUCCESS: [&str; 8] = [
    "file_uploaded",
    "ingestion_started",
    "fingerprint_created",
    "data_profiled",
    "schema_validated",
    "db_insert",
    "file_ingested",
    "ingestion_completed",
];
/// Events that are written together with the end of a run, which stays.
const ENDS: [&str; 4] = ["file_ingested", "duplicate_file_detected", "superseded", "job_cancelled"];
const UNKNOWN: &str = include_str!("unknown_jobs.sql");
const PRUNED: &str = include_str!("pruned.sql");
/// Documents that are asked for, or jobs looked up, at a time.
const CHUNK: usize = 500;

/// Compares runs with their receipts and, where the chain is whole, with their events.
pub(super) fn check(snapshot: &Snapshot, chain_is_whole: bool, findings: &mut Findings) {
    for (job_id, run) in &snapshot.runs {
        let events = snapshot.events.of_jobs.get(job_id);
        if chain_is_whole {
            check_events(*job_id, run, events, findings);
        }
        if run.status == "success" {
            check_success(*job_id, run, events, findings);
        }
    }
    if chain_is_whole {
        check_missing(snapshot, findings);
    }
    let told = snapshot.events.last_applied.map(|(_, job_id)| job_id);
    let current = snapshot.current.as_ref().map(|current| current.job_id);
    if chain_is_whole && told != current {
        let or_none = |job: Option<Uuid>| job.map_or_else(|| "no job".to_owned(), |job| format!("job {job}"));
        let detail = format!(
            "slices says that the rows are of {}, the audit trail that they are of {}",
            or_none(current),
            or_none(told)
        );
        findings.add_of(Code::SliceChanged, told, detail);
    }
    if let Some((current, run)) = snapshot.current.as_ref().and_then(|c| Some((c, snapshot.runs.get(&c.job_id)?)))
        && run.facts["fingerprint"] != current.fingerprint.as_str()
    {
        let detail = "the fingerprint in slices is not that of the run";
        findings.add_of(Code::SliceChanged, Some(current.job_id), detail);
    }
}

/// Finds jobs whose end the chain tells, and of which PostgreSQL has no run, though no pruning took it.
fn check_missing(snapshot: &Snapshot, findings: &mut Findings) {
    for (job_id, events) in &snapshot.events.of_jobs {
        let end = ENDS.iter().find(|end| events.counts.contains_key(**end));
        let Some(end) = end.filter(|_| !snapshot.runs.contains_key(job_id)) else { continue };
        if !snapshot.events.pruned.contains(job_id) {
            let detail = format!("the audit trail has {end} of the job, and PostgreSQL no run of it that has ended");
            findings.add_of(Code::RunMissing, Some(*job_id), detail);
        }
    }
}

fn check_events(job_id: Uuid, run: &Run, events: Option<&JobEvents>, findings: &mut Findings) {
    let count = |kind: &str| events.and_then(|events| events.counts.get(kind)).copied().unwrap_or(0);
    let once = |kinds: &[&str]| -> Vec<String> {
        let wrong = kinds.iter().filter(|kind| count(kind) != 1);
        wrong.map(|kind| format!("{kind} {} times", count(kind))).collect()
    };
    let wrong = match run.status.as_str() {
        "success" => once(&SUCCESS),
        "skipped" => once(&["duplicate_file_detected"]),
        "superseded" => once(&["superseded"]),
        "cancelled" => once(&["job_cancelled"]),
        "failed" if count("dead_lettered") == 0 => vec!["dead_lettered 0 times".to_owned()],
        _ => Vec::new(),
    };
    if !wrong.is_empty() {
        let detail = format!("the run ended as {}, its audit trail has {}", run.status, wrong.join(", "));
        findings.add_of(Code::EventsMissing, Some(job_id), detail);
    }
}

fn check_success(job_id: Uuid, run: &Run, events: Option<&JobEvents>, findings: &mut Findings) {
    let nothing = Value::Null;
    let receipt = run.result.as_ref().unwrap_or(&nothing);
    let mut wrong: Vec<String> = Vec::new();
    for (field, value) in run.facts.as_object().into_iter().flatten() {
        if receipt[field] != *value {
            wrong.push(format!("{field} of the receipt"));
        }
    }
    let detail = |kind: &str, field: &str| {
        events.and_then(|events| events.details.get(kind)).and_then(|details| details.get(field)).cloned()
    };
    let slice_sum = run.slice_sum.as_deref().map_or(Value::Null, Value::from);
    let slice_rows = run.slice_rows.map_or(Value::Null, Value::from);
    let facts = &run.facts;
    let mut held = vec![("file_ingested", "slice_rows", &slice_rows), ("file_ingested", "slice_sum", &slice_sum)];
    held.extend(["rows", "balance_sum"].map(|field| ("file_ingested", field, &facts[field])));
    let counts = ["inserted", "updated", "unchanged", "deleted", "absent", "failed"];
    held.extend(counts.map(|field| ("db_insert", field, &facts[field])));
    for (kind, field, value) in held {
        if detail(kind, field).is_some_and(|told| told != *value) {
            wrong.push(format!("{field} of the event {kind}"));
        }
    }
    if !wrong.is_empty() {
        let detail = format!("the run does not agree with: {}", wrong.join(", "));
        findings.add_of(Code::RunChanged, Some(job_id), detail);
    }
}

/// Compares the metadata of the runs that succeeded; returns how many documents there are.
pub(super) async fn check_metadata(
    stores: &Stores<'_>,
    snapshot: &Snapshot,
    findings: &mut Findings,
) -> Result<u64, StoreError> {
    let loaded: Vec<Uuid> =
        snapshot.runs.iter().filter(|(_, run)| run.status == "success").map(|(job_id, _)| *job_id).collect();
    let mut count = 0;
    for chunk in loaded.chunks(CHUNK) {
        let mut missing: BTreeMap<String, Uuid> = chunk.iter().map(|job_id| (job_id.to_string(), *job_id)).collect();
        let ids: Vec<&str> = missing.keys().map(String::as_str).collect();
        let filter = doc! { "_id": { "$in": ids } };
        let collection = &stores.mongo.gl_metadata;
        let mut documents = Documents::find("read metadata", collection, filter, Document::new(), doc! { "_id": 1 });
        while let Some(document) = documents.next().await? {
            count += 1;
            let Some(job_id) = document.get_str("_id").ok().and_then(|id| missing.remove(id)) else { continue };
            if let Some(run) = snapshot.runs.get(&job_id) {
                let wrong = differing(&document, run, snapshot.events.of_jobs.get(&job_id));
                if !wrong.is_empty() {
                    let detail = format!("gl_metadata does not agree with the run in {}", wrong.join(", "));
                    findings.add_of(Code::MetadataChanged, Some(job_id), detail);
                }
            }
        }
        for job_id in missing.into_values().filter(|job_id| !snapshot.metadata_waits.contains(job_id)) {
            findings.add_of(Code::MetadataMissing, Some(job_id), "gl_metadata has no document of the job");
        }
    }
    Ok(count)
}

/// The fields in which a document differs from its run.
fn differing(document: &Document, run: &Run, events: Option<&JobEvents>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (field, of_run) in [("entity", "entity"), ("period", "period"), ("file_fingerprint", "fingerprint")] {
        if run.facts[of_run].as_str() != document.get_str(field).ok() {
            wrong.push(field.to_owned());
        }
    }
    let nothing = Map::new();
    let receipt = run.result.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
    let empty = Document::new();
    let result = document.get_document("ingestion_result").unwrap_or(&empty);
    for (field, expected) in receipt {
        if !result.get(field).is_some_and(|stored| is_same(stored, expected)) {
            wrong.push(format!("ingestion_result.{field}"));
        }
    }
    wrong.extend(result.keys().filter(|field| !receipt.contains_key(*field)).map(|f| format!("ingestion_result.{f}")));
    match document.get("data_profile") {
        Some(Bson::Document(profile)) => {
            let profiled = events.and_then(|events| events.details.get("data_profiled"));
            for field in ["row_count", "blank_balances"] {
                let told = profiled.and_then(|details| details.get(field));
                if told.is_some_and(|told| !profile.get(field).is_some_and(|stored| is_same(stored, told))) {
                    wrong.push(format!("data_profile.{field}"));
                }
            }
        }
        // A repair writes what can be derived; the chain tells of it.
        _ if events.is_some_and(|events| events.metadata_repaired) => {}
        _ => wrong.push("data_profile".to_owned()),
    }
    wrong
}

/// Whether MongoDB's value is what the relay makes of the JSON.
fn is_same(stored: &Bson, expected: &Value) -> bool {
    match (stored, expected) {
        (Bson::Decimal128(stored), Value::String(text)) => text.parse::<Decimal128>().is_ok_and(|d| d == *stored),
        (Bson::DateTime(stored), Value::String(text)) => {
            text.parse::<DateTime<Utc>>().is_ok_and(|at| at.timestamp_millis() == stored.timestamp_millis())
        }
        _ => {
            let stored = audit_chain::from_bson(&doc! { "value": stored.clone() }).remove("value").unwrap_or_default();
            stored == *expected || (stored.is_number() && stored.as_f64() == expected.as_f64())
        }
    }
}

/// Whether a job was pruned after its slice was looked at.
async fn was_pruned(stores: &Stores<'_>, name: &Name, job_id: Uuid) -> Result<bool, StoreError> {
    let client = stores.pool.get().await.map_err(PostgresError::from)?;
    // Asked before MongoDB: an event leaves the outbox once it is there.
    let waiting =
        query(&client, "look for a pruning", PRUNED, &[&name.entity, &name.period, &job_id.to_string()]).await?;
    drop(client);
    if !waiting.is_empty() {
        return Ok(true);
    }
    let event = doc! {
        "entity": &name.entity, "period": &name.period, "event_type": "pruned", "metadata.jobs": job_id.to_string(),
    };
    let trail = &stores.mongo.audit_trail;
    let mut found = Documents::find("look for a pruning", trail, event, doc! { "_id": 1 }, Document::new());
    Ok(found.next().await?.is_some())
}

/// Finds metadata of jobs that PostgreSQL does not know and that were not pruned, or that loaded nothing.
pub(super) async fn unknown_metadata(
    stores: &Stores<'_>,
    scope: &Scope,
    pruned: &BTreeSet<Uuid>,
) -> Result<Vec<Findings>, StoreError> {
    let fields = doc! { "entity": 1, "period": 1 };
    let collection = &stores.mongo.gl_metadata;
    let mut documents = Documents::find("list metadata", collection, scope.filter(), fields, Document::new());
    let mut found = Vec::new();
    let mut chunk: BTreeMap<Uuid, Name> = BTreeMap::new();
    loop {
        let document = documents.next().await?;
        let has_ended = document.is_none();
        if let Some(document) = document {
            let text = |field: &str| document.get_str(field).unwrap_or("-").to_owned();
            let name = Name { entity: text("entity"), period: text("period") };
            match text("_id").parse::<Uuid>() {
                Ok(job_id) => _ = chunk.insert(job_id, name),
                Err(_) => {
                    let mut findings = Findings::about(&name);
                    findings.add(Code::MetadataUnknown, "gl_metadata has a document whose _id is not a job's");
                    found.push(findings);
                }
            }
        }
        if chunk.len() >= CHUNK || has_ended {
            // Asked after MongoDB: a job's run was there before its metadata.
            let jobs: Vec<Uuid> = chunk.keys().filter(|job_id| !pruned.contains(job_id)).copied().collect();
            let client = stores.pool.get().await.map_err(PostgresError::from)?;
            for row in query(&client, "look jobs up", UNKNOWN, &[&jobs]).await? {
                let job_id: Uuid = row.get("job_id");
                let Some(name) = chunk.get(&job_id) else { continue };
                if was_pruned(stores, name, job_id).await? {
                    continue;
                }
                let mut findings = Findings::about(name);
                let detail = "gl_metadata has a document of a job that PostgreSQL does not know to have loaded";
                findings.add_of(Code::MetadataUnknown, Some(job_id), detail);
                found.push(findings);
            }
            chunk.clear();
        }
        if has_ended {
            return Ok(found);
        }
    }
}
