//! A dead letter, as far as it can be understood. Its body may be anything.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lapin::{BasicProperties, types::FieldTable};
use serde::Serialize;
use serde_json::Value;
use shared::{
    fingerprint::Fingerprint,
    message::{
        envelope::{self, Envelope, WITHHELD},
        event::{Event, EventType},
        receive::{fields_of, receive},
    },
    settings::Settings,
    slice::Slice,
    timestamp::micros_text,
};
use uuid::Uuid;

use super::death::{Death, UNKNOWN};
use crate::{actor_event, output::shortened};

/// How much of a value that should be a short text is shown.
const SHOWN: usize = 200;

/// What a dead letter says about itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Letter {
    /// The identity of the job, if it was given one.
    pub(crate) job_id: Option<Uuid>,
    pub(crate) batch_id: Option<Uuid>,
    /// The entity as the body has it, valid or not.
    pub(crate) entity: Option<String>,
    /// The period as the body has it, valid or not.
    pub(crate) period: Option<String>,
    pub(crate) file: Option<String>,
    /// The cause: a worker's error code, else why RabbitMQ put the letter here, else `unknown`.
    pub(crate) code: String,
    pub(crate) stage: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) replays: u32,
    pub(crate) first_failed_at: Option<DateTime<Utc>>,
    pub(crate) failed_at: Option<DateTime<Utc>>,
    pub(crate) worker: Option<String>,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The length of its body in bytes, if that is too large to be read here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) withheld: Option<i64>,
    /// What is wrong with its properties, which were then read without what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) malformed: Option<String>,
    /// The chain that its events join, if entity and period are valid.
    #[serde(skip)]
    pub(crate) slice: Option<Slice>,
    /// Tells letters of the same job_id with different bodies apart.
    #[serde(skip)]
    pub(crate) body_hash: Fingerprint,
}

impl Letter {
    /// Reads what can be read.
    pub(crate) fn read(properties: &BasicProperties, body: &[u8], now: DateTime<Utc>) -> Self {
        let envelope = Envelope::read(properties);
        let empty = FieldTable::default();
        let headers = properties.headers().as_ref().unwrap_or(&empty);
        let header = |name: &str| envelope::text(headers, name);
        let fields = fields_of(body).map(|(fields, _)| fields).unwrap_or_default();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.as_str());
        let given = |text: &str| text.parse::<Uuid>().ok();
        let (slice, body_hash) = match receive(body, &envelope, now) {
            Ok(job) => (Some(job.slice), job.body_hash),
            Err(refusal) => (refusal.slice, refusal.body_hash),
        };
        let code = header(envelope::ERROR_CODE);
        let death = code.is_none().then(|| Death::first(headers)).flatten();
        // A publisher can forge the header, and then the body is there.
        let withheld =
            (envelope.is_withheld && body.is_empty()).then(|| envelope::integer(headers, WITHHELD).unwrap_or(0));
        Self {
            job_id: field("job_id").and_then(given).or(envelope.message_id).or(envelope.job_id),
            batch_id: field("batch_id").and_then(given).or(envelope.correlation_id),
            entity: field("entity").map(|text| shortened(text, SHOWN)),
            period: field("period").map(|text| shortened(text, SHOWN)),
            file: field("file").map(|text| shortened(text, 4096)),
            code: code.or_else(|| Some(death.as_ref()?.reason.to_owned())).unwrap_or_else(|| UNKNOWN.to_owned()),
            stage: header(envelope::ERROR_STAGE),
            message: header(envelope::ERROR_MESSAGE)
                .or_else(|| death.as_ref().map(|death| death.message(withheld)))
                .or_else(|| envelope.malformed.clone()),
            attempts: envelope.attempt,
            replays: envelope.replays,
            first_failed_at: envelope.first_failed_at,
            failed_at: header(envelope::FAILED_AT)
                .and_then(|text| text.parse().ok())
                .or(death.and_then(|death| death.at)),
            worker: header(envelope::WORKER),
            fingerprint: header(envelope::FINGERPRINT).and_then(|text| text.parse().ok()),
            withheld,
            malformed: envelope.malformed,
            slice,
            body_hash,
        }
    }

    /// When it died, as far as that is known.
    pub(crate) fn at(&self) -> Option<DateTime<Utc>> {
        self.failed_at.or(self.first_failed_at)
    }

    /// What names the job in texts: its identity, or the hash of a body that has none.
    pub(crate) fn name(&self) -> String {
        match (self.job_id, self.withheld) {
            (Some(id), _) => id.to_string(),
            (None, Some(bytes)) => format!("body-of-{bytes}-bytes"),
            (None, None) => format!("body-{}", &self.body_hash.to_string()[..12]),
        }
    }

    /// An event about it, with what the audit trail should know once the letter has gone.
    pub(crate) fn event(&self, event_type: EventType, settings: &Settings) -> Event {
        let mut event = actor_event::event(event_type, settings)
            .with("error_code", self.code.as_str())
            .with("file", self.file.as_deref())
            .with("replays", self.replays)
            .with("failed_at", self.failed_at.map(micros_text));
        event.slice.clone_from(&self.slice);
        event.job_id = self.job_id;
        event.batch_id = self.batch_id;
        event.fingerprint = self.fingerprint;
        event.attempt = Some(self.attempts);
        event
    }

    /// The name under which an act on it is recorded once.
    pub(crate) fn once(&self, act: EventType, number: u32) -> String {
        format!("{act}:{}:{number}:{}", self.name(), &self.body_hash.to_string()[..12])
    }
}

