//! The audit chain of one slice: MongoDB's events against what PostgreSQL knows of their places.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use serde_json::Value;
use shared::stores::audit_chain::{self, GENESIS};

use crate::documents::Documents;

use super::{
    finding::{Code, Findings, Name, Ranges},
    snapshot::{Events, Head, Snapshot, chain_end},
    stores::{StoreError, Stores},
};

/// How far from its place a moved event is looked for, if its `_id` does not tell where it was.
const NEAR: i64 = 8;

/// Walks along a chain.
struct Walk<'a> {
    name: &'a Name,
    head: Option<&'a Head>,
    placed: &'a BTreeMap<i64, String>,
    next: i64,
    /// The hash of the event before, if it is known.
    before: Option<String>,
    removed: Ranges,
    changed: Ranges,
    foreign: Ranges,
    moved: Vec<String>,
    nowhere: Vec<String>,
    /// Events past the end that PostgreSQL knew when the walk began.
    beyond: Ranges,
}

impl<'a> Walk<'a> {
    fn new(name: &'a Name, head: Option<&'a Head>, placed: &'a BTreeMap<i64, String>) -> Self {
        Self {
            name,
            head,
            placed,
            next: 1,
            before: Some(GENESIS.to_owned()),
            removed: Ranges::default(),
            changed: Ranges::default(),
            foreign: Ranges::default(),
            moved: Vec::new(),
            nowhere: Vec::new(),
            beyond: Ranges::default(),
        }
    }

    fn end(&self) -> i64 {
        self.head.map_or(0, |head| head.seq)
    }

    /// Takes the next event in the order of places, and tells of jobs what can be relied on.
    fn take(&mut self, document: &Document, events: &mut Events) {
        let id = document.get("_id").map_or_else(|| "-".to_owned(), text);
        let Some(seq) = document.get("seq").and_then(whole) else { return self.nowhere.push(id) };
        if seq > self.end() {
            return self.beyond.push(seq);
        }
        if seq < self.next {
            return self.nowhere.push(id);
        }
        self.skip_to(seq);
        self.next = seq + 1;
        let stored = document.get_str("hash").unwrap_or_default();
        let waiting = self.placed.get(&seq);
        if let Some(waiting) = waiting.filter(|waiting| *waiting != stored) {
            self.foreign.push(seq);
            self.before = Some(waiting.clone());
            return;
        }
        let mut linked = audit_chain::from_bson(document);
        let is_intact = audit_chain::hash(&linked).is_ok_and(|hash| hash == stored);
        if !is_intact || id != audit_chain::id(&self.name.entity, &self.name.period, seq) {
            match self.origin(&mut linked, &id, seq, stored) {
                Some(origin) => self.moved.push(format!("event {origin} stands at place {seq}")),
                None => self.changed.push(seq),
            }
            self.before = None;
            return;
        }
        let follows = linked.get("prev_hash").and_then(Value::as_str);
        if self.before.as_deref().is_some_and(|before| follows != Some(before)) {
            self.moved.push(format!("event {seq} does not follow event {}", seq - 1));
        }
        self.before = Some(stored.to_owned());
        if waiting.is_none() {
            events.take(&linked, seq);
        }
    }

    /// Goes over places whose events MongoDB does not hold: they are on their way, or were removed.
    fn skip_to(&mut self, seq: i64) {
        let mut next = self.next;
        for (place, hash) in self.placed.range(next..seq.max(next)) {
            if next < *place {
                self.removed.push_all(next, place - 1);
            }
            (next, self.before) = (place + 1, Some(hash.clone()));
        }
        if next < seq {
            self.removed.push_all(next, seq - 1);
            self.before = None;
        }
    }

