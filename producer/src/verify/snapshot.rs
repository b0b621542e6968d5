//! What PostgreSQL knows of one slice and its chain, all of one moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use serde_json::{Map, Value};
use shared::stores::{audit_chain, postgres::PostgresError};
use uuid::Uuid;

use super::{
    finding::{Name, Ranges},
    stores::query,
};

const CHAIN: &str = "SELECT seq, hash, halted_by FROM audit_chains WHERE entity = $1 AND period = $2";
const OUTBOX: &str = include_str!("outbox.sql");
const HEAD: &str = "SELECT job_id, fingerprint FROM slices WHERE entity = $1 AND period = $2 AND job_id IS NOT NULL";
const RUNS: &str = include_str!("runs.sql");
const METADATA: &str = "SELECT job_id FROM metadata_outbox WHERE job_id = ANY($1)";
const CACHE_WAITS: &str = "SELECT EXISTS (SELECT FROM cache_tasks WHERE entity = $1 AND period = $2) AS waits";

/// The end of a chain.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) seq: i64,
    pub(super) hash: String,
    pub(super) halted_by: Option<String>,
}

/// The job whose rows a slice holds, and the file that they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) job_id: Uuid,
    pub(super) fingerprint: String,
}

/// A run that has ended.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) status: String,
    /// What its columns say, under the names that the receipt uses.
    pub(super) facts: Value,
    pub(super) absent: i64,
    pub(super) slice_rows: Option<i64>,
    pub(super) slice_sum: Option<String>,
    /// The receipt, of a run that succeeded.
    pub(super) result: Option<Value>,
}

/// What the events tell of each job.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) of_jobs: BTreeMap<Uuid, JobEvents>,
    /// The last job that the slice was loaded by, and where that is told.
    pub(super) last_applied: Option<(i64, Uuid)>,
    /// Jobs whose runs retention took away.
    pub(super) pruned: BTreeSet<Uuid>,
}

/// What the events tell of one job.
#[derive(Debug, Default)]
pub(super) struct JobEvents {
    pub(super) counts: BTreeMap<String, usize>,
    /// The details of some kinds of events.
    pub(super) details: BTreeMap<&'static str, Value>,
    pub(super) metadata_repaired: bool,
}

/// Kinds of events whose details are checked against the run.
const DETAILED: [&str; 3] = ["data_profiled", "db_insert", "file_ingested"];

impl Events {
    /// Takes an event in, from its place in the chain or a later one.
    pub(super) fn take(&mut self, event: &Map<String, Value>, place: i64) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = text("event_type");
        if kind == "pruned" {
            let jobs = event.get("metadata").and_then(|details| details.get("jobs")).and_then(Value::as_array);
            let jobs = jobs.into_iter().flatten().filter_map(Value::as_str);
            self.pruned.extend(jobs.filter_map(|job| job.parse::<Uuid>().ok()));
        }
        let Ok(job_id) = text("job_id").parse::<Uuid>() else { return };
        let job = self.of_jobs.entry(job_id).or_default();
        *job.counts.entry(kind.to_owned()).or_default() += 1;
        let details = event.get("metadata").cloned().unwrap_or_default();
        if kind == "repaired" && details.get("what").and_then(Value::as_str) == Some(super::repaired::METADATA) {
            job.metadata_repaired = true;
        }
        if kind == "file_ingested" && self.last_applied.is_none_or(|(before, _)| before < place) {
            self.last_applied = Some((place, job_id));
        }
        if let Some(kind) = DETAILED.iter().find(|detailed| **detailed == kind) {
            job.details.insert(kind, details);
        }
    }
}

/// What PostgreSQL knows.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) head: Option<Head>,
    /// The hashes of events that have a place and may not have reached MongoDB, by their place.
    pub(super) placed: BTreeMap<i64, String>,
    /// Events in the outbox.
    pub(super) waiting: u64,
    /// Places whose events were changed in the outbox.
    pub(super) changed: Ranges,
    /// What the outbox tells of jobs.
    pub(super) events: Events,
    pub(super) current: Option<Current>,
    pub(super) runs: BTreeMap<Uuid, Run>,
    pub(super) metadata_waits: BTreeSet<Uuid>,
    pub(super) cache_waits: bool,
}

