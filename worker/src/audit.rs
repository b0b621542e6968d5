//! The audit trail: events go from PostgreSQL's outbox to MongoDB, in two steps.
//!
//! [`sequence`] gives each event its place in the chain of its slice and commits that; [`deliver`]
//! inserts what has a place and deletes it here. So whoever dies wherever, the same event comes to
//! the same place with the same hash, and an insert that happened is found to have happened.

pub(crate) mod mongo;
mod relay;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::pin,
};

use bson::{Document, doc};
use deadpool_postgres::{Pool, Transaction};
use futures_util::TryStreamExt;
use serde_json::Value;
use shared::{
    chain,
    postgres::{AsConflict, PostgresError, transaction},
};
use tokio_postgres::{Row, types::ToSql};

use self::mongo::{Mongo, MongoError, insert, within};
pub(crate) use self::relay::{Relay, RelayState};
use crate::failpoint;

const WAITING: &str = include_str!("audit/waiting.sql");
const BEGIN: &str = include_str!("audit/begin.sql");
const LOCK: &str = include_str!("audit/lock.sql");
const EVENTS: &str = include_str!("audit/events.sql");
const PLACE: &str = include_str!("audit/place.sql");
const MOVE: &str = include_str!("audit/move.sql");
const TAKE: &str = include_str!("audit/take.sql");
const DELETE: &str = "DELETE FROM audit_outbox WHERE id = ANY($1)";
const HALT: &str = include_str!("audit/halt.sql");

/// Events that are given a place in one transaction.
const SEQUENCED: i64 = 2_000;
/// Events that are delivered in one transaction.
const DELIVERED: i64 = 500;
/// Bytes of events past which no more are read for one transaction.
const READ_BYTES: usize = 16 << 20;
/// The largest document that MongoDB takes.
const DOCUMENT_BYTES: usize = 16 << 20;
/// A row as long as this could become a document too large.
const LONG_ROW: usize = 1 << 20;

/// A step of the relay failed; it is done again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// MongoDB failed.
    #[error(transparent)]
    Mongo(#[from] MongoError),
}

impl AsConflict for RelayError {
    fn is_conflict(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_conflict(),
            Self::Mongo(_) => false,
        }
    }
}

/// What a step did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Rows that went on.
    pub(crate) done: usize,
    /// Whether there are more that can be done at once.
    pub(crate) more: bool,
    /// What MongoDB has against a document that it did not take, if there is one.
    pub(crate) refused: Option<String>,
}

/// A chain: its entity and period. The chain of `_system` is no slice.
type Chain = (String, String);
/// Chains of which nothing more may be delivered, and why.
type Halts = BTreeMap<Chain, String>;

/// Gives waiting events their places.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn sequence(pool: &Pool) -> Result<Progress, PostgresError> {
    let (progress, halts) = transaction(pool, |transaction, _| Box::pin(place(transaction))).await?;
    failpoint::reach("audit_sequenced");
    report(&halts);
    Ok(progress)
}

