//! Properties and headers of a message as JSON, for looking.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::{Map, Value};

/// Properties as a JSON object, without headers.
pub fn properties(properties: &BasicProperties) -> Map<String, Value> {
    let mut shown = Map::new();
    let texts = [
        ("content_type", properties.content_type()),
        ("type", properties.kind()),
        ("message_id", properties.message_id()),
        ("correlation_id", properties.correlation_id()),
        ("app_id", properties.app_id()),
    ];
    for (name, value) in texts {
        if let Some(text) = value {
            shown.insert(name.to_owned(), text.as_str().into());
        }
    }
    if let Some(at) = properties.timestamp() {
        shown.insert("timestamp".to_owned(), (*at).into());
    }
    if let Some(mode) = properties.delivery_mode() {
        shown.insert("delivery_mode".to_owned(), (*mode).into());
    }
    shown
}

/// Headers as a JSON object.
pub fn table(fields: &FieldTable) -> Value {
    fields.inner().iter().map(|(name, field)| (name.as_str().to_owned(), value(field))).collect::<Map<_, _>>().into()
}

fn value(field: &AMQPValue) -> Value {
    match field {
        AMQPValue::Boolean(flag) => (*flag).into(),
        AMQPValue::ShortShortInt(n) => (*n).into(),
        AMQPValue::ShortShortUInt(n) => (*n).into(),
        AMQPValue::ShortInt(n) => (*n).into(),
        AMQPValue::ShortUInt(n) => (*n).into(),
        AMQPValue::LongInt(n) => (*n).into(),
        AMQPValue::LongUInt(n) => (*n).into(),
        AMQPValue::LongLongInt(n) => (*n).into(),
        AMQPValue::Timestamp(n) => (*n).into(),
        AMQPValue::Float(n) => (*n).into(),
        AMQPValue::Double(n) => (*n).into(),
        AMQPValue::DecimalValue(n) => format!("{}e-{}", n.value, n.scale).into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        AMQPValue::ByteArray(bytes) => String::from_utf8_lossy(bytes.as_slice()).into(),
        AMQPValue::FieldArray(list) => list.as_slice().iter().map(value).collect(),
        AMQPValue::FieldTable(fields) => table(fields),
        AMQPValue::Void => Value::Null,
    }
}
