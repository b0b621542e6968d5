//! Job by job: one end, one run, its events once, its receipts, its dead letter.

use serde_json::Value;

use super::{Evidence, Findings, order_of};
use crate::faults::{
    World,
    book::{Content, Publication},
    trail::text,
};

/// The events of a success, in their order.
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

/// Compares one job.
pub(super) fn check(world: &World, evidence: &Evidence, job: &Publication, findings: &mut Findings) {
    let id = job.job_id;
    let run = evidence.runs.get(&id);
    let status = run.and_then(|run| run["status"].as_str()).unwrap_or_default();
    let ended = run.is_some_and(|run| !run["finished_at"].is_null()) || evidence.refused.contains_key(&id);
    let dead = evidence.dead.get(&id).map_or(0, Vec::len);
    if !ended {
        if world.book.is_excepted(id) {
            findings.notes.push(format!("{id} went with a queue that was deleted on purpose"));
        } else if job.expires && run.is_none() && is_expired(evidence, job) {
            *findings.outcomes.entry("expired".to_owned()).or_default() += 1;
            if evidence.receipts.contains_key(&id) {
                findings.wrong(format!("{id} expired before any worker saw it and has a receipt"));
            }
        } else if dead == 0 {
            findings.lost(format!("{id} {:?} has not ended and is not dead (run: {status:?})", job.slice()));
        } else {
            findings.wrong(format!("{id} is dead but its run has not ended ({status:?})"));
        }
        return;
    }
    let outcome = if matches!(job.content, Content::Refused) { "refused" } else { status };
    *findings.outcomes.entry(outcome.to_owned()).or_default() += 1;

    receipts(evidence, job, outcome, findings);
    let failed = matches!(outcome, "failed" | "refused");
    match (failed, dead) {
        (true, 0) => findings.lost(format!("{id} {outcome} and lies in no dead letter")),
        (false, 1..) => findings.wrong(format!("{id} ended as {outcome} and lies among the dead")),
        (true, 2..) => findings.notes.push(format!("{id} has {dead} dead letters, which replay merges")),
        _ => {}
    }
    for letter in evidence.dead.get(&id).into_iter().flatten() {
        if letter.body != job.body.as_bytes() {
            findings.wrong(format!("{id}'s dead letter has another body than was published"));
        }
    }
    if let (Some(run), false) = (run, outcome == "refused") {
        verdict(evidence, job, run, findings);
    }
    events(evidence, job, outcome, findings);
    metadata(evidence, job, run, outcome, findings);
}

/// Whether all that is left of a job are letters that the broker wrote.
fn is_expired(evidence: &Evidence, job: &Publication) -> bool {
    let letters = evidence.dead.get(&job.job_id).map_or(&[][..], Vec::as_slice);
    !letters.is_empty() && letters.iter().all(|letter| letter.has_expired() && letter.body == job.body.as_bytes())
}

fn receipts(evidence: &Evidence, job: &Publication, outcome: &str, findings: &mut Findings) {
    let id = job.job_id;
    let receipts = evidence.receipts.get(&id).map_or(&[][..], Vec::as_slice);
    let expected = if outcome == "refused" { "failed" } else { outcome };
    let told = |status: &str| receipts.iter().filter(|receipt| receipt["status"] == status).count();
    if told(expected) == 0 {
        findings.lost(format!("{id} ended as {outcome} and no receipt says so"));
    }
    // A success, or another end, may follow a failure after a replay, and nothing else may change.
    let replayed = evidence.runs.get(&id).is_some_and(|run| run["replays"].as_i64() > Some(0));
    let earlier = if replayed && expected != "failed" { told("failed") } else { 0 };
    let others = receipts.len() - told(expected) - earlier;
    if others > 0 {
        let all: Vec<_> = receipts.iter().map(|receipt| &receipt["status"]).collect();
        findings.wrong(format!("{id} ended as {outcome}, and its receipts say {all:?}"));
    }
    if receipts.len() > 1 {
        findings.notes.retain(|note| !note.ends_with("receipts came twice"));
        let more = evidence.receipts.values().filter(|list| list.len() > 1).count();
        findings.notes.push(format!("of {more} jobs receipts came twice"));
    }
}

