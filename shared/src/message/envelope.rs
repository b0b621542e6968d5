//! The envelope: what AMQP properties and headers say about a message beside its body.

use chrono::{DateTime, Utc};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use uuid::Uuid;

use crate::{
    broker::retry::MAX_ATTEMPTS,
    message::{
        job::Arrival,
        published_by::{PublishedBy, is_name},
    },
    timestamp::to_micros,
};

/// The attempt, an integer from 1.
pub const ATTEMPT: &str = "aura-attempt";
/// The identity that a worker gave to a job without one.
pub const JOB_ID: &str = "aura-job-id";
/// The export time that a worker gave to a job without one.
pub const EXPORTED_AT: &str = "aura-exported-at";
/// When a job was forced.
pub const FORCED_AT: &str = "aura-forced-at";
/// The earliest time of the first delivery of a job without an export time.
pub const ARRIVAL_FROM: &str = "aura-arrival-from";
/// Which intake took that delivery.
pub const ARRIVAL_INTAKE: &str = "aura-arrival-intake";
/// How often a dead letter was replayed.
pub const REPLAYS: &str = "aura-replays";
/// When the job first failed.
pub const FIRST_FAILED_AT: &str = "aura-first-failed-at";
/// When the job failed for good.
pub const FAILED_AT: &str = "aura-failed-at";
/// The claim under which a living worker had the job and gave it back.
pub const RETURNED_CLAIM: &str = "aura-returned-claim";
/// Who published the job, as the publisher says.
pub const ACTOR: &str = "aura-actor";
/// Whom the broker vouched for when the message first came to a worker, who publishes it again under its own name.
/// Empty if it vouched for nobody.
pub const USER_ID: &str = "aura-user-id";
/// Why the job is a dead letter.
pub const ERROR_CODE: &str = "aura-error-code";
/// In which stage it failed.
pub const ERROR_STAGE: &str = "aura-error-stage";
/// What was wrong, at most 4 KiB.
pub const ERROR_MESSAGE: &str = "aura-error-message";
/// Which worker gave it up.
pub const WORKER: &str = "aura-worker";
/// The file's fingerprint, if known.
pub const FINGERPRINT: &str = "aura-fingerprint";
/// The W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Names the question that a dry run answers.
pub const DRY_RUN: &str = "aura-dry-run";
/// The header that marks a message of which something was left out, and says what.
pub const MALFORMED: &str = "aura-malformed";
/// The header that marks a message whose body was left out. It holds the body's length in bytes.
pub const WITHHELD: &str = "aura-withheld";

/// What a delivery says beside its body. Nothing in it is trusted further than the contract goes:
/// a value of another type or out of range counts as absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Envelope {
    /// The `message_id`, if it is a UUID.
    pub message_id: Option<Uuid>,
    /// The `correlation_id`, if it is a UUID.
    pub correlation_id: Option<Uuid>,
    /// The AMQP `type`.
    pub message_type: Option<String>,
    /// The AMQP `timestamp`, in whole seconds.
    pub timestamp: Option<DateTime<Utc>>,
    /// The identity given by a worker.
    pub job_id: Option<Uuid>,
    /// The export time given by a worker.
    pub exported_at: Option<DateTime<Utc>>,
    /// When the job was forced.
    pub forced_at: Option<DateTime<Utc>>,
    /// What is known of the first delivery, if a worker noted it.
    pub arrival: Option<Arrival>,
    /// The attempt, from 1 to 4.
    pub attempt: u32,
    /// How often the message was replayed.
    pub replays: u32,
    /// When the job first failed.
    pub first_failed_at: Option<DateTime<Utc>>,
    /// The claim that a living worker gave back.
    pub returned_claim: Option<Uuid>,
    /// Who published the message.
    pub published_by: PublishedBy,
    /// Whom the message's last publisher names as its first one, to be believed of a worker alone; empty for nobody.
    pub first_user_id: Option<String>,
    /// The W3C trace context.
    pub traceparent: Option<String>,
    /// What the guard of the connection left out of the properties, if anything.
    pub malformed: Option<String>,
    /// Whether that is the body.
    pub is_withheld: bool,
}

impl Envelope {
    /// Reads a delivery's properties.
    pub fn read(properties: &BasicProperties) -> Self {
        let empty = FieldTable::default();
        let headers = properties.headers().as_ref().unwrap_or(&empty);
        let uuid = |text: &ShortString| text.as_str().parse().ok();
        Self {
            message_id: properties.message_id().as_ref().and_then(uuid),
            correlation_id: properties.correlation_id().as_ref().and_then(uuid),
            message_type: properties.kind().as_ref().map(|kind| kind.as_str().to_owned()),
            timestamp: properties
                .timestamp()
                .and_then(|seconds| i64::try_from(seconds).ok())
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
            job_id: parsed(headers, JOB_ID),
            exported_at: time(headers, EXPORTED_AT),
            forced_at: time(headers, FORCED_AT),
            arrival: Arrival::of(time(headers, ARRIVAL_FROM), parsed(headers, ARRIVAL_INTAKE)),
            attempt: integer(headers, ATTEMPT).unwrap_or(1).clamp(1, i64::from(MAX_ATTEMPTS)) as u32,
            replays: integer(headers, REPLAYS).unwrap_or(0).clamp(0, i64::from(i32::MAX)) as u32,
            first_failed_at: time(headers, FIRST_FAILED_AT),
            returned_claim: parsed(headers, RETURNED_CLAIM),
            published_by: published_by(properties, headers),
            first_user_id: text(headers, USER_ID),
            traceparent: text(headers, TRACEPARENT),
            malformed: text(headers, MALFORMED),
            is_withheld: headers.contains_key(WITHHELD),
        }
    }

