//! The audit chain: each event of a slice carries the hash of the one before it.
//!
//! `hash` is the hex SHA-256 of the RFC 8785 form of the document without `_id` and `hash`, with
//! times as RFC 3339 in UTC with milliseconds. See the contract, §8.

use bson::{Bson, Document, doc};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{fingerprint::Fingerprint, slice::Slice, timestamp::millis_text};

/// The entity of events that belong to no slice.
pub const SYSTEM_ENTITY: &str = "_system";
/// The period of events that belong to no slice.
pub const SYSTEM_PERIOD: &str = "-";
/// The `prev_hash` of a chain's first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The document cannot be part of a chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// It has no canonical form.
    #[error("an audit event has no canonical form")]
    Canonical(#[source] serde_json::Error),
    /// It is not of the shape of an event.
    #[error("an audit event is not of the shape of one: {0}")]
    Shape(String),
}

/// The chain that an event of this slice joins: its entity and period.
pub fn of(slice: Option<&Slice>) -> (&str, &str) {
    slice.map_or((SYSTEM_ENTITY, SYSTEM_PERIOD), |slice| (slice.entity.as_str(), slice.period.as_str()))
}

/// Gives an event its place, and returns its hash.
///
/// # Errors
/// If the event is not a JSON object or has no canonical form.
pub fn link(event: &Value, seq: i64, prev_hash: &str) -> Result<(Map<String, Value>, String), ChainError> {
    let Value::Object(event) = event else { return Err(ChainError::Shape("it is not an object".to_owned())) };
    let mut linked = event.clone();
    linked.insert("seq".to_owned(), seq.into());
    linked.insert("prev_hash".to_owned(), prev_hash.into());
    let hash = hash(&linked)?;
    Ok((linked, hash))
}

/// The hash of a document without `_id` and `hash`.
///
/// # Errors
/// If it has no canonical form.
pub fn hash(document: &Map<String, Value>) -> Result<String, ChainError> {
    Ok(Fingerprint::of(canonical(document)?.as_bytes()).to_string())
}

/// The text that a document without `_id` and `hash` is hashed over: its RFC 8785 form.
///
/// # Errors
/// If it has none.
pub fn canonical(document: &Map<String, Value>) -> Result<String, ChainError> {
    serde_json_canonicalizer::to_string(document).map_err(ChainError::Canonical)
}

/// The `_id` of the event at a place: the same event always has the same one.
pub fn id(entity: &str, period: &str, seq: i64) -> String {
    format!("{entity}/{period}/{seq}")
}

/// The linked event as MongoDB holds it.
///
/// # Errors
/// If it is not of the shape of an event.
pub fn to_bson(linked: &Map<String, Value>, hash: &str) -> Result<Document, ChainError> {
    let text = |name: &str| {
        linked.get(name).and_then(Value::as_str).ok_or_else(|| ChainError::Shape(format!("{name} is not text")))
    };
    let seq = linked.get("seq").and_then(Value::as_i64).unwrap_or(0);
    let mut document = doc! { "_id": id(text("entity")?, text("period")?, seq) };
    for (name, value) in linked {
        let value = if name == "timestamp" {
            let at: DateTime<Utc> =
                text(name)?.parse().map_err(|_| ChainError::Shape("timestamp is not a time".to_owned()))?;
            Bson::DateTime(bson::DateTime::from_millis(at.timestamp_millis()))
        } else {
            bson::serialize_to_bson(value).map_err(|error| ChainError::Shape(error.to_string()))?
        };
        document.insert(name.clone(), value);
    }
    document.insert("hash", hash);
    Ok(document)
}

/// What the hash of a stored document is computed over: without `_id` and `hash`, dates as text.
pub fn from_bson(document: &Document) -> Map<String, Value> {
    let hashed = document.iter().filter(|(name, _)| !matches!(name.as_str(), "_id" | "hash"));
    hashed.map(|(name, value)| (name.clone(), json(value))).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what JSON can hold as it is stays as it is")]
fn json(value: &Bson) -> Value {
    match value {
        Bson::DateTime(at) => DateTime::from_timestamp_millis(at.timestamp_millis())
            .map_or(Value::Null, |at| Value::String(millis_text(at))),
        Bson::Decimal128(number) => Value::String(number.to_string()),
        Bson::Document(document) => {
            Value::Object(document.iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
        Bson::Array(values) => Value::Array(values.iter().map(json).collect()),
        Bson::Int64(number) => (*number).into(),
        other => other.clone().into_relaxed_extjson(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_survives_mongodb_and_keeps_its_hash() {
        let event = json!({
            "event_type": "db_insert", "timestamp": "2022-07-01T06:00:00.120Z", "entity": "ABEX",
            "period": "2022-06", "job_id": null, "attempt": 1,
            "metadata": {"inserted": 501, "big": 9_007_199_254_740_991_i64, "names": ["é", "ÿ\u{10000}"], "ok": true}
        });
        let (linked, hash_of_linked) = link(&event, 1, GENESIS).unwrap();
        let stored = to_bson(&linked, &hash_of_linked).unwrap();
        assert_eq!(stored.get_str("_id").unwrap(), "ABEX/2022-06/1");
        assert!(stored.get_datetime("timestamp").is_ok());
        assert_eq!(hash(&from_bson(&stored)).unwrap(), hash_of_linked);
        let (_, other) = link(&event, 2, GENESIS).unwrap();
        assert_ne!(other, hash_of_linked);
    }

    #[test]
    fn the_hash_is_that_of_the_canonical_form() {
        let event = json!({"b": "é", "a": 1});
        let (_, hash) = link(&event, 1, "p").unwrap();
        assert_eq!(hash, Fingerprint::of("{\"a\":1,\"b\":\"é\",\"prev_hash\":\"p\",\"seq\":1}".as_bytes()).to_string());
    }
}
