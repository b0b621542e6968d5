//! Reads a message: everything that is wrong with it is named at once, field by field.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    amount::Amount,
    fingerprint::Fingerprint,
    message::{
        envelope::Envelope,
        failure::{ErrorCode, Failure, Stage},
        job::{Control, Job, MAX_AHEAD, MAX_BODY, MESSAGE_TYPE, Mode, OnError, SourceName},
        job_schema::{MAX_FILE, MAX_REASON, MAX_ROWS, has_possible_second},
        published_by::PublishedBy,
    },
    slice::{Entity, Period, Slice},
    timestamp::to_micros,
};

/// The fields of a message, beside [`CONTROL`].
pub const FIELDS: [&str; 14] = [
    "file",
    "entity",
    "period",
    "job_id",
    "batch_id",
    "sha256",
    "exported_at",
    "source",
    "mode",
    "on_error",
    "skip_duplicates",
    "force",
    "reason",
    "require_balanced",
];
/// Characters of what a connection's guard says of properties.
const MAX_MARK: usize = 1_000;

/// The field that is an object: `rows` and `balance_sum`.
pub const CONTROL: &str = "control";

/// A message that is not a job, with what could be made out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Every fault, as `field: reason`.
    pub faults: Vec<String>,
    /// The identity of the job that it would have been.
    pub job_id: Uuid,
    /// Whether the publisher gave that identity.
    pub job_id_given: bool,
    /// Its batch, if that could be read.
    pub batch_id: Option<Uuid>,
    /// Its file, if that could be read.
    pub file: Option<String>,
    /// Its slice, if entity and period are valid.
    pub slice: Option<Slice>,
    /// SHA-256 of the body.
    pub body_hash: Fingerprint,
    /// Who published it.
    pub published_by: PublishedBy,
    /// How often it was replayed.
    pub replays: u32,
    /// When it first failed.
    pub first_failed_at: Option<DateTime<Utc>>,
}

impl Refusal {
    /// The failure that the dead letter and the receipt carry.
    pub fn failure(&self) -> Failure {
        let message = format!("the message is not a valid job: {}", self.faults.join("; "));
        Failure::new(ErrorCode::InvalidMessage, Stage::Receive, message)
    }
}

/// The fields of a JSON object in their order, duplicates included.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Takes fields out of an object one by one and collects what is wrong with them.
struct Reader {
    fields: Vec<(String, Value)>,
    faults: Vec<String>,
    prefix: &'static str,
}

impl Reader {
    fn take<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        let mut values: Vec<Value> = Vec::new();
        self.fields.retain_mut(|(key, value)| {
            let found = key == name;
            if found {
                values.push(value.take());
            }
            !found
        });
        if values.len() > 1 {
            self.fault(name, "is given more than once");
            return None;
        }
        match read(values.pop()?) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.fault(name, &reason);
                None
            }
        }
    }

    /// Takes a field whose default is none, for which null says the same.
    fn take_optional<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        self.take(name, |value| if value.is_null() { Ok(None) } else { read(value).map(Some) }).flatten()
    }

    fn require<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        if self.fields.iter().any(|(key, _)| key == name) {
            self.take(name, read)
        } else {
            self.fault(name, "is missing");
            None
        }
    }

    fn fault(&mut self, name: &str, reason: &str) {
        self.faults.push(format!("{}{name}: {reason}", self.prefix));
    }

    fn refuse_the_rest(&mut self, known: &[&str]) {
        for (name, _) in std::mem::take(&mut self.fields) {
            let nearest = known.iter().min_by_key(|field| strsim::damerau_levenshtein(field, &name));
            let hint = match nearest {
                Some(field) if strsim::damerau_levenshtein(field, &name) <= 2 => format!(", did you mean {field}?"),
                _ => String::new(),
            };
            let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            self.fault(&shown, &format!("is an unknown field{hint}"));
        }
    }
}

fn text(value: Value) -> Result<String, String> {
    if let Value::String(text) = value { Ok(text) } else { Err(format!("must be a string, not {}", kind(&value))) }
}

fn boolean(value: Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false, not {}", kind(&value)))
}

