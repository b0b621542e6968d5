//! Inserts events that have their places into MongoDB.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bson::{Document, doc};
use deadpool_postgres::{Pool, Transaction};
use futures_util::TryStreamExt;
use serde_json::Value;
use shared::stores::{
    audit_chain,
    mongo::{Mongo, MongoError, insert, within},
    postgres::transaction,
};
use tokio_postgres::Row;

use super::{
    super::{
        progress::{Progress, SinkError},
        statements::{execute, query, read},
    },
    chain::{Chain, Halts, chain_of, halt, id, report},
    walk::{Walk, columns},
};
use crate::{failpoint, run::durable};

const PLACED: &str = include_str!("placed.sql");
const TAKE: &str = include_str!("take.sql");
const DELETE: &str = "DELETE FROM audit_outbox WHERE id = ANY($1)";
const UNDELIVERED: &str = "SELECT FROM audit_outbox WHERE (entity, period, seq) = ($1, $2, $3)";
/// Events that are delivered in one transaction.
const DELIVERED: i64 = 500;
/// The largest document that MongoDB takes.
const DOCUMENT_BYTES: usize = 16 << 20;
/// A row as long as this could become a document too large.
const LONG_ROW: usize = 1 << 20;

/// Delivers events that have their places, from where the walk is.
///
/// # Errors
/// If PostgreSQL or MongoDB fails.
pub(super) async fn deliver(pool: &Pool, mongo: &Mongo, walk: &mut Walk) -> Result<Progress, SinkError> {
    let from = &*walk;
    let (progress, halts, next) =
        transaction(pool, "deliver_events", |transaction, _| Box::pin(hand_over(pool, transaction, mongo, from)))
            .await?;
    report(&halts);
    *walk = next;
    Ok(progress)
}

async fn hand_over(
    pool: &Pool,
    transaction: &Transaction<'_>,
    mongo: &Mongo,
    walk: &Walk,
) -> Result<(Progress, Halts, Walk), SinkError> {
    let mut stretch = walk.step(transaction, PLACED, "find chains to deliver").await?;
    if stretch.chains.is_empty() {
        return Ok((stretch.progress(0, false), Halts::new(), stretch.next));
    }
    let (entities, periods) = columns(&stretch.chains);
    let (events, more) = read(transaction, TAKE, "take events", &[&entities, &periods], DELIVERED).await?;
    if let Some(last) = events.last().filter(|_| more) {
        stretch.next = Walk::after(chain_of(last));
    }
    let mut halts = Halts::new();
    let mut ready = Vec::new();
    for row in &events {
        match document(row) {
            Ok(document) => ready.push((row, document)),
            Err(reason) => _ = halts.entry(chain_of(row)).or_insert(reason),
        }
    }
    let waiting = look_before(transaction, mongo, &ready, &mut halts).await?;
    ready.retain(|(row, _)| !halts.contains_key(&chain_of(row)) && !waiting.contains(&chain_of(row)));
    let (taken, documents): (Vec<&Row>, Vec<Document>) = ready.into_iter().unzip();
    if !documents.is_empty() {
        // A place that only a primary had which is lost would be given to another event. The commit that gave it is no
        // proof: it is visible as soon as its wait for the standby is broken off.
        durable::settle(pool).await?;
    }
    let refused = insert(&mongo.audit_trail, documents, "take audit events").await?;
    failpoint::reach("audit_inserted");

    let there = refused.iter().filter(|one| one.fault.is_none());
    let there: Vec<&Row> = there.filter_map(|one| taken.get(one.index).copied()).collect();
    let stored = stored_hashes(mongo, &there).await?;
    let (mut kept, mut fault) = (BTreeSet::new(), None);
    for one in refused {
        let Some(row) = taken.get(one.index) else {
            // Which it means is not known, so that none of them counts as delivered.
            fault = Some(format!("MongoDB refuses event {} of {}", one.index, taken.len()));
            kept.extend(0..taken.len());
            continue;
        };
        match (one.fault, stored.get(&id(row))) {
            (None, Some(hash)) if hash == row.get::<_, &str>("hash") => continue,
            (None, Some(hash)) => {
                let reason = format!("MongoDB holds another event at {}, with the hash {hash}", id(row));
                halts.entry(chain_of(row)).or_insert(reason);
            }
            (None, None) => _ = fault.get_or_insert_with(|| format!("{} is taken, but cannot be found", id(row))),
            (Some(reason), _) => _ = fault.get_or_insert_with(|| format!("{}: {reason}", id(row))),
        }
        kept.insert(one.index);
    }
    halt(transaction, &halts).await?;
    let delivered = taken.iter().enumerate().filter(|(index, _)| !kept.contains(index));
    let delivered: Vec<i64> = delivered.map(|(_, row)| row.get("id")).collect();
    execute(transaction, DELETE, "delete delivered events", &[&delivered]).await?;
    Ok((Progress { refused: fault, ..stretch.progress(delivered.len(), more) }, halts, stretch.next))
}

