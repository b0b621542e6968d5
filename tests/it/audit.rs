//! The audit trail, checked against the contract's words alone: nothing of Aura's own code is used.

use bson::{Bson, Document, doc};
use chrono::{DateTime, SecondsFormat};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::world::World;

impl World {
    /// The events of a slice in their order, after making sure that the chain is whole.
    pub(crate) async fn chain(&self, entity: &str, period: &str) -> Vec<Document> {
        self.settled().await;
        let events = self.mongo.collection::<Document>("audit_trail");
        let found = events.find(doc! {"entity": entity, "period": period}).sort(doc! {"seq": 1}).await;
        let events: Vec<Document> = found.expect("MongoDB answers").try_collect().await.expect("events");
        let mut before = "0".repeat(64);
        for (place, event) in events.iter().enumerate() {
            let seq = whole(event.get("seq").expect("a seq"));
            assert_eq!(seq, place as i64 + 1, "the chain of {entity} {period} has a gap: {event}");
            assert_eq!(text(event, "prev_hash"), before, "event {seq} does not follow its forerunner");
            assert_eq!(text(event, "hash"), hash(event), "event {seq} was changed: {event}");
            before = text(event, "hash");
        }
        let head = "SELECT hash FROM audit_chains WHERE entity = $1 AND period = $2";
        let head = self.postgres.query_opt(head, &[&entity, &period]).await.expect("the heads are there");
        assert_eq!(head.map_or("0".repeat(64), |row| row.get(0)), before, "PostgreSQL knows another head");
        events
    }

    /// The types of a slice's events, in their order.
    pub(crate) async fn events(&self, entity: &str, period: &str) -> Vec<String> {
        self.chain(entity, period).await.iter().map(|event| text(event, "event_type")).collect()
    }

    /// A job's `gl_metadata` document.
    pub(crate) async fn metadata(&self, job_id: uuid::Uuid) -> Option<Document> {
        self.settled().await;
        let metadata = self.mongo.collection::<Document>("gl_metadata");
        metadata.find_one(doc! {"_id": job_id.to_string()}).await.expect("MongoDB answers")
    }
}

/// A field as text.
pub(crate) fn text(document: &Document, name: &str) -> String {
    document.get_str(name).unwrap_or_else(|_| panic!("{name} is not text in {document}")).to_owned()
}

/// A whole number of any width.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else MongoDB may hold is not a whole number")]
pub(crate) fn whole(value: &Bson) -> i64 {
    match value {
        Bson::Int32(number) => (*number).into(),
        Bson::Int64(number) => *number,
        other => panic!("{other} is not a whole number"),
    }
}

/// The hash of an event: SHA-256 of its canonical form without `_id` and `hash`.
pub(crate) fn hash(event: &Document) -> String {
    let mut event = event.clone();
    event.remove("_id");
    event.remove("hash");
    let mut canonical = String::new();
    write(&Bson::Document(event), &mut canonical);
    Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 8785, with dates as RFC 3339 in UTC with milliseconds and decimals as texts.
#[expect(clippy::wildcard_enum_match_arm, reason = "the contract names these types and no others")]
fn write(value: &Bson, to: &mut String) {
    match value {
        Bson::Null => to.push_str("null"),
        Bson::Boolean(flag) => to.push_str(if *flag { "true" } else { "false" }),
        Bson::Int32(_) | Bson::Int64(_) => to.push_str(&whole(value).to_string()),
        Bson::String(text) => quote(text, to),
        Bson::Decimal128(number) => quote(&number.to_string(), to),
        Bson::DateTime(at) => {
            let at = DateTime::from_timestamp_millis(at.timestamp_millis()).expect("a time");
            quote(&at.to_rfc3339_opts(SecondsFormat::Millis, true), to);
        }
        Bson::Array(items) => {
            to.push('[');
            for (place, item) in items.iter().enumerate() {
                to.push_str(if place == 0 { "" } else { "," });
                write(item, to);
            }
            to.push(']');
        }
        Bson::Document(document) => {
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
        }
        other => panic!("an event holds {other:?}, of which the contract has no canonical form"),
    }
}

fn quote(text: &str, to: &mut String) {
    to.push('"');
    for character in text.chars() {
        match character {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\u{8}' => to.push_str("\\b"),
            '\t' => to.push_str("\\t"),
            '\n' => to.push_str("\\n"),
            '\u{c}' => to.push_str("\\f"),
            '\r' => to.push_str("\\r"),
            '\0'..='\u{1f}' => to.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => to.push(other),
        }
    }
    to.push('"');
}
