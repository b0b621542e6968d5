//! The audit trail, checked against the contract's words alone: nothing of Aura's own code is used.

use std::collections::BTreeMap;

use bson::{Document, doc};
use futures_util::TryStreamExt;

use super::{World, checker::Findings};
use crate::audit::{hash, whole};

/// The events of each chain in their order; a chain is named by entity and period.
pub type Trail = BTreeMap<(String, String), Vec<Document>>;

/// Reads the trail and makes sure that every chain is whole.
pub async fn read(world: &World, findings: &mut Findings) -> Trail {
    let collection = world.mongo.collection::<Document>("audit_trail");
    let found = collection.find(doc! {}).sort(doc! {"entity": 1, "period": 1, "seq": 1}).await;
    let events: Vec<Document> = found.expect("MongoDB answers").try_collect().await.expect("events");
    let mut trail = Trail::new();
    for event in events {
        trail.entry((text(&event, "entity"), text(&event, "period"))).or_default().push(event);
    }
    for ((entity, period), events) in &trail {
        let mut before = "0".repeat(64);
        for (place, event) in events.iter().enumerate() {
            let seq = event.get("seq").and_then(whole).unwrap_or(0);
            if seq != place as i64 + 1 {
                findings.wrong(format!("chain {entity} {period}: seq {seq} stands at place {}", place + 1));
            }
            if text(event, "prev_hash") != before {
                findings.wrong(format!("chain {entity} {period}: event {seq} does not follow its forerunner"));
            }
            if text(event, "hash") != hash(event) {
                findings.wrong(format!("chain {entity} {period}: event {seq} has another hash"));
            }
            before = text(event, "hash");
        }
        let heads = "SELECT seq, hash, halted_by FROM audit_chains WHERE entity = $1 AND period = $2";
        let heads = world.rows(heads, &[entity, period]).await.expect("PostgreSQL answers");
        let head = heads.first().map(|row| (row.get::<_, i64>(0), row.get::<_, String>(1)));
        if head != Some((events.len() as i64, before)) {
            findings.wrong(format!("chain {entity} {period}: PostgreSQL knows another head than MongoDB"));
        }
        if let Some(reason) = heads.first().and_then(|row| row.get::<_, Option<String>>(2)) {
            findings.wrong(format!("chain {entity} {period} is halted: {reason}"));
        }
    }
    trail
}

/// A field as text; empty if it is none.
pub fn text(document: &Document, name: &str) -> String {
    document.get_str(name).unwrap_or_default().to_owned()
}