fn verdict(evidence: &Evidence, job: &Publication, run: &Value, findings: &mut Findings) {
    let id = job.job_id;
    let status = run["status"].as_str().unwrap_or_default();
    let code = run["error_code"].as_str().unwrap_or_default();
    let fits = match (&job.content, status) {
        (Content::Good(_), "success" | "skipped" | "superseded") => true,
        (Content::Failing(codes), "failed") => codes.contains(&code) || job.allowed.contains(code),
        // What is stale or held already is found out before its rows are read.
        (Content::Failing(_), "superseded" | "skipped") => true,
        (_, "failed") => job.allowed.contains(code),
        (_, other) => job.allowed.contains(other),
    };
    if !fits {
        findings.wrong(format!("{id} {:?} ended as {status} {code}: {}", job.slice(), run["result"]["error"]));
    }
    if !run["claim"].is_null() {
        findings.wrong(format!("{id} ended and is still claimed"));
    }
    if run["result"]["status"] != status {
        findings.wrong(format!("{id}'s result says {}, its run {status}", run["result"]["status"]));
    }
    let (entity, period) = job.slice();
    if run["entity"] != entity.as_str() || run["period"] != period.as_str() {
        findings.wrong(format!("{id}'s run is of another slice"));
    }
    if let Some(exported_at) = job.exported_at() {
        let stands: Option<chrono::DateTime<chrono::Utc>> = run["exported_at"].as_str().and_then(|at| at.parse().ok());
        if stands != Some(exported_at) {
            findings.wrong(format!("{id} was exported at {exported_at}, its run says {stands:?}"));
        }
    }
    if job.message["force"] == true {
        let order = order_of(evidence, job);
        if order.is_none_or(|at| at < job.entered_at - chrono::TimeDelta::seconds(2) || at > chrono::Utc::now()) {
            findings.wrong(format!("{id} was forced at {}, its run says {order:?}", job.entered_at));
        }
    }
}

fn events(evidence: &Evidence, job: &Publication, outcome: &str, findings: &mut Findings) {
    let id = job.job_id;
    let events = evidence.events.get(&id).map_or(&[][..], Vec::as_slice);
    let count = |name: &str| events.iter().filter(|event| *event == name).count();
    let mut expect = |name: &str, number: usize| {
        let found = count(name);
        if found < number {
            findings.lost(format!("{id} {outcome}: event {name} is there {found} times, not {number}"));
        } else if found > number {
            findings.doubled(format!("{id} {outcome}: event {name} is there {found} times, not {number}"));
        }
    };
    for name in SUCCESS {
        expect(name, usize::from(outcome == "success"));
    }
    for (name, end) in
        [("duplicate_file_detected", "skipped"), ("superseded", "superseded"), ("job_cancelled", "cancelled")]
    {
        expect(name, usize::from(outcome == end));
    }
    // Each round that ended in the dead letters tells of it once; a round ends there again only if it was replayed.
    let replays = evidence.runs.get(&id).and_then(|run| run["replays"].as_u64()).unwrap_or(0) as usize;
    let failed = matches!(outcome, "failed" | "refused");
    if let (Some(times), "refused") = (evidence.refused.get(&id), outcome) {
        expect("dead_lettered", *times as usize);
    } else if replays == 0 {
        expect("dead_lettered", usize::from(failed));
    } else if count("dead_lettered") > replays + 1 {
        findings.doubled(format!("{id}: dead_lettered {} times after {replays} replays", count("dead_lettered")));
    }
    // The receipt of a round that failed, even if a later round ended otherwise.
    let receipts = evidence.receipts.get(&id).map_or(&[][..], Vec::as_slice);
    let told = receipts.iter().filter(|receipt| receipt["status"] == "failed").count();
    if told < count("dead_lettered") {
        findings.lost(format!(
            "{id} ended {} times in the dead letters, and {told} receipts say so",
            count("dead_lettered")
        ));
    }
    let (errors, retries, dead) = (count("error_occurred"), count("retry_scheduled"), count("dead_lettered"));
    if errors != retries + dead {
        findings.wrong(format!("{id}: {errors} errors, but {retries} retries and {dead} dead letters"));
    }
}

fn metadata(evidence: &Evidence, job: &Publication, run: Option<&Value>, outcome: &str, findings: &mut Findings) {
    let id = job.job_id;
    match (evidence.metadata.get(&id), outcome == "success") {
        (None, true) => findings.lost(format!("{id} succeeded and has no gl_metadata")),
        (Some(_), false) => findings.wrong(format!("{id} ended as {outcome} and has gl_metadata")),
        (Some(document), true) => {
            let fingerprint = run.map(|run| run["fingerprint"].clone()).unwrap_or_default();
            if fingerprint != text(document, "file_fingerprint").as_str() {
                findings.wrong(format!("{id}'s gl_metadata has another fingerprint than its run"));
            }
        }
        (None, false) => {}
    }
}