    /// The place at which an event has the hash that it carries.
    fn origin(&self, linked: &mut serde_json::Map<String, Value>, id: &str, seq: i64, stored: &str) -> Option<i64> {
        let named = id.strip_prefix(&format!("{}/{}/", self.name.entity, self.name.period));
        let named = named.and_then(|place| place.parse::<i64>().ok());
        let near = (seq - NEAR..=seq + NEAR).filter(|place| *place > 0);
        named.into_iter().chain(near).filter(|place| *place != seq).find(|place| {
            linked.insert("seq".to_owned(), (*place).into());
            audit_chain::hash(linked).is_ok_and(|hash| hash == stored)
        })
    }

    /// Ends the walk and tells what was found.
    fn finish(mut self, findings: &mut Findings) -> Ranges {
        self.skip_to(self.end().saturating_add(1));
        if let (Some(head), Some(before)) = (self.head, &self.before)
            && head.seq > 0
            && head.hash != *before
        {
            let detail = format!("event {} does not have the hash that PostgreSQL wrote for it", head.seq);
            findings.add(Code::AuditRewritten, detail);
        }
        let mut tell = |code, places: &Ranges, what: &str| {
            if !places.is_empty() {
                findings.add(code, format!("{what} {places} of {}", self.end()));
            }
        };
        tell(Code::AuditRemoved, &self.removed, "MongoDB lacks, and no outbox holds, event");
        tell(Code::AuditChanged, &self.changed, "the hash does not fit what stands in event");
        tell(Code::AuditAdded, &self.foreign, "MongoDB holds another event than PostgreSQL at place");
        if !self.moved.is_empty() {
            findings.add(Code::AuditReordered, some(&self.moved));
        }
        if !self.nowhere.is_empty() {
            findings.add(Code::AuditAdded, format!("without a place of their own: {}", some(&self.nowhere)));
        }
        self.beyond
    }
}

/// Compares a chain, after PostgreSQL was read; adds what its events tell of jobs, and returns how
/// many MongoDB holds.
pub(super) async fn check(
    stores: &Stores<'_>,
    name: &Name,
    snapshot: &mut Snapshot,
    findings: &mut Findings,
) -> Result<u64, StoreError> {
    let filter = doc! { "entity": &name.entity, "period": &name.period };
    let trail = &stores.mongo.audit_trail;
    let mut documents = Documents::find("read an audit chain", trail, filter, Document::new(), doc! { "seq": 1 });
    let mut walk = Walk::new(name, snapshot.head.as_ref(), &snapshot.placed);
    let mut count = 0;
    while let Some(document) = documents.next().await? {
        count += 1;
        walk.take(&document, &mut snapshot.events);
    }
    let beyond = walk.finish(findings);
    if !beyond.is_empty() {
        // Whatever MongoDB held has had its place in PostgreSQL before: what is not known now never was.
        let client = stores.pool.get().await.map_err(shared::stores::postgres::PostgresError::from)?;
        let end = chain_end(&client, name).await?;
        let beyond = beyond.above(end);
        if !beyond.is_empty() {
            let detail = format!("PostgreSQL knows the chain up to event {end}, MongoDB also holds {beyond}");
            findings.add(Code::AuditAdded, detail);
        }
    }
    if !snapshot.changed.is_empty() {
        let detail = format!("the hash does not fit what stands in the outbox for event {}", snapshot.changed);
        findings.add(Code::OutboxChanged, detail);
    }
    if let Some(reason) = snapshot.head.as_ref().and_then(|head| head.halted_by.as_ref()) {
        let detail = format!("nothing more is delivered, {} events wait: {reason}", snapshot.waiting);
        findings.add(Code::ChainHalted, detail);
    }
    Ok(count)
}