fn parse<T: std::str::FromStr<Err: fmt::Display>>(value: Value) -> Result<T, String> {
    text(value)?.parse().map_err(|error| format!("{error}"))
}

fn uuid(value: Value) -> Result<Uuid, String> {
    text(value)?.parse().map_err(|_| "is not a UUID".to_owned())
}

fn time(value: Value) -> Result<DateTime<Utc>, String> {
    // chrono takes a minus sign beyond ASCII, and a second 60 at any time.
    let text = Some(text(value)?).filter(|text| text.is_ascii());
    let parsed = text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
    parsed
        .map(|at| to_micros(at.to_utc()))
        .filter(|at| has_possible_second(*at))
        .ok_or_else(|| "is not an RFC 3339 time with its offset, such as 2022-07-01T06:00:00Z".to_owned())
}

fn file(value: Value) -> Result<String, String> {
    let file = text(value)?;
    match file.chars().count() {
        0 => Err("is empty".to_owned()),
        1..=MAX_FILE if file.contains('\0') => Err("holds a NUL character".to_owned()),
        1..=MAX_FILE => Ok(file),
        _ => Err(format!("is longer than {MAX_FILE} characters")),
    }
}

fn reason(value: Value) -> Result<String, String> {
    let reason = text(value)?;
    if reason.trim().is_empty() {
        Err("is empty".to_owned())
    } else if reason.chars().count() > MAX_REASON || reason.contains('\0') {
        Err(format!("is longer than {MAX_REASON} characters or holds a NUL"))
    } else {
        Ok(reason)
    }
}