/// Puts copies of the same job together, in the order of the first, the newest copy last.
///
/// A letter without identity, or with another body, is a job of its own.
pub(crate) fn merge<T>(letters: Vec<T>, letter: impl Fn(&T) -> &Letter) -> Vec<Vec<T>> {
    let mut jobs: Vec<Vec<T>> = Vec::new();
    let mut places = HashMap::new();
    for item in letters {
        let key = letter(&item).job_id.map(|id| (id, letter(&item).body_hash));
        let place = key.map_or(jobs.len(), |key| *places.entry(key).or_insert(jobs.len()));
        match jobs.get_mut(place) {
            Some(copies) => copies.push(item),
            None => jobs.push(vec![item]),
        }
    }
    for copies in &mut jobs {
        copies.sort_by_key(|item| (letter(item).replays, letter(item).at()));
    }
    jobs
}

/// The body as JSON, or as text without what could disturb a terminal.
pub(crate) fn body_value(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        let clean = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
        Value::String(text.chars().take(64 * 1024).map(clean).collect())
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use lapin::types::AMQPValue;

    use super::*;

    pub(crate) fn now() -> DateTime<Utc> {
        "2022-07-01T12:00:00Z".parse().unwrap()
    }

    /// A letter that died so many minutes ago.
    pub(crate) fn letter(job: u128, entity: &str, code: &str, minutes: i64, replays: u32) -> Letter {
        let mut headers = FieldTable::default();
        envelope::set(&mut headers, envelope::ERROR_CODE, code);
        let died = now() - chrono::TimeDelta::minutes(minutes);
        envelope::set(&mut headers, envelope::FAILED_AT, micros_text(died));
        envelope::set_integer(&mut headers, envelope::REPLAYS, replays);
        let properties = BasicProperties::default()
            .with_message_id(Uuid::from_u128(job).to_string().into())
            .with_correlation_id(Uuid::from_u128(9).to_string().into())
            .with_headers(headers);
        let body = format!(r#"{{"file": "/in/{entity}.csv", "entity": "{entity}", "period": "2022-06"}}"#);
        Letter::read(&properties, body.as_bytes(), now())
    }

    #[test]
    fn a_letter_is_understood_as_far_as_it_can_be() {
        let whole = letter(1, "ABEX", "row_invalid", 5, 2);
        assert_eq!(whole.job_id, Some(Uuid::from_u128(1)));
        assert_eq!((whole.entity.as_deref(), whole.period.as_deref()), (Some("ABEX"), Some("2022-06")));
        assert_eq!((whole.code.as_str(), whole.replays), ("row_invalid", 2));
        assert!(whole.slice.is_some());

        let mut headers = FieldTable::default();
        headers.insert("aura-job-id".into(), AMQPValue::LongString(Uuid::from_u128(3).to_string().into()));
        let garbage = Letter::read(&BasicProperties::default().with_headers(headers), b"\xff\x1b[31m", now());
        assert_eq!((garbage.job_id, garbage.slice.clone()), (Some(Uuid::from_u128(3)), None));
        assert_eq!((garbage.code.as_str(), garbage.failed_at), ("unknown", None));

        let nameless = Letter::read(&BasicProperties::default(), b"[1]", now());
        assert_eq!(nameless.job_id, None);
        assert!(nameless.name().starts_with("body-"));

        let faulty = Letter::read(&BasicProperties::default(), br#"{"entity": "abex", "period": 7}"#, now());
        assert_eq!((faulty.entity.as_deref(), faulty.period, faulty.slice), (Some("abex"), None, None));
    }

    #[test]
    fn copies_of_a_job_are_one_and_other_bodies_are_not() {
        let letters = vec![
            letter(1, "A", "timeout", 5, 1),
            letter(2, "B", "timeout", 4, 0),
            letter(1, "A", "row_invalid", 9, 0),
            letter(1, "C", "invalid_message", 1, 0),
        ];
        let jobs = merge(letters, |letter| letter);
        let shape: Vec<Vec<(&str, u32)>> =
            jobs.iter().map(|copies| copies.iter().map(|copy| (copy.code.as_str(), copy.replays)).collect()).collect();
        assert_eq!(
            shape,
            [vec![("row_invalid", 0), ("timeout", 1)], vec![("timeout", 0)], vec![("invalid_message", 0)]]
        );
        let nameless = || Letter::read(&BasicProperties::default(), b"x", now());
        assert_eq!(merge(vec![nameless(), nameless()], |letter| letter).len(), 2);
    }

    #[test]
    fn a_body_that_is_no_json_is_shown_without_control_characters() {
        assert_eq!(body_value(b"\x1b[31m\xffa\nb"), Value::String("\u{fffd}[31m\u{fffd}a\nb".to_owned()));
        assert_eq!(body_value(b"{\"a\": 1}"), serde_json::json!({"a": 1}));
    }
}
