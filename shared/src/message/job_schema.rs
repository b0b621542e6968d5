//! The JSON Schema of a job, where the types alone do not say what a worker accepts.

use chrono::{DateTime, Timelike, Utc};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::message::job::SourceName;

/// The most rows that `control` may name: the largest whole number that every JSON library has exactly.
pub const MAX_ROWS: u64 = 9_007_199_254_740_991;
/// The longest `file`, in characters.
pub const MAX_FILE: usize = 4096;
/// The longest `reason`, in characters.
pub const MAX_REASON: usize = 1000;

/// A UUID in each of the forms that libraries write.
const UUID: &str = concat!(
    "^([0-9A-Fa-f]{32}",
    "|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    r"|\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}",
    "|[Uu][Rr][Nn]:[Uu][Uu][Ii][Dd]:[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$"
);
/// An RFC 3339 time with its offset, of a day that there is.
const TIME: &str = concat!(
    "^([0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])",
    "|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)",
    "|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])",
    "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)",
    r"[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?",
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
);
/// A text with something else than white space in it, and without NUL.
const REASON: &str =
    concat!(r"^[^\x00]*[^\x00\t-\r \x85\xa0", r"\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\x00]*$");
/// What a schema cannot say.
const DESCRIPTION: &str = "\
The body of a job message. Only `file`, `entity` and `period` are required.

What this schema accepts, a worker accepts, and nothing else, but for what a schema cannot say:
- The body has at most 65,536 bytes and is I-JSON (RFC 7493): UTF-8 without a byte order mark, no name twice in an
  object, no half of a surrogate pair, no number past the range of a double.
- `exported_at` is at most an hour ahead of the worker's clock, and has a second 60 only at 23:59 UTC (which is part of
  the format `date-time`, for validators that look at formats).
- The AMQP property `type`, if it is given, is `aura.job.v1`.
Whether the file may be read and is there, and whether the source is, is seen later, by other error codes.";

/// Whether a time has no leap second, or one where it can be.
pub fn has_possible_second(at: DateTime<Utc>) -> bool {
    at.nanosecond() < 1_000_000_000 || (at.hour(), at.minute()) == (23, 59)
}

pub(super) fn uuid(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "pattern": UUID, "examples": ["018f6f2e-5d1c-7c3a-9d5e-0a1b2c3d4e5f"]})
}

pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["string", "null"], "format": "date-time", "pattern": TIME, "examples": ["2022-07-01T06:00:00Z"]
    })
}

pub(super) fn file(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": MAX_FILE, "pattern": r"^[^\x00]*$"})
}

pub(super) fn reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "maxLength": MAX_REASON, "pattern": REASON})
}

pub(super) fn rows(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["integer", "null"], "minimum": 0, "maximum": MAX_ROWS})
}

pub(super) fn source(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Option<SourceName>>()
}

/// Adds the rules between fields.
pub(super) fn rules(schema: &mut Schema) {
    let forced = json!({
        "if": {"type": "object", "properties": {"force": {"const": true}}, "required": ["force"]},
        "then": {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]},
    });
    let replaced = json!({
        "if": {"type": "object", "properties": {"mode": {"const": "replace"}}, "required": ["mode"]},
        "then": {"type": "object", "properties": {"on_error": {"not": {"const": "quarantine"}}}},
    });
    schema.insert("allOf".to_owned(), Value::Array(vec![forced, replaced]));
    schema.insert("description".to_owned(), Value::from(DESCRIPTION));
}
