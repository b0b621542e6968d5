//! Why RabbitMQ put a message among the dead by itself.

use chrono::{DateTime, Utc};
use lapin::types::{AMQPValue, FieldTable};

use crate::{message::envelope, printable::shortened};

/// How much of a queue's name is shown.
const SHOWN: usize = 200;
/// The code of a letter of which nothing says why it is here.
pub const UNKNOWN: &str = "unknown";
/// Why RabbitMQ puts messages here.
const REASONS: [&str; 4] = ["expired", "rejected", "delivery_limit", "maxlen"];
/// The codes that letters may have besides those of the workers.
pub const CODES: [&str; 5] = [UNKNOWN, REASONS[0], REASONS[1], REASONS[2], REASONS[3]];

/// What RabbitMQ says of a message that it put here by itself: the newest entry of `x-death`.
pub(super) struct Death {
    pub(super) reason: &'static str,
    queue: String,
    pub(super) at: Option<DateTime<Utc>>,
}

impl Death {
    /// Reads it, if it is there.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a header of any other type is not RabbitMQ's")]
    pub(super) fn first(headers: &FieldTable) -> Option<Self> {
        let entry = match headers.inner().get("x-death")? {
            AMQPValue::FieldArray(deaths) => deaths.as_slice().first()?,
            _ => return None,
        };
        let AMQPValue::FieldTable(entry) = entry else { return None };
        let reason = envelope::text(entry, "reason")?;
        let at = match entry.inner().get("time") {
            Some(AMQPValue::Timestamp(seconds)) => i64::try_from(*seconds).ok(),
            _ => None,
        };
        Some(Self {
            reason: REASONS.into_iter().find(|known| *known == reason)?,
            queue: envelope::text(entry, "queue")
                .map_or_else(|| "its queue".to_owned(), |name| shortened(&name, SHOWN)),
            at: at.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        })
    }

    /// What that means, and what to do.
    pub(super) fn message(&self, withheld: Option<i64>) -> String {
        let queue = &self.queue;
        match (self.reason, withheld) {
            ("expired", _) => format!(
                "the expiration that its publisher set passed in {queue} before a worker took it; replay it, which \
                 drops the expiration"
            ),
            ("rejected", Some(bytes)) => format!(
                "a worker put it aside unread: its body of {bytes} bytes is too large; a message names a file and \
                 does not contain it; have it published anew, and discard it"
            ),
            ("rejected", None) => format!("a consumer of {queue} rejected it; find out which, then replay it"),
            ("delivery_limit", _) => format!(
                "it was taken from {queue} and given back too often, and by something other than a worker, whose \
                 limit is out of reach; find out what consumes there, then replay it"
            ),
            _ => format!("{queue} was full by a policy of the broker; raise its limit, then replay it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;

    use super::{
        super::{Letter, tests::now},
        *,
    };
    use crate::message::envelope::WITHHELD;

    #[test]
    fn a_letter_that_rabbitmq_put_here_has_its_reason_for_a_code() {
        let died = |reason: &str, body: &str, more: Option<(&str, AMQPValue)>| {
            let mut entry = FieldTable::default();
            entry.insert("reason".into(), AMQPValue::LongString(reason.into()));
            entry.insert("queue".into(), AMQPValue::LongString("aura.jobs".into()));
            entry.insert("time".into(), AMQPValue::Timestamp(1_656_676_800));
            let mut headers = FieldTable::default();
            headers.insert("x-death".into(), AMQPValue::FieldArray(vec![AMQPValue::FieldTable(entry)].into()));
            if let Some((name, value)) = more {
                headers.insert(name.into(), value);
            }
            Letter::read(&BasicProperties::default().with_headers(headers), body.as_bytes(), now())
        };
        let expired = died("expired", "{}", None);
        assert_eq!((expired.code.as_str(), expired.failed_at), ("expired", Some(now())));
        assert!(expired.message.unwrap().contains("aura.jobs"));
        let of_worker = died("expired", "{}", Some((envelope::ERROR_CODE, AMQPValue::LongString("timeout".into()))));
        assert_eq!((of_worker.code.as_str(), of_worker.message, of_worker.failed_at), ("timeout", None, None));
        assert_eq!(died("forged", "{}", None).code, UNKNOWN);
        let withheld = |body| died("rejected", body, Some((WITHHELD, AMQPValue::LongLongInt(2 << 20))));
        assert_eq!(withheld("{}").withheld, None, "whoever has the body knows that it was not left out");
        let large = withheld("");
        assert_eq!((large.code.as_str(), large.withheld), ("rejected", Some(2 << 20)));
        assert!(large.message.unwrap().contains("2097152 bytes"));
    }
}
