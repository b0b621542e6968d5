//! The checker: holds everything that a world's stores, queues and files have against the book.

mod jobs;
mod slices;
mod verify;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, Instant},
};

use bson::{Document, doc};
use futures_util::TryStreamExt;
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::{
    World,
    book::{Content, Publication},
    client::Letter,
    trail,
};
use crate::wait::until;

/// The queues in which a job is on its way.
const ON_THE_WAY: [&str; 4] = ["aura.jobs", "aura.retry.1s", "aura.retry.2s", "aura.retry.4s"];
/// What waits for the stores that are derived from PostgreSQL, unless its chain is halted.
const OUTBOX: &str = "SELECT (SELECT count(*) FROM audit_outbox) + (SELECT count(*) FROM metadata_outbox) \
                      + (SELECT count(*) FROM cache_tasks)";

/// What a check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Messages that are nowhere, and effects that did not come.
    pub lost: Vec<String>,
    /// Effects that came twice.
    pub doubled: Vec<String>,
    /// Everything else that is not as it must be.
    pub wrong: Vec<String>,
    /// What is worth knowing and no fault.
    pub notes: Vec<String>,
    /// Jobs by outcome.
    pub outcomes: BTreeMap<String, u64>,
}

impl Findings {
    fn lost(&mut self, what: String) {
        self.lost.push(what);
    }

    fn doubled(&mut self, what: String) {
        self.doubled.push(what);
    }

    /// Notes what is not as it must be.
    pub fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.wrong.is_empty()
    }

    /// Makes sure that nothing was found.
    ///
    /// # Panics
    /// If something was.
    #[track_caller]
    pub fn expect_clean(self) -> Self {
        assert!(self.is_clean(), "{self}");
        self
    }

    /// How many jobs ended so.
    pub fn outcome(&self, name: &str) -> u64 {
        self.outcomes.get(name).copied().unwrap_or(0)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (outcome, number) in &self.outcomes {
            writeln!(f, "  {outcome:<28}{number:>7}")?;
        }
        for (name, list) in [("lost", &self.lost), ("doubled", &self.doubled), ("wrong", &self.wrong)] {
            writeln!(f, "  {name:<28}{:>7}", list.len())?;
            for one in list.iter().take(20) {
                writeln!(f, "    {one}")?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))
    }
}

/// What a check looks at, read once.
struct Evidence {
    book: BTreeMap<Uuid, Publication>,
    runs: BTreeMap<Uuid, Value>,
    /// How often each message that is not a job was refused, once for each replay.
    refused: BTreeMap<Uuid, i64>,
    receipts: BTreeMap<Uuid, Vec<Value>>,
    dead: BTreeMap<Uuid, Vec<Letter>>,
    /// Event types by job, in the order of the chain.
    events: BTreeMap<Uuid, Vec<String>>,
    metadata: BTreeMap<Uuid, Document>,
    trail: trail::Trail,
}