fn whole(value: &Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

fn text(value: &Bson) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn some(texts: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = texts.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if texts.len() > SHOWN { format!("{shown} and {} more", texts.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name() -> Name {
        Name { entity: "A".to_owned(), period: "2022-06".to_owned() }
    }

    /// A whole chain of so many events, and its head.
    fn chain_of(length: i64) -> (Vec<Document>, Head) {
        let (mut documents, mut before) = (Vec::new(), GENESIS.to_owned());
        for seq in 1..=length {
            let event = json!({
                "event_type": "db_insert", "timestamp": "2022-07-01T06:00:00.120Z", "entity": "A",
                "period": "2022-06", "job_id": null, "metadata": {"number": seq}
            });
            let (linked, hash) = audit_chain::link(&event, seq, &before).unwrap();
            documents.push(audit_chain::to_bson(&linked, &hash).unwrap());
            before = hash;
        }
        (documents, Head { seq: length, hash: before, halted_by: None })
    }

    fn hash_of(document: &Document) -> String {
        document.get_str("hash").unwrap().to_owned()
    }

    /// The codes that are found, and the places past the end.
    fn found(documents: &[Document], head: &Head, placed: &BTreeMap<i64, String>) -> (Vec<Code>, String) {
        let (name, mut findings) = (name(), Findings::about(&name()));
        let mut walk = Walk::new(&name, Some(head), placed);
        for document in documents {
            walk.take(document, &mut Events::default());
        }
        let beyond = walk.finish(&mut findings);
        (findings.list.into_iter().map(|finding| finding.code).collect(), beyond.to_string())
    }

    #[test]
    fn a_whole_chain_and_one_whose_end_is_on_its_way_are_clean() {
        let (documents, head) = chain_of(5);
        assert_eq!(found(&documents, &head, &BTreeMap::new()), (vec![], String::new()));
        let forged = Head { seq: i64::MAX, ..head.clone() };
        assert_eq!(found(&documents, &forged, &BTreeMap::new()).0, [Code::AuditRemoved], "in no time");
        let placed = [(4, hash_of(&documents[3])), (5, hash_of(&documents[4]))].into();
        assert_eq!(found(&documents[..3], &head, &placed), (vec![], String::new()));
        assert_eq!(found(&documents[..4], &head, &placed), (vec![], String::new()), "delivered, not yet deleted");
        let (longer, _) = chain_of(7);
        assert_eq!(found(&longer, &head, &BTreeMap::new()), (vec![], "6-7".to_owned()));
    }

    #[test]
    fn whatever_is_done_to_a_chain_is_found() {
        let (documents, head) = chain_of(5);
        let none = BTreeMap::new();
        let found = |documents: &[Document]| found(documents, &head, &none).0;
        for removed in 0..5 {
            let mut fewer = documents.clone();
            fewer.remove(removed);
            assert_eq!(found(&fewer), [Code::AuditRemoved], "{removed}");
        }
        let mut changed = documents.clone();
        changed[2].get_document_mut("metadata").unwrap().insert("number", 7_i64);
        assert_eq!(found(&changed), [Code::AuditChanged]);
        let rehashed = audit_chain::hash(&audit_chain::from_bson(&changed[2])).unwrap();
        changed[2].insert("hash", rehashed);
        assert_eq!(found(&changed), [Code::AuditReordered], "the next one does not follow it");
        let mut swapped = documents.clone();
        swapped.swap(1, 3);
        swapped[1].insert("seq", 2_i64);
        swapped[3].insert("seq", 4_i64);
        assert_eq!(found(&swapped), [Code::AuditReordered]);
        swapped[1].insert("_id", audit_chain::id("A", "2022-06", 2));
        assert_eq!(found(&swapped), [Code::AuditReordered]);
        let (mut forged, _) = chain_of(5);
        forged[4].insert("worker", "nobody");
        let rehashed = audit_chain::hash(&audit_chain::from_bson(&forged[4])).unwrap();
        forged[4].insert("hash", rehashed);
        assert_eq!(found(&forged), [Code::AuditRewritten]);
        let mut nowhere = documents.clone();
        nowhere.push(doc! { "_id": "x", "seq": "six" });
        assert_eq!(found(&nowhere), [Code::AuditAdded]);
    }

    #[test]
    fn a_place_that_another_event_has_taken_is_told() {
        let (documents, head) = chain_of(3);
        let placed = [(3, "another".to_owned())].into();
        let head = Head { hash: "another".to_owned(), ..head };
        assert_eq!(found(&documents, &head, &placed).0, [Code::AuditAdded]);
    }
}
