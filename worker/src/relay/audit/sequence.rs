//! Gives events their places in the chains. A place is committed before MongoDB sees the event, so that the same event
//! has the same number and hash however often it is delivered.

use std::collections::HashMap;

use deadpool_postgres::{Pool, Transaction};
use shared::stores::{
    audit_chain,
    postgres::{PostgresError, transaction},
};

use super::{
    super::{
        progress::Progress,
        statements::{execute, query, read},
    },
    chain::{Chain, Halts, chain_of, chains, halt, report},
    walk::{Walk, columns},
};
use crate::failpoint;

const WAITING: &str = include_str!("waiting.sql");
const BEGIN: &str = include_str!("begin.sql");
const LOCK: &str = include_str!("lock.sql");
const EVENTS: &str = include_str!("events.sql");
const PLACE: &str = include_str!("place.sql");
const MOVE: &str = include_str!("move.sql");
/// Events that are given a place in one transaction.
const SEQUENCED: i64 = 2_000;

/// Gives waiting events their places, from where the walk is.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn sequence(pool: &Pool, walk: &mut Walk) -> Result<Progress, PostgresError> {
    let from = &*walk;
    let (progress, halts, next) =
        transaction(pool, "place_events", |transaction, _| Box::pin(place(transaction, from))).await?;
    failpoint::reach("audit_sequenced");
    report(&halts);
    *walk = next;
    Ok(progress)
}

async fn place(transaction: &Transaction<'_>, walk: &Walk) -> Result<(Progress, Halts, Walk), PostgresError> {
    let mut stretch = walk.step(transaction, WAITING, "find waiting chains").await?;
    if stretch.chains.is_empty() {
        return Ok((stretch.progress(0, false), Halts::new(), stretch.next));
    }
    let (entities, periods) = columns(&stretch.chains);
    execute(transaction, BEGIN, "begin chains", &[&entities, &periods]).await?;
    // Chains that another process is at are left to it.
    let locked = query(transaction, LOCK, "lock chains", &[&entities, &periods]).await?;
    let (entities, periods) = chains(&locked);
    let mut heads: HashMap<Chain, (i64, String)> =
        locked.iter().map(|row| ((row.get("entity"), row.get("period")), (row.get("seq"), row.get("hash")))).collect();
    let (events, more) = read(transaction, EVENTS, "read waiting events", &[&entities, &periods], SEQUENCED).await?;
    if let Some(last) = events.last().filter(|_| more) {
        stretch.next = Walk::after(chain_of(last));
    }

    let mut halts = Halts::new();
    let (mut ids, mut seqs, mut prev_hashes, mut hashes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &events {
        let chain = chain_of(row);
        let Some((seq, hash)) = heads.get_mut(&chain) else { continue };
        if halts.contains_key(&chain) {
            continue;
        }
        match audit_chain::link(&row.get("event"), *seq + 1, hash) {
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
    Ok((stretch.progress(ids.len(), more), halts, stretch.next))
}