/// Compares what MongoDB holds at the events' places, and right before each chain's first of them,
/// with what PostgreSQL knows, before anything is inserted: beside an event that is not ours nothing
/// may follow. Returns the chains whose earlier events another process is about to deliver.
async fn look_before(
    transaction: &Transaction<'_>,
    mongo: &Mongo,
    ready: &[(&Row, Document)],
    halts: &mut Halts,
) -> Result<BTreeSet<Chain>, SinkError> {
    let mut chains: BTreeMap<Chain, BTreeMap<i64, &str>> = BTreeMap::new();
    for (row, _) in ready {
        chains.entry(chain_of(row)).or_default().insert(row.get("seq"), row.get("hash"));
    }
    for (row, _) in ready {
        let (seq, places) = (row.get::<_, i64>("seq"), chains.entry(chain_of(row)).or_default());
        if seq > 1 {
            // The event right before another of these has the hash that this one names.
            places.entry(seq - 1).or_insert_with(|| row.get("prev_hash"));
        }
    }
    if chains.is_empty() {
        return Ok(BTreeSet::new());
    }
    let places = chains.iter().map(|((entity, period), places)| {
        let seqs: Vec<i64> = places.keys().copied().collect();
        doc! { "entity": entity, "period": period, "seq": { "$in": seqs } }
    });
    let mut missing: BTreeMap<Chain, i64> = BTreeMap::new();
    for (chain, places) in &chains {
        let first =
            ready.iter().filter(|(row, _)| chain_of(row) == *chain).map(|(row, _)| row.get::<_, i64>("seq")).min();
        missing.extend(first.filter(|first| places.contains_key(&(first - 1))).map(|first| (chain.clone(), first - 1)));
    }
    for document in find(mongo, doc! { "$or": places.collect::<Vec<_>>() }).await? {
        let chain = (text(&document, "entity"), text(&document, "period"));
        let seq = seq(&document);
        let hash = text(&document, "hash");
        if missing.get(&chain) == Some(&seq) {
            missing.remove(&chain);
        }
        if chains.get(&chain).and_then(|places| places.get(&seq)).is_some_and(|known| *known != hash) {
            let place = audit_chain::id(&chain.0, &chain.1, seq);
            let reason = format!("MongoDB holds another event at {place}, with the hash {hash}");
            halts.entry(chain).or_insert(reason);
        }
    }
    let mut waiting = BTreeSet::new();
    for ((entity, period), seq) in missing {
        let there = query(transaction, UNDELIVERED, "find an earlier event", &[&entity, &period, &seq]).await?;
        if !there.is_empty() {
            waiting.insert((entity, period));
        }
    }
    Ok(waiting)
}

/// The event as MongoDB is to hold it, or why that cannot be.
fn document(row: &Row) -> Result<Document, String> {
    let (linked, hash) = audit_chain::link(&row.get::<_, Value>("event"), row.get("seq"), row.get("prev_hash"))
        .map_err(|error| format!("{} cannot be linked: {error}", id(row)))?;
    if hash != row.get::<_, &str>("hash") {
        return Err(format!("{} was changed in PostgreSQL after it had its place", id(row)));
    }
    let document =
        audit_chain::to_bson(&linked, &hash).map_err(|error| format!("{} is not a document: {error}", id(row)))?;
    let bytes = if row.raw_size_bytes() < LONG_ROW { 0 } else { document.to_vec().map_or(usize::MAX, |b| b.len()) };
    if bytes > DOCUMENT_BYTES {
        return Err(format!("{} is larger than MongoDB takes", id(row)));
    }
    Ok(document)
}

/// The hashes of the events that MongoDB holds at these places, by the `_id` that belongs to each.
async fn stored_hashes(mongo: &Mongo, rows: &[&Row]) -> Result<HashMap<String, String>, MongoError> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<String> = rows.iter().map(|row| id(row)).collect();
    let found = find(mongo, doc! { "_id": { "$in": ids } }).await?;
    let mut hashes: HashMap<String, String> =
        found.iter().map(|document| (text(document, "_id"), text(document, "hash"))).collect();
    let missing = rows.iter().filter(|row| !hashes.contains_key(&id(row)));
    let places: Vec<Document> = missing.map(|row| place(row)).collect();
    if !places.is_empty() {
        // Somebody else's documents stand there, since Aura's have their own _id.
        for document in find(mongo, doc! { "$or": places }).await? {
            let place = audit_chain::id(&text(&document, "entity"), &text(&document, "period"), seq(&document));
            let id = document.get("_id").map(ToString::to_string).unwrap_or_default();
            hashes.insert(place, format!("{:?} and the _id {id}", text(&document, "hash")));
        }
    }
    Ok(hashes)
}

fn text(document: &Document, name: &str) -> String {
    document.get_str(name).unwrap_or_default().to_owned()
}

fn seq(document: &Document) -> i64 {
    document.get("seq").and_then(|seq| seq.as_i64().or(seq.as_i32().map(i64::from))).unwrap_or(0)
}

fn place(row: &Row) -> Document {
    doc! { "entity": row.get::<_, &str>("entity"), "period": row.get::<_, &str>("period"), "seq": row.get::<_, i64>("seq") }
}

async fn find(mongo: &Mongo, filter: Document) -> Result<Vec<Document>, MongoError> {
    let collection = mongo.audit_trail.clone();
    let found = within("find audit events", async move {
        let fields = doc! { "hash": 1, "entity": 1, "period": 1, "seq": 1 };
        collection.find(filter).projection(fields).await?.try_collect().await
    });
    found.await
}