async fn place(transaction: &Transaction<'_>) -> Result<(Progress, Halts), PostgresError> {
    let waiting = query(transaction, WAITING, "find waiting chains", &[&SEQUENCED]).await?;
    if waiting.is_empty() {
        return Ok((Progress::default(), Halts::new()));
    }
    let (entities, periods) = chains(&waiting);
    execute(transaction, BEGIN, "begin chains", &[&entities, &periods]).await?;
    // Chains that another process is at are left to it.
    let locked = query(transaction, LOCK, "lock chains", &[&entities, &periods]).await?;
    let (entities, periods) = chains(&locked);
    let mut heads: HashMap<Chain, (i64, String)> =
        locked.iter().map(|row| ((row.get("entity"), row.get("period")), (row.get("seq"), row.get("hash")))).collect();
    let (events, more) = read(transaction, EVENTS, "read waiting events", &[&entities, &periods], SEQUENCED).await?;

    let mut halts = Halts::new();
    let (mut ids, mut seqs, mut prev_hashes, mut hashes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &events {
        let chain = chain_of(row);
        let Some((seq, hash)) = heads.get_mut(&chain) else { continue };
        if halts.contains_key(&chain) {
            continue;
        }
        match chain::link(&row.get("event"), *seq + 1, hash) {
            Ok((_, next)) => {
                *seq += 1;
                ids.push(row.get::<_, i64>("id"));
                seqs.push(*seq);
                prev_hashes.push(std::mem::replace(hash, next.clone()));
                hashes.push(next);
            }
            Err(error) => {
                halts.insert(chain, format!("event {} cannot be linked: {error}", row.get::<_, i64>("id")));
            }
        }
    }
    execute(transaction, PLACE, "give events their places", &[&ids, &seqs, &prev_hashes, &hashes]).await?;
    let (mut seqs, mut hashes) = (Vec::new(), Vec::new());
    for chain in locked.iter().map(chain_of) {
        let (seq, hash) = heads.remove(&chain).unwrap_or_default();
        seqs.push(seq);
        hashes.push(hash);
    }
    execute(transaction, MOVE, "move the heads of chains", &[&entities, &periods, &seqs, &hashes]).await?;
    halt(transaction, &halts).await?;
    Ok((Progress { done: ids.len(), more: more && !ids.is_empty(), refused: None }, halts))
}

/// Delivers events that have their places.
///
/// # Errors
/// If PostgreSQL or MongoDB fails.
pub(crate) async fn deliver(pool: &Pool, mongo: &Mongo) -> Result<Progress, RelayError> {
    let (progress, halts) = transaction(pool, |transaction, _| Box::pin(hand_over(transaction, mongo))).await?;
    report(&halts);
    Ok(progress)
}

async fn hand_over(transaction: &Transaction<'_>, mongo: &Mongo) -> Result<(Progress, Halts), RelayError> {
    let (events, more) = read(transaction, TAKE, "take events", &[], DELIVERED).await?;
    let mut halts = Halts::new();
    let (mut taken, mut documents) = (Vec::new(), Vec::new());
    for row in &events {
        match document(row) {
            Ok(document) => {
                taken.push(row);
                documents.push(document);
            }
            Err(reason) => _ = halts.entry(chain_of(row)).or_insert(reason),
        }
    }
    let refused = insert(&mongo.audit_trail, documents, "take audit events").await?;
    failpoint::reach("audit_inserted");

    let there: Vec<&Row> = refused.iter().filter(|one| one.fault.is_none()).map(|one| taken[one.index]).collect();
    let stored = stored_hashes(mongo, &there).await?;
    let mut kept: BTreeSet<usize> = refused.iter().filter(|one| one.fault.is_some()).map(|one| one.index).collect();
    let mut fault = refused.iter().find_map(|one| one.fault.clone());
    for one in refused.iter().filter(|one| one.fault.is_none()) {
        let row = taken[one.index];
        match stored.get(&id(row)) {
            Some(hash) if hash == row.get::<_, &str>("hash") => {}
            Some(hash) => {
                kept.insert(one.index);
                let reason = format!("MongoDB holds another event at {}, with the hash {hash}", id(row));
                halts.entry(chain_of(row)).or_insert(reason);
            }
            None => {
                kept.insert(one.index);
                fault.get_or_insert_with(|| format!("{} is taken by a document that cannot be found there", id(row)));
            }
        }
    }
    halt(transaction, &halts).await?;
    let delivered = taken.iter().enumerate().filter(|(index, _)| !kept.contains(index));
    let delivered: Vec<i64> = delivered.map(|(_, row)| row.get("id")).collect();
    execute(transaction, DELETE, "delete delivered events", &[&delivered]).await?;
    Ok((Progress { done: delivered.len(), more: more && !delivered.is_empty(), refused: fault }, halts))
}

/// The event as MongoDB is to hold it, or why that cannot be.
fn document(row: &Row) -> Result<Document, String> {
    let (linked, hash) = chain::link(&row.get::<_, Value>("event"), row.get("seq"), row.get("prev_hash"))
        .map_err(|error| format!("{} cannot be linked: {error}", id(row)))?;
    if hash != row.get::<_, &str>("hash") {
        return Err(format!("{} was changed in PostgreSQL after it had its place", id(row)));
    }
    let document = chain::to_bson(&linked, &hash).map_err(|error| format!("{} is no document: {error}", id(row)))?;
    let bytes = if row.raw_size_bytes() < LONG_ROW { 0 } else { document.to_vec().map_or(usize::MAX, |b| b.len()) };
    if bytes > DOCUMENT_BYTES {
        return Err(format!("{} is larger than MongoDB takes", id(row)));
    }
    Ok(document)
}

/// The hashes of the events that MongoDB holds at these places.
async fn stored_hashes(mongo: &Mongo, rows: &[&Row]) -> Result<HashMap<String, String>, MongoError> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<String> = rows.iter().map(|row| id(row)).collect();
    let collection = mongo.audit_trail.clone();
    let found = within("find audit events", async move {
        let found = collection.find(doc! { "_id": { "$in": ids } }).projection(doc! { "hash": 1 }).await?;
        found.try_collect::<Vec<Document>>().await
    });
    let text = |document: &Document, name| document.get_str(name).unwrap_or_default().to_owned();
    Ok(found.await?.iter().map(|document| (text(document, "_id"), text(document, "hash"))).collect())
}

