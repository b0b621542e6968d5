//! A dead letter, as far as it can be understood. Its body may be anything.
//!
//! The worker that publishes a letter and whoever finds it in the queue read it alike, so that both name it alike.

pub mod cause;
pub mod death;
pub mod shown;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lapin::{BasicProperties, types::FieldTable};
use serde::Serialize;
use uuid::Uuid;

use self::{
    cause::Cause,
    death::{Death, UNKNOWN},
};
use crate::{
    fingerprint::Fingerprint,
    message::{
        envelope::{self, Envelope, WITHHELD},
        event::{Event, EventType},
        receive::{fields_of, receive},
    },
    printable::shortened,
    slice::Slice,
    timestamp::micros_text,
};

/// How much of a value that should be a short text is shown.
const SHOWN: usize = 200;
/// What the identities of letters are made in.
const LETTERS: Uuid = Uuid::from_u128(0x3c1d_5f52_70c4_4d0b_9a35_0d3f_6d1e_9b77);

/// What a dead letter says about itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Letter {
    /// The identity of the job, if it was given one.
    pub job_id: Option<Uuid>,
    /// Its batch.
    pub batch_id: Option<Uuid>,
    /// The entity as the body has it, valid or not.
    pub entity: Option<String>,
    /// The period as the body has it, valid or not.
    pub period: Option<String>,
    /// The mapping profile that the body names, `default` if it names none.
    pub source: Option<String>,
    /// The file that the body names.
    pub file: Option<String>,
    /// The cause: a worker's error code, else why RabbitMQ put the letter here, else `unknown`.
    pub code: String,
    /// The stage in which it failed.
    pub stage: Option<String>,
    /// What is wrong.
    pub message: Option<String>,
    /// The attempt that failed last, from 1.
    pub attempts: u32,
    /// How often it was replayed.
    pub replays: u32,
    /// When the job first failed.
    pub first_failed_at: Option<DateTime<Utc>>,
    /// When it failed for good.
    pub failed_at: Option<DateTime<Utc>>,
    /// Which worker gave it up.
    pub worker: Option<String>,
    /// The file's fingerprint, if it was read.
    pub fingerprint: Option<Fingerprint>,
    /// The length of its body in bytes, if that is too large to be read here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<i64>,
    /// What is wrong with its properties, which were then read without what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
    /// The chain that its events join, if entity and period are valid.
    #[serde(skip)]
    pub slice: Option<Slice>,
    /// Tells letters of the same job_id with different bodies apart.
    #[serde(skip)]
    pub body_hash: Fingerprint,
}

impl Letter {
    /// Reads what can be read.
    pub fn read(properties: &BasicProperties, body: &[u8], now: DateTime<Utc>) -> Self {
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
            source: match fields.iter().any(|(key, _)| key == "source") {
                true => field("source").map(|text| shortened(text, SHOWN)),
                false => fields.first().map(|_| "default".to_owned()),
            },
            file: field("file").map(|text| shortened(text, 4096)),
            code: code
                .map(|code| shortened(&code, SHOWN))
                .or_else(|| Some(death.as_ref()?.reason.to_owned()))
                .unwrap_or_else(|| UNKNOWN.to_owned()),
            stage: header(envelope::ERROR_STAGE).map(|stage| shortened(&stage, SHOWN)),
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
    pub fn at(&self) -> Option<DateTime<Utc>> {
        self.failed_at.or(self.first_failed_at)
    }

    /// What names the job in texts: its identity, or the hash of a body that has none.
    pub fn name(&self) -> String {
        match (self.job_id, self.withheld) {
            (Some(id), _) => id.to_string(),
            (None, Some(bytes)) => format!("body-of-{bytes}-bytes"),
            (None, None) => format!("body-{}", self.short_hash()),
        }
    }

    fn short_hash(&self) -> String {
        self.body_hash.to_string().chars().take(12).collect()
    }

    /// What names this letter and its copies: a UUID made of the job, its body and its round.
    pub fn id(&self) -> Uuid {
        let (job, body) = (self.job_id.map(|id| id.to_string()).unwrap_or_default(), self.body_hash);
        let withheld = self.withheld.map(|bytes| bytes.to_string()).unwrap_or_default();
        Uuid::new_v5(&LETTERS, format!("{job}:{body}:{}:{withheld}", self.replays).as_bytes())
    }

    /// Why it is here, as a person would name it.
    pub fn cause(&self) -> Cause {
        Cause::of(self)
    }

    /// An event about it that an actor makes happen, with what the audit trail should know once the letter has gone.
    pub fn event(&self, event_type: EventType, actor: &str) -> Event {
        let mut event = Event::now(event_type, actor)
            .with("actor", actor)
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
    pub fn once(&self, act: EventType, number: u32) -> String {
        format!("{act}:{}:{number}:{}", self.name(), self.short_hash())
    }
}

/// Puts copies of the same job together, in the order of the first, the newest copy last.
///
/// A letter without identity, or with another body, is a job of its own.
pub fn merge<T>(letters: Vec<T>, letter: impl Fn(&T) -> &Letter) -> Vec<Vec<T>> {
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
}
