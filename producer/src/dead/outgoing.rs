//! The message that goes out for a dead letter.

use lapin::BasicProperties;
use serde_json::Map;
use shared::{
    broker::topology::{JOB_KEY, Topology},
    message::{envelope, job::SourceName, outgoing::Outgoing, published_by::PublishedBy, receive::fields_of},
    telemetry::{continue_trace, traceparent_of},
};
use uuid::Uuid;

use super::queue::Dead;
use crate::{
    errors::CommandError,
    publish::message::{Batch, Prepared},
};

/// The letter that a message is made of, in hand or written down.
pub(crate) struct Source<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) properties: &'a BasicProperties,
    pub(crate) job_id: Option<Uuid>,
    pub(crate) batch_id: Option<Uuid>,
    /// What names its job in texts.
    pub(crate) name: String,
}

impl<'a> From<&'a Dead> for Source<'a> {
    fn from(dead: &'a Dead) -> Self {
        let Dead { letter, body, properties, .. } = dead;
        Self { body, properties, job_id: letter.job_id, batch_id: letter.batch_id, name: letter.name() }
    }
}

/// The same job, as it was published, for a first attempt. Who replays it stands for it as well.
pub(crate) fn again(dead: &Source<'_>, number: u32, topology: &Topology, by: &PublishedBy) -> Outgoing {
    let mut message = Outgoing::again(dead.body, dead.properties, JOB_KEY);
    message.exchange.clone_from(&topology.jobs_exchange);
    message.leave_out(&[envelope::ATTEMPT, envelope::FIRST_FAILED_AT, envelope::FINGERPRINT]);
    if let Some(user) = &by.user_id {
        message.user_id = Some(user.as_str().into());
    }
    if dead.job_id.is_none() {
        // From here on it has one, whatever becomes of it.
        message.set(envelope::JOB_ID, Uuid::now_v7());
    }
    message.set_integer(envelope::REPLAYS, number);
    let span = tracing::info_span!(
        parent: None,
        "replay",
        otel.kind = "producer",
        job_id = dead.job_id.map(tracing::field::display),
        trace_id = tracing::field::Empty,
    );
    continue_trace(&span, envelope::text(&message.headers, envelope::TRACEPARENT).as_deref());
    if let Some(context) = traceparent_of(&span) {
        message.set(envelope::TRACEPARENT, context);
    }
    message
}

/// A new job with what the dead one asked for, except its file, identity, export time and SHA-256, and its mapping
/// profile if another is named.
pub(crate) fn corrected(
    dead: &Source<'_>,
    file: &str,
    source: Option<&SourceName>,
    topology: &Topology,
    by: PublishedBy,
) -> Result<Prepared, CommandError> {
    let what = || format!("the body of job {} cannot be used for a new one", dead.name);
    let faulty = |faults| CommandError::Faults { what: what(), faults };
    let (fields, _) = fields_of(dead.body).map_err(|fault| faulty(vec![fault]))?;
    let mut fields: Map<_, _> = fields.into_iter().collect();
    for name in ["job_id", "batch_id", "exported_at", "sha256"] {
        fields.remove(name);
    }
    fields.insert("file".to_owned(), file.into());
    if let Some(source) = source {
        fields.insert("source".to_owned(), source.as_str().into());
    }
    let batch = Batch::new(dead.batch_id.unwrap_or_else(Uuid::now_v7), Map::new(), topology, by)?;
    batch.prepare(fields).map_err(faulty)
}