async fn halt(transaction: &Transaction<'_>, halts: &Halts) -> Result<(), PostgresError> {
    for ((entity, period), reason) in halts {
        execute(transaction, HALT, "halt a chain", &[entity, period, reason]).await?;
    }
    Ok(())
}

/// Halting a chain is committed, so this is logged once by all processes together.
fn report(halts: &Halts) {
    for ((entity, period), reason) in halts {
        tracing::error!(entity, period, reason, "an audit chain is halted: nothing more of it is delivered");
    }
}

fn id(row: &Row) -> String {
    chain::id(row.get("entity"), row.get("period"), row.get("seq"))
}

fn chain_of(row: &Row) -> Chain {
    (row.get("entity"), row.get("period"))
}

fn chains(rows: &[Row]) -> (Vec<&str>, Vec<&str>) {
    rows.iter().map(|row| (row.get::<_, &str>("entity"), row.get::<_, &str>("period"))).unzip()
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

async fn query(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &'static str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, PostgresError> {
    let statement = transaction.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    transaction.query(&statement, parameters).await.map_err(PostgresError::in_(what))
}

pub(crate) async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &'static str,
    parameters: Parameters<'_>,
) -> Result<u64, PostgresError> {
    let statement = transaction.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    transaction.execute(&statement, parameters).await.map_err(PostgresError::in_(what))
}

/// Reads rows up to [`READ_BYTES`] and a limit, which is the statement's last parameter; tells
/// whether there may be more.
pub(crate) async fn read(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &'static str,
    parameters: Parameters<'_>,
    limit: i64,
) -> Result<(Vec<Row>, bool), PostgresError> {
    let statement = transaction.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().copied().chain([&limit as _]).collect();
    let rows = transaction.query_raw(&statement, parameters).await.map_err(PostgresError::in_(what))?;
    let (mut rows, mut read, mut bytes) = (pin!(rows), Vec::new(), 0);
    while let Some(row) = rows.try_next().await.map_err(PostgresError::in_(what))? {
        bytes += row.raw_size_bytes();
        read.push(row);
        if bytes > READ_BYTES {
            return Ok((read, true));
        }
    }
    let more = read.len() as i64 == limit;
    Ok((read, more))
}