impl Snapshot {
    /// Reads it within a transaction that sees one moment.
    pub(super) async fn read(tx: &Transaction<'_>, name: &Name) -> Result<Self, PostgresError> {
        let key: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&name.entity, &name.period];
        let head = query(tx, "read a chain's head", CHAIN, &key).await?;
        let head = head.first().map(|row| Head {
            seq: row.get("seq"),
            hash: row.get("hash"),
            halted_by: row.get("halted_by"),
        });
        let runs = runs(tx, name).await?;
        let jobs: Vec<Uuid> = runs.keys().copied().collect();
        let metadata = query(tx, "read waiting metadata", METADATA, &[&jobs]).await?;
        let waits = query(tx, "read cache tasks", CACHE_WAITS, &key).await?;
        let mut snapshot = Self {
            head,
            placed: BTreeMap::new(),
            waiting: 0,
            changed: Ranges::default(),
            events: Events::default(),
            current: current(tx, name).await?,
            runs,
            metadata_waits: metadata.iter().map(|row| row.get("job_id")).collect(),
            cache_waits: waits.first().is_some_and(|row| row.get("waits")),
        };
        snapshot.read_outbox(tx, name).await?;
        Ok(snapshot)
    }

    async fn read_outbox(&mut self, tx: &Transaction<'_>, name: &Name) -> Result<(), PostgresError> {
        let failed = || PostgresError::in_("read the outbox");
        let statement = tx.prepare_cached(OUTBOX).await.map_err(failed())?;
        let mut rows = pin!(tx.query_raw(&statement, [&name.entity, &name.period]).await.map_err(failed())?);
        while let Some(row) = rows.try_next().await.map_err(failed())? {
            self.waiting += 1;
            let event: Value = row.get("event");
            let seq: Option<i64> = row.get("seq");
            if let Some(seq) = seq {
                let (prev_hash, hash): (Option<&str>, Option<&str>) = (row.get("prev_hash"), row.get("hash"));
                let hash = hash.unwrap_or_default();
                self.placed.insert(seq, hash.to_owned());
                if audit_chain::link(&event, seq, prev_hash.unwrap_or_default())
                    .map_or(true, |(_, linked)| linked != hash)
                {
                    self.changed.push(seq);
                }
            }
            if let Value::Object(event) = &event {
                // What has no place yet comes after everything that has one, in the order of writing.
                let place = seq.unwrap_or_else(|| (i64::MAX >> 1) + row.get::<_, i64>("id"));
                self.events.take(event, place);
            }
        }
        Ok(())
    }
}

/// The slice's current job.
pub(super) async fn current(
    client: &impl deadpool_postgres::GenericClient,
    name: &Name,
) -> Result<Option<Current>, PostgresError> {
    let rows = query(client, "read a slice's head", HEAD, &[&name.entity, &name.period]).await?;
    Ok(rows.first().map(|row| Current {
        job_id: row.get("job_id"),
        fingerprint: row.get::<_, Option<String>>("fingerprint").unwrap_or_default(),
    }))
}

/// Whether the slice's cache file is about to be written.
pub(super) async fn cache_waits(
    client: &impl deadpool_postgres::GenericClient,
    name: &Name,
) -> Result<bool, PostgresError> {
    let rows = query(client, "read cache tasks", CACHE_WAITS, &[&name.entity, &name.period]).await?;
    Ok(rows.first().is_some_and(|row| row.get("waits")))
}

/// How far PostgreSQL knows a chain now.
pub(super) async fn chain_end(
    client: &impl deadpool_postgres::GenericClient,
    name: &Name,
) -> Result<i64, PostgresError> {
    let rows = query(client, "read a chain's head", CHAIN, &[&name.entity, &name.period]).await?;
    Ok(rows.first().map_or(0, |row| row.get("seq")))
}

async fn runs(tx: &Transaction<'_>, name: &Name) -> Result<BTreeMap<Uuid, Run>, PostgresError> {
    let rows = query(tx, "read runs", RUNS, &[&name.entity, &name.period]).await?;
    let run = |row: &tokio_postgres::Row| Run {
        status: row.get("status"),
        facts: row.get("facts"),
        absent: row.get("absent"),
        slice_rows: row.get("slice_rows"),
        slice_sum: row.get("slice_sum"),
        result: row.get("result"),
    };
    Ok(rows.iter().map(|row| (row.get("job_id"), run(row))).collect())
}
