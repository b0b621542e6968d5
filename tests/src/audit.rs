//! What an audit event's hash is, by the contract's words alone: nothing of Aura's own code is used.

use bson::{Bson, Document};
use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use crate::digest::sha256;

/// A whole number of any width, if it is one.
pub fn whole(value: &Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

/// A whole number of any width.
///
/// # Panics
/// If it is none.
pub fn number(value: &Bson) -> i64 {
    whole(value).unwrap_or_else(|| panic!("{value} is not a whole number"))
}

/// A field as text.
///
/// # Panics
/// If it is none.
pub fn text(document: &Document, name: &str) -> String {
    document.get_str(name).unwrap_or_else(|_| panic!("{name} is not text in {document}")).to_owned()
}

/// The hash of an event: SHA-256 of its canonical form without `_id` and `hash`.
///
/// # Panics
/// If the event holds what the contract has no canonical form of.
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