    /// The same with its first publisher's user, where a worker published it again. The broker vouches for the
    /// worker, and the worker for whom it had the message from.
    pub fn from_first_publisher(mut self, is_worker: impl Fn(&str) -> bool) -> Self {
        if self.published_by.user_id.as_deref().is_some_and(is_worker)
            && let Some(first) = &self.first_user_id
        {
            self.published_by.user_id = Some(first.clone()).filter(|name| is_name(name));
        }
        self
    }
}

fn published_by(properties: &BasicProperties, headers: &FieldTable) -> PublishedBy {
    let user_id = properties.user_id().as_ref().map(|user| user.as_str().to_owned());
    PublishedBy {
        actor: text(headers, ACTOR).filter(|name| is_name(name)),
        user_id: user_id.filter(|name| is_name(name)),
    }
}

/// A header as text.
#[expect(clippy::wildcard_enum_match_arm, reason = "a header of any other type is not text")]
pub fn text(headers: &FieldTable, name: &str) -> Option<String> {
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// A header as a whole number.
#[expect(clippy::wildcard_enum_match_arm, reason = "a header of any other type is not a number")]
pub fn integer(headers: &FieldTable, name: &str) -> Option<i64> {
    match *headers.inner().get(name)? {
        AMQPValue::ShortShortInt(n) => Some(n.into()),
        AMQPValue::ShortShortUInt(n) => Some(n.into()),
        AMQPValue::ShortInt(n) => Some(n.into()),
        AMQPValue::ShortUInt(n) => Some(n.into()),
        AMQPValue::LongInt(n) => Some(n.into()),
        AMQPValue::LongUInt(n) => Some(n.into()),
        AMQPValue::LongLongInt(n) => Some(n),
        _ => None,
    }
}

fn parsed<T: std::str::FromStr>(headers: &FieldTable, name: &str) -> Option<T> {
    text(headers, name)?.parse().ok()
}

/// A header as a time, read as strictly as one in a body: RFC 3339, with a year of four digits.
fn time(headers: &FieldTable, name: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(&text(headers, name)?).ok()?;
    Some(to_micros(at.to_utc()))
}

/// Sets a header.
pub fn set(headers: &mut FieldTable, name: &str, value: impl ToString) {
    headers.insert(name.into(), AMQPValue::LongString(value.to_string().into()));
}

/// Sets a header that is a whole number.
pub fn set_integer(headers: &mut FieldTable, name: &str, value: u32) {
    headers.insert(name.into(), AMQPValue::LongInt(i32::try_from(value).unwrap_or(i32::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::published_by::MAX_NAME;

    fn with(pairs: Vec<(&str, AMQPValue)>) -> BasicProperties {
        let mut headers = FieldTable::default();
        for (name, value) in pairs {
            headers.insert(name.into(), value);
        }
        BasicProperties::default().with_headers(headers)
    }

    #[test]
    fn forged_headers_are_harmless() {
        let envelope = Envelope::read(&with(vec![
            (ATTEMPT, AMQPValue::LongLongInt(99)),
            (REPLAYS, AMQPValue::LongLongInt(-5)),
            (JOB_ID, AMQPValue::LongString("no uuid".into())),
            (EXPORTED_AT, AMQPValue::Boolean(true)),
            (FORCED_AT, AMQPValue::LongString(vec![0xff, 0xfe].into())),
        ]));
        assert_eq!(envelope, Envelope { attempt: 4, ..Envelope::default() });
        assert_eq!(Envelope::read(&with(vec![(ATTEMPT, AMQPValue::LongString("x".into()))])).attempt, 1);
    }

    #[test]
    fn who_published_is_read_within_bounds_and_said_and_vouched_for_stay_apart() {
        let said = |actor: &str| with(vec![(ACTOR, AMQPValue::LongString(actor.into()))]);
        let read = |properties: &BasicProperties| Envelope::read(properties).published_by;
        let mara = PublishedBy { actor: Some("mara".to_owned()), user_id: None };
        assert_eq!(read(&said("mara")), mara);
        let erp = PublishedBy { user_id: Some("erp".to_owned()), ..mara };
        assert_eq!(read(&said("mara").with_user_id("erp".into())), erp);
        let longest = "ä".repeat(MAX_NAME);
        assert_eq!(read(&said(&longest)).actor.as_deref(), Some(longest.as_str()));
        for bad in ["", "a\nb", "a\0", &"a".repeat(MAX_NAME + 1)] {
            assert_eq!(read(&said(bad)), PublishedBy::default(), "{bad:?}");
        }
        assert_eq!(read(&with(vec![(ACTOR, AMQPValue::LongInt(7))])), PublishedBy::default());
    }

    #[test]
    fn only_a_workers_word_counts_for_who_published_first() {
        let read = |user: &str, first: Option<&str>| {
            let headers = first.map(|first| (USER_ID, AMQPValue::LongString(first.into())));
            let properties = with(headers.into_iter().collect()).with_user_id(user.into());
            Envelope::read(&properties).from_first_publisher(|user| user == "aura").published_by.user_id
        };
        assert_eq!(read("aura", Some("erp")).as_deref(), Some("erp"));
        assert_eq!(read("aura", Some("")), None, "the broker vouched for nobody");
        assert_eq!(read("aura", Some("a\nb")), None);
        assert_eq!(read("aura", None).as_deref(), Some("aura"), "its own message");
        assert_eq!(read("erp", Some("boss")).as_deref(), Some("erp"));
        let forged = with(vec![(USER_ID, AMQPValue::LongString("boss".into()))]);
        assert_eq!(Envelope::read(&forged).from_first_publisher(|_| true).published_by.user_id, None);
    }
}
