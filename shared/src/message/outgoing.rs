//! A message on its way out: a new one, or a delivery that is published again.

use lapin::{
    BasicProperties,
    types::{FieldTable, ShortString},
};

use crate::{
    message::{
        envelope::{self, set, set_integer},
        job::{Arrival, Job},
    },
    telemetry,
    timestamp::micros_text,
};

/// A message to publish.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The exchange; the empty name routes by queue.
    pub exchange: String,
    /// The routing key, or the queue's name.
    pub key: String,
    /// The body.
    pub body: Vec<u8>,
    /// The properties, without headers and user.
    pub properties: BasicProperties,
    /// The headers.
    pub headers: FieldTable,
    /// Whom the broker is to vouch for. It does so only for the user who publishes.
    pub user_id: Option<ShortString>,
    /// Whether a message that no queue takes is an error.
    pub mandatory: bool,
}

impl Outgoing {
    /// A delivery that is published again, to this queue: with what it came with, less what the broker added on
    /// its way (a stale `x-death` makes the broker take a retry for a cycle and drop it) and less what an earlier
    /// failure left, or an earlier worker said of who published it.
    pub fn again(body: &[u8], came_with: &BasicProperties, queue: &str) -> Self {
        let headers = came_with.headers().clone().unwrap_or_default();
        Self {
            exchange: String::new(),
            key: queue.to_owned(),
            body: body.to_vec(),
            properties: kept(came_with),
            headers: without(&headers, is_of_the_past),
            user_id: came_with.user_id().clone(),
            mandatory: true,
        }
    }

    /// All properties, with the user for whom the broker is to vouch or without.
    pub fn all_properties(&self, names_user: bool) -> BasicProperties {
        let properties = self.properties.clone().with_headers(self.headers.clone());
        match &self.user_id {
            Some(user) if names_user => properties.with_user_id(user.clone()),
            Some(_) | None => properties,
        }
    }

    /// Has what becomes of it belong to the trace of what is done now, if that is exported.
    pub fn continue_trace(&mut self) {
        if let Some(context) = telemetry::traceparent() {
            self.set(envelope::TRACEPARENT, context);
        }
    }

    /// Leaves headers out.
    pub fn leave_out(&mut self, names: &[&str]) {
        self.headers = without(&self.headers, |name| names.contains(&name));
    }

    /// Sets a header.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        set(&mut self.headers, name, value);
    }

    /// Sets a header that is a whole number.
    pub fn set_integer(&mut self, name: &str, value: u32) {
        set_integer(&mut self.headers, name, value);
    }

    /// Writes down what a worker decided about a job when it first saw it, so that every later delivery
    /// is the same job.
    pub fn remember(&mut self, job: &Job) {
        self.set(envelope::JOB_ID, job.job_id);
        self.remember_times(job);
    }

    /// Writes down where a job stands among the exports, in which round it is, and who published it.
    pub fn remember_times(&mut self, job: &Job) {
        self.set(envelope::EXPORTED_AT, micros_text(job.exported_at));
        if let Some(at) = job.forced_at {
            self.set(envelope::FORCED_AT, micros_text(at));
        }
        if let Some(Arrival { from, intake }) = job.arrival {
            self.set(envelope::ARRIVAL_FROM, micros_text(from));
            self.set(envelope::ARRIVAL_INTAKE, intake);
        }
        self.set(envelope::USER_ID, job.published_by.user_id.as_deref().unwrap_or_default());
        self.set_integer(envelope::REPLAYS, job.replays);
    }
}

fn without(headers: &FieldTable, leaves_out: impl Fn(&str) -> bool) -> FieldTable {
    let mut kept = FieldTable::default();
    for (name, value) in headers.inner().iter().filter(|(name, _)| !leaves_out(name.as_str())) {
        kept.insert(name.clone(), value.clone());
    }
    kept
}

fn is_of_the_past(header: &str) -> bool {
    let of_broker = matches!(header, "x-death" | "x-delivery-count" | "x-acquired-count")
        || header.starts_with("x-first-death-")
        || header.starts_with("x-last-death-");
    let of_guard = [envelope::MALFORMED, envelope::WITHHELD];
    let of_failure = [
        envelope::ERROR_CODE,
        envelope::ERROR_STAGE,
        envelope::ERROR_MESSAGE,
        envelope::FAILED_AT,
        envelope::WORKER,
        envelope::RETURNED_CLAIM,
    ];
    of_broker || of_guard.contains(&header) || of_failure.contains(&header) || header == envelope::USER_ID
}

/// The properties of a delivery that go on with it.
fn kept(properties: &BasicProperties) -> BasicProperties {
    // An expiration of the publisher's own would let the broker drop the message.
    let kept = BasicProperties::default().with_delivery_mode(2);
    let kept = match properties.message_id() {
        Some(id) => kept.with_message_id(id.clone()),
        None => kept,
    };
    let kept = match properties.correlation_id() {
        Some(id) => kept.with_correlation_id(id.clone()),
        None => kept,
    };
    let kept = match properties.kind() {
        Some(kind) => kept.with_type(kind.clone()),
        None => kept,
    };
    let kept = match properties.timestamp() {
        Some(at) => kept.with_timestamp(*at),
        None => kept,
    };
    let kept = match properties.content_type() {
        Some(content_type) => kept.with_content_type(content_type.clone()),
        None => kept,
    };
    match properties.app_id() {
        Some(app) => kept.with_app_id(app.clone()),
        None => kept,
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::AMQPValue;

    use super::*;

    #[test]
    fn republishing_drops_what_the_broker_added_and_keeps_what_the_publisher_said() {
        let headers = [
            ("x-death", AMQPValue::LongInt(1)),
            ("x-first-death-queue", AMQPValue::LongInt(1)),
            ("x-delivery-count", AMQPValue::LongInt(1)),
            (envelope::ERROR_CODE, AMQPValue::LongString("timeout".into())),
            (envelope::TRACEPARENT, AMQPValue::LongString("00-1".into())),
            ("tenant", AMQPValue::LongInt(7)),
            (envelope::USER_ID, AMQPValue::LongString("boss".into())),
        ];
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name.into(), value);
        }
        let came = BasicProperties::default()
            .with_headers(table)
            .with_message_id("m".into())
            .with_expiration("5".into())
            .with_timestamp(7);
        let Outgoing { properties, headers, .. } = Outgoing::again(b"{}", &came, "aura.retry.1s");
        let names: Vec<_> = headers.inner().keys().map(|k| k.as_str()).collect();
        assert_eq!(names, ["tenant", envelope::TRACEPARENT]);
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "m");
        assert_eq!(*properties.timestamp(), Some(7));
        assert_eq!(*properties.expiration(), None, "a publisher's expiration would lose the job");
    }
}
