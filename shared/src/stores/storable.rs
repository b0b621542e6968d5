//! What PostgreSQL's JSON can hold: every text of it without the one character that it cannot.

use bytes::BytesMut;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::{IsNull, Json, ToSql, Type, to_sql_checked};

/// A JSON value that PostgreSQL and MongoDB take, whatever the texts in it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Storable(Value);

impl Storable {
    /// The value of something, with U+FFFD in the place of each NUL.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_value(value).map(clean).unwrap_or_default())
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

impl ToSql for Storable {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Json(&self.0).to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <Json<&Value> as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

fn clean(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(clean_text(text)),
        Value::Array(values) => values.into_iter().map(clean).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (clean_text(name), clean(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn clean_text(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_nul_is_left_in_texts_or_names_however_deep() {
        let value = json!({"a\0": ["\0", {"b": "c\0d"}], "n": 1});
        assert_eq!(*Storable::of(&value).value(), json!({"a\u{fffd}": ["\u{fffd}", {"b": "c\u{fffd}d"}], "n": 1}));
    }
}