/// A count of rows. JSON has one kind of number, so `501.0` is 501.
fn rows(value: Value) -> Result<u64, String> {
    let whole = |number: f64| (number.fract() == 0.0 && number >= 0.0).then_some(number as u64);
    let rows = value.as_u64().or_else(|| whole(value.as_f64()?)).filter(|rows| *rows <= MAX_ROWS);
    rows.ok_or_else(|| match value {
        Value::Number(_) => format!("must be a whole number from 0 to {MAX_ROWS}"),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            format!("must be a whole number, not {}", kind(&value))
        }
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The fields of `control` in their order, repeated ones included; none if it is not an object.
fn control_fields(body: &[u8]) -> Option<Vec<(String, Value)>> {
    #[derive(Deserialize)]
    struct Message {
        control: Fields,
    }
    serde_json::from_slice(body).ok().map(|Message { control: Fields(fields) }| fields)
}

fn control(value: &Value, body: &[u8], faults: &mut Vec<String>) -> Option<Control> {
    let Some(fields) = control_fields(body) else {
        faults.push(format!("{CONTROL}: must be an object, not {}", kind(value)));
        return None;
    };
    let mut reader = Reader { fields, faults: Vec::new(), prefix: "control." };
    let control = Control {
        rows: reader.take_optional("rows", rows),
        balance_sum: reader.take_optional("balance_sum", |value| match value.as_str() {
            Some(text) => text.parse::<Amount>().map_err(|error| error.to_string()),
            None => Err(format!("must be a decimal as a string, not {}", kind(&value))),
        }),
    };
    reader.refuse_the_rest(&["rows", "balance_sum"]);
    faults.append(&mut reader.faults);
    Some(control)
}

/// Reads one delivery.
///
/// # Errors
/// A [`Refusal`] that names every fault, if the message is not a valid job.
pub fn receive(body: &[u8], envelope: &Envelope, received_at: DateTime<Utc>) -> Result<Job, Box<Refusal>> {
    let mut faults = Vec::new();
    if let Some(kind) = envelope.message_type.as_deref().filter(|kind| *kind != MESSAGE_TYPE) {
        let shown: String = kind.chars().take(64).collect();
        faults.push(format!("type: is {shown:?}; this version reads {MESSAGE_TYPE}"));
    }
    if let Some(fault) = &envelope.malformed {
        let shown: String = fault.chars().take(MAX_MARK).flat_map(char::escape_debug).collect();
        faults.push(format!("properties: {shown}"));
    }
    let (fields, body_hash) = match fields_of(body) {
        Ok(read) => read,
        Err(fault) => {
            faults.push(fault);
            (Vec::new(), Fingerprint::of(body))
        }
    };
    let readable = faults.iter().all(|fault| !fault.starts_with("body:"));
    let mut reader = Reader { fields, faults, prefix: "" };
    if !readable {
        return Err(refusal(&mut reader, None, None, None, None, body_hash, envelope));
    }

    let file = reader.require("file", file);
    let entity = reader.require("entity", parse::<Entity>);
    let period = reader.require("period", parse::<Period>);
    let slice = entity.zip(period).map(|(entity, period)| Slice { entity, period });
    let job_id = reader.take_optional("job_id", uuid);
    let batch_id = reader.take_optional("batch_id", uuid);
    let sha256 = reader.take_optional("sha256", parse::<Fingerprint>);
    let exported_at = reader.take_optional("exported_at", time);
    let source = reader.take_optional("source", parse::<SourceName>).unwrap_or_default();
    let mode = reader.take_optional("mode", parse::<Mode>);
    let on_error = reader.take("on_error", parse::<OnError>).unwrap_or(OnError::Abort);
    let skip_duplicates = reader.take("skip_duplicates", boolean).unwrap_or(true);
    let force = reader.take("force", boolean).unwrap_or(false);
    let had_reason_fault = reader.faults.len();
    let reason = reader.take_optional("reason", reason);
    let reason_is_faulty = reader.faults.len() > had_reason_fault;
    let require_balanced = reader.take("require_balanced", boolean).unwrap_or(false);
    let mut control_faults = Vec::new();
    let control = reader.take_optional(CONTROL, |value| Ok(control(&value, body, &mut control_faults)));
    let control = control.flatten().unwrap_or_default();
    reader.faults.append(&mut control_faults);
    reader.refuse_the_rest(&[&FIELDS[..], &[CONTROL]].concat());

    if force && reason.is_none() && !reason_is_faulty {
        reader.fault("reason", "is required with force");
    }
    if mode == Some(Mode::Replace) && on_error == OnError::Quarantine {
        reader.fault("on_error", "quarantine does not go with mode replace: a bad row would delete its account");
    }
    let dated = exported_at.is_some();
    let exported_at =
        exported_at.or(envelope.timestamp).or(envelope.exported_at).unwrap_or_else(|| to_micros(received_at));
    if exported_at > received_at + MAX_AHEAD {
        reader.fault("exported_at", "is more than an hour in the future");
    }

    let (Some(file), Some(slice), true) = (&file, &slice, reader.faults.is_empty()) else {
        return Err(refusal(&mut reader, job_id, batch_id, file, slice, body_hash, envelope));
    };
    let given = job_id.or(envelope.message_id).or(envelope.job_id);
    let is_dated = dated || envelope.timestamp.is_some();
    let is_stamped = if force {
        envelope.forced_at.is_none() && !(dated && envelope.timestamp.is_some())
    } else {
        !is_dated && envelope.exported_at.is_none()
    };
    Ok(Job {
        job_id: given.unwrap_or_else(Uuid::now_v7),
        id_is_made: given.is_none(),
        batch_id: batch_id.or(envelope.correlation_id),
        slice: slice.clone(),
        file: file.clone(),
        sha256,
        exported_at,
        is_dated,
        forced_at: force.then(|| forced_at(envelope, dated, received_at)),
        is_stamped,
        arrival: envelope.arrival.filter(|_| !is_stamped && (force || !is_dated)),
        source,
        mode,
        on_error,
        skip_duplicates,
        reason,
        require_balanced,
        control,
        body_hash,
        published_by: envelope.published_by.clone(),
        attempt: envelope.attempt,
        replays: envelope.replays,
        first_failed_at: envelope.first_failed_at,
        returned_claim: envelope.returned_claim,
    })
}

/// When a job was forced: as a worker or Aura's producer noted it, else when it was published, which the
/// AMQP timestamp tells unless that is the time of the export, else when it was received. AMQP knows
/// whole seconds only, so the end of that second is taken, which is never after the receipt.
fn forced_at(envelope: &Envelope, dated: bool, received_at: DateTime<Utc>) -> DateTime<Utc> {
    let published = envelope.timestamp.filter(|_| dated).map(|second| second + TimeDelta::microseconds(999_999));
    to_micros(envelope.forced_at.or(published).unwrap_or(received_at).min(received_at))
}

/// The fields of a body in their order, repeated ones included, and the SHA-256 of its canonical form.
///
/// # Errors
/// The fault, if the body is not a JSON object or too large.
pub fn fields_of(body: &[u8]) -> Result<(Vec<(String, Value)>, Fingerprint), String> {
    if body.len() > MAX_BODY {
        return Err(format!("body: has {} bytes, at most {MAX_BODY} are read", body.len()));
    }
    let text = std::str::from_utf8(body).map_err(|_| "body: is not UTF-8".to_owned())?;
    let Fields(fields) = serde_json::from_str(text).map_err(|error| format!("body: is not a JSON object: {error}"))?;
    let canonical =
        serde_json::from_str::<Value>(text).ok().and_then(|value| serde_json_canonicalizer::to_vec(&value).ok());
    Ok((fields, Fingerprint::of(canonical.as_deref().unwrap_or(body))))
}

fn refusal(
    reader: &mut Reader,
    job_id: Option<Uuid>,
    batch_id: Option<Uuid>,
    file: Option<String>,
    slice: Option<Slice>,
    body_hash: Fingerprint,
    envelope: &Envelope,
) -> Box<Refusal> {
    let given = job_id.or(envelope.message_id).or(envelope.job_id);
    Box::new(Refusal {
        faults: std::mem::take(&mut reader.faults),
        job_id: given.unwrap_or_else(Uuid::now_v7),
        job_id_given: given.is_some(),
        batch_id: batch_id.or(envelope.correlation_id),
        file,
        slice,
        body_hash,
        published_by: envelope.published_by.clone(),
        replays: envelope.replays,
        first_failed_at: envelope.first_failed_at,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn read(body: &str) -> Result<Job, Box<Refusal>> {
        receive(body.as_bytes(), &Envelope { attempt: 1, ..Envelope::default() }, at("2022-07-01T06:00:00Z"))
    }

    fn faults(body: &str) -> Vec<String> {
        read(body).unwrap_err().faults
    }

    #[test]
    fn three_fields_are_a_job() {
        let job = read(r#"{"file": "a.csv", "entity": "ABEX", "period": "2022-06"}"#).unwrap();
        assert_eq!(job.source.as_str(), "default");
        assert_eq!(job.exported_at, at("2022-07-01T06:00:00Z"));
        assert!(job.skip_duplicates && job.forced_at.is_none() && job.attempt == 1);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        insta::assert_snapshot!(
            faults(
                r#"{"file": 7, "entity": "abex", "period": "2022-17", "job_id": "x", "sha256": "AB", "forced": true,
                    "exported_at": "yesterday", "mode": "merge", "on_error": null, "skip_duplicates": 1,
                    "force": true, "control": {"rows": 1.5, "balance_sum": 1.5, "sum": 1}, "force": true}"#
            )
            .join("\n"),
            @r"
        file: must be a string, not a number
        entity: an entity is 1 to 32 of A-Z, 0-9, '_', '.', '-' and starts with a letter or digit
        period: a period is YYYY-MM with MM from 01 to 16
        job_id: is not a UUID
        sha256: a SHA-256 is 64 hexadecimal digits in lower case
        exported_at: is not an RFC 3339 time with its offset, such as 2022-07-01T06:00:00Z
        mode: is none of upsert, replace
        on_error: must be a string, not null
        skip_duplicates: must be true or false, not a number
        force: is given more than once
        control.rows: must be a whole number from 0 to 9007199254740991
        control.balance_sum: must be a decimal as a string, not a number
        control.sum: is an unknown field
        forced: is an unknown field, did you mean force?
        "
        );
    }

    #[test]
    fn a_total_that_is_given_twice_is_a_fault() {
        let job = |control: &str| {
            format!(r#"{{"file": "a.csv", "entity": "ABEX", "period": "2022-06", "control": {control}}}"#)
        };
        let twice = job(r#"{"rows": 1, "balance_sum": "1", "rows": 2}"#);
        assert_eq!(faults(&twice), ["control.rows: is given more than once"]);
        assert_eq!(faults(&job("[1]")), ["control: must be an object, not an array"]);
        assert_eq!(read(&job(r#"{"rows": 2}"#)).unwrap().control.rows, Some(2));
    }

    #[test]
    fn what_is_no_object_is_refused_as_a_whole() {
        assert!(faults("")[0].starts_with("body: is not a JSON object"));
        assert!(faults("[1]")[0].starts_with("body: is not a JSON object"));
        assert!(faults(&"[".repeat(50_000))[0].starts_with("body: is not a JSON object"));
        assert!(faults(&format!("{{\"a\":{}}}", "[".repeat(50_000)))[0].starts_with("body: is not a JSON object"));
        assert!(faults(&" ".repeat(200_000))[0].starts_with("body: has 200000 bytes"));
        let refused = receive(&[0xff], &Envelope::default(), Utc::now()).unwrap_err();
        assert_eq!(refused.faults, ["body: is not UTF-8"]);
    }

    #[test]
    fn force_needs_a_reason_and_replace_no_quarantine() {
        let body = |more: &str| format!(r#"{{"file": "a", "entity": "A", "period": "2022-06", {more}}}"#);
        assert_eq!(faults(&body(r#""force": true"#)), ["reason: is required with force"]);
        assert_eq!(faults(&body(r#""force": true, "reason": " ""#)), ["reason: is empty"]);
        assert!(faults(&body(r#""mode": "replace", "on_error": "quarantine""#))[0].starts_with("on_error:"));
        assert!(faults(&body(r#""exported_at": "2022-07-01T07:00:01Z""#))[0].starts_with("exported_at:"));
        assert!(read(&body(r#""exported_at": "2022-07-01T07:00:00Z""#)).is_ok());
    }

    #[test]
    fn identity_and_order_come_from_the_body_before_the_properties_before_the_headers() {
        let (body, property, header) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let mut envelope =
            Envelope { message_id: Some(property), job_id: Some(header), attempt: 1, ..Default::default() };
        envelope.timestamp = Some(at("2022-06-30T00:00:00Z"));
        envelope.exported_at = Some(at("2022-06-29T00:00:00Z"));
        let now = at("2022-07-01T06:00:00Z");
        let short = r#"{"file": "a", "entity": "A", "period": "2022-06"}"#;
        let full = format!(r#"{{"job_id": "{body}", "exported_at": "2022-06-28T00:00:00Z", {}"#, &short[1..]);
        let job = receive(full.as_bytes(), &envelope, now).unwrap();
        assert_eq!((job.job_id, job.exported_at), (body, at("2022-06-28T00:00:00Z")));
        let job = receive(short.as_bytes(), &envelope, now).unwrap();
        assert_eq!((job.job_id, job.exported_at), (property, at("2022-06-30T00:00:00Z")));
        envelope.message_id = None;
        envelope.timestamp = None;
        let job = receive(short.as_bytes(), &envelope, now).unwrap();
        assert_eq!((job.job_id, job.exported_at), (header, at("2022-06-29T00:00:00Z")));
    }

    #[test]
    fn another_version_of_the_message_is_refused() {
        let envelope = Envelope { message_type: Some("aura.job.v2".into()), ..Default::default() };
        let body = br#"{"file": "a", "entity": "A", "period": "2022-06"}"#;
        let refused = receive(body, &envelope, Utc::now()).unwrap_err();
        assert_eq!(refused.faults, [r#"type: is "aura.job.v2"; this version reads aura.job.v1"#]);
        assert!(refused.slice.is_some());
    }

    #[test]
    fn the_same_body_written_otherwise_is_the_same_job() {
        let one = read(r#"{"file": "a", "entity": "A", "period": "2022-06"}"#).unwrap();
        let two = read(r#"{ "period":"2022-06","entity":"A","file":"\u0061" }"#).unwrap();
        let other = read(r#"{"file": "b", "entity": "A", "period": "2022-06"}"#).unwrap();
        assert_eq!(one.body_hash, two.body_hash);
        assert_ne!(one.body_hash, other.body_hash);
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = receive(&body, &Envelope::default(), Utc::now());
        }
    }
}
