//! The audit trail, checked against the contract's words alone: nothing of Aura's own code is used.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use chrono::{DateTime, SecondsFormat};
use futures_util::TryStreamExt;
use serde_json::Value;

use super::{book::sha256, checker::Findings, site::Site};

/// The events of each chain in their order; a chain is named by entity and period.
pub type Trail = BTreeMap<(String, String), Vec<Document>>;

/// Reads the trail and makes sure that every chain is whole.
pub async fn read(site: &Site, findings: &mut Findings) -> Trail {
    let collection = site.mongo.collection::<Document>("audit_trail");
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
        let heads = site.rows(heads, &[entity, period]).await.expect("PostgreSQL answers");
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

/// A whole number of any width.
pub fn whole(value: &Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

/// The hash of an event: SHA-256 of its canonical form without `_id` and `hash`.
pub fn hash(event: &Document) -> String {
    let mut event = event.clone();
    event.remove("_id");
    event.remove("hash");
    let mut canonical = String::new();
    write(&Bson::Document(event), &mut canonical);
    sha256(canonical.as_bytes())
}

/// RFC 8785, with dates as RFC 3339 in UTC with milliseconds and decimals as texts.
fn write(value: &Bson, to: &mut String) {
    if let Some(number) = whole(value) {
        to.push_str(&number.to_string());
    } else if let Bson::DateTime(at) = value {
        let at = DateTime::from_timestamp_millis(at.timestamp_millis()).expect("a time");
        quote(&at.to_rfc3339_opts(SecondsFormat::Millis, true), to);
    } else if let Bson::Decimal128(number) = value {
        quote(&number.to_string(), to);
    } else if let Bson::Array(items) = value {
        to.push('[');
        for (place, item) in items.iter().enumerate() {
            to.push_str(if place == 0 { "" } else { "," });
            write(item, to);
        }
        to.push(']');
    } else if let Bson::Document(document) = value {
        let mut fields: Vec<_> = document.iter().collect();
        fields.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
        to.push('{');
        for (place, (name, value)) in fields.into_iter().enumerate() {
            to.push_str(if place == 0 { "" } else { "," });
            quote(name, to);
            to.push(':');
            write(value, to);
        }
        to.push('}');
    } else if let Some(text) = value.as_str() {
        quote(text, to);
    } else if let Some(flag) = value.as_bool() {
        to.push_str(if flag { "true" } else { "false" });
    } else {
        assert!(matches!(value, Bson::Null), "an event holds {value:?}, of which the contract has no canonical form");
        to.push_str("null");
    }
}

/// JSON's shortest form of a text is the canonical one.
fn quote(text: &str, to: &mut String) {
    to.push_str(&Value::from(text).to_string());
}