/// Waits until every job has ended and everything that follows from it is done, as far as that comes.
pub async fn settle(world: &World, limit: Duration) {
    let began = Instant::now();
    while began.elapsed() < limit {
        if is_settled(world).await == Some(true) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn is_settled(world: &World) -> Option<bool> {
    let book = world.book.all();
    let jobs: Vec<Uuid> = book.values().map(|one| one.job_id).filter(|id| !world.book.is_excepted(*id)).collect();
    let ended = "SELECT job_id FROM ingestion_runs WHERE finished_at IS NOT NULL AND job_id = ANY($1) \
                 UNION SELECT job_id FROM refused_messages r WHERE job_id = ANY($1) \
                    AND NOT EXISTS (SELECT FROM ingestion_runs i WHERE i.job_id = r.job_id)";
    let ended: BTreeSet<Uuid> = world.rows(ended, &[&jobs]).await?.iter().map(|row| row.get(0)).collect();
    let (jobs, open): (Vec<Uuid>, Vec<Uuid>) = jobs.into_iter().partition(|id| ended.contains(id));
    if open.iter().any(|id| !book[id].expires) || world.count(OUTBOX).await? > 0 {
        return Some(false);
    }
    if !open.is_empty() {
        let letters = world.client.look("aura.dead").await?;
        let dead: BTreeSet<Uuid> = letters.iter().filter(|one| one.has_expired()).filter_map(Letter::job_id).collect();
        if !open.iter().all(|id| dead.contains(id)) {
            return Some(false);
        }
    }
    for queue in ON_THE_WAY {
        if world.client.depth(queue).await? > 0 {
            return Some(false);
        }
    }
    if replays_are_open(world).await? {
        return Some(false);
    }
    let told: BTreeSet<String> =
        world.client.receipts().iter().filter_map(|receipt| receipt["job_id"].as_str().map(str::to_owned)).collect();
    Some(jobs.iter().all(|id| told.contains(&id.to_string())))
}

/// Whether a replay is on its way that its run does not know yet: a delivery in a worker's hands stands in no queue, and
/// the run says until then how the round before ended.
async fn replays_are_open(world: &World) -> Option<bool> {
    let of_replays = doc! {"event_type": "replayed", "metadata.as_new": {"$exists": false}};
    let found = world.mongo.collection::<Document>("audit_trail").find(of_replays).await.ok()?;
    let mut replays: BTreeMap<Uuid, i64> = BTreeMap::new();
    for event in found.try_collect::<Vec<_>>().await.ok()? {
        let metadata = event.get_document("metadata").ok();
        let number = metadata.and_then(|metadata| metadata.get("replays").and_then(number)).unwrap_or(0);
        if let Ok(job_id) = trail::text(&event, "job_id").parse() {
            let most = replays.entry(job_id).or_default();
            *most = number.max(*most);
        }
    }
    let jobs: Vec<Uuid> = replays.keys().copied().collect();
    let failed = "SELECT job_id, replays FROM ingestion_runs WHERE status = 'failed' AND job_id = ANY($1)";
    let failed = world.rows(failed, &[&jobs]).await?;
    let mut open = failed.iter().filter(|row| i64::from(row.get::<_, i32>(1)) < replays[&row.get(0)]).peekable();
    if open.peek().is_none() {
        return Some(false);
    }
    // What could not be published was said to be replayed, and is a dead letter still.
    let letters = world.client.look("aura.dead").await?;
    let dead: BTreeSet<Uuid> = letters.iter().filter_map(Letter::job_id).collect();
    Some(open.any(|row| !dead.contains(&row.get(0))))
}

fn number(value: &bson::Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

/// Waits until everything has ended, and compares.
pub async fn check(world: &World, limit: Duration) -> Findings {
    settle(world, limit).await;
    let mut findings = Findings::default();
    let evidence = gather(world, &mut findings).await;
    unaccounted(world, &mut findings).await;
    for publication in evidence.book.values() {
        jobs::check(world, &evidence, publication, &mut findings);
    }
    for job_id in evidence.runs.keys().filter(|id| !evidence.book.contains_key(id)) {
        findings.wrong(format!("{job_id} has a run and was never published"));
    }
    slices::check(world, &evidence, &mut findings).await;
    verify::check(world, &mut findings).await;
    findings
}

async fn gather(world: &World, findings: &mut Findings) -> Evidence {
    let trail = trail::read(world, findings).await;
    let mut events: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    for event in trail.values().flatten() {
        if let Ok(job_id) = trail::text(event, "job_id").parse() {
            events.entry(job_id).or_default().push(trail::text(event, "event_type"));
        }
    }
    let mut metadata = BTreeMap::new();
    let found = world.mongo.collection::<Document>("gl_metadata").find(doc! {}).await.expect("MongoDB answers");
    for document in found.try_collect::<Vec<_>>().await.expect("documents") {
        metadata.insert(trail::text(&document, "_id").parse().expect("a job's _id"), document);
    }
    let runs = "SELECT job_id, (to_jsonb(r) || jsonb_build_object('balance_sum', trim_scale(balance_sum)::text, \
                'slice_sum', trim_scale(slice_sum)::text))::text FROM ingestion_runs r";
    let runs = world.rows(runs, &[]).await.expect("PostgreSQL answers");
    let runs = runs.iter().map(|row| (row.get(0), serde_json::from_str(row.get(1)).expect("JSON"))).collect();
    let refused = world
        .rows("SELECT job_id, count(*) FROM refused_messages GROUP BY job_id", &[])
        .await
        .expect("PostgreSQL answers");
    let mut receipts: BTreeMap<Uuid, Vec<Value>> = BTreeMap::new();
    for receipt in world.client.receipts() {
        match receipt["job_id"].as_str().and_then(|id| id.parse().ok()) {
            Some(id) => receipts.entry(id).or_default().push(receipt),
            None => findings.wrong(format!("a receipt has no job_id: {receipt}")),
        }
    }
    let mut dead: BTreeMap<Uuid, Vec<Letter>> = BTreeMap::new();
    for letter in world.client.look("aura.dead").await.expect("the dead letters can be seen") {
        match letter.job_id() {
            Some(id) => dead.entry(id).or_default().push(letter),
            None => findings.wrong("a dead letter has no job_id".to_owned()),
        }
    }
    Evidence {
        book: world.book.all(),
        runs,
        refused: refused.iter().map(|row| (row.get(0), row.get(1))).collect(),
        receipts,
        dead,
        events,
        metadata,
        trail,
    }
}

/// Nothing may be left on its way once everything has ended.
async fn unaccounted(world: &World, findings: &mut Findings) {
    match world.count(OUTBOX).await {
        Some(0) => {}
        other => findings.lost(format!("{other:?} events, documents or files never left PostgreSQL")),
    }
    // The management counts what is unacknowledged, too, with a delay of a few seconds.
    for queue in ON_THE_WAY {
        let path = format!("queues/{}/{queue}?columns=messages", world.name());
        let began = Instant::now();
        let empty = async || {
            let answer = world.services.manage(Method::GET, &path, &Value::Null).await.unwrap_or_default();
            let count = answer["messages"].as_u64();
            (count == Some(0) || began.elapsed() > Duration::from_secs(15)).then_some(count)
        };
        let left = until("a queue tells what it holds", Duration::from_secs(60), empty).await;
        if left != Some(0) {
            findings.wrong(format!("{queue} still holds {left:?} messages"));
        }
    }
}

/// The order time of a job, as its run has it and as the book allows it.
fn order_of(evidence: &Evidence, job: &Publication) -> Option<chrono::DateTime<chrono::Utc>> {
    let run = evidence.runs.get(&job.job_id)?;
    let time = |name: &str| run[name].as_str().and_then(|at| at.parse().ok());
    time("forced_at").or_else(|| time("exported_at"))
}

/// What a job's file holds, if it is good.
fn export_of(job: &Publication) -> Option<&super::book::Export> {
    match &job.content {
        Content::Good(export) => Some(export),
        Content::Failing(_) | Content::Refused => None,
    }
}
