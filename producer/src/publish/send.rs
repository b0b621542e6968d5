//! Sends messages, several at a time, and knows of each whether it arrived.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use shared::{
    broker::{amqp::AmqpError, publisher::Publisher},
    message::outgoing::Outgoing,
    telemetry::chain,
};
use tokio::time::sleep;

use super::message::Prepared;

/// Messages under way at once: what the publisher has channels for.
pub(crate) const IN_FLIGHT: usize = 16;
/// Pauses before a message is sent again. Doing so is safe: the same job_id is the same job.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The broker has it.
    Confirmed,
    /// It may have arrived, or not.
    Uncertain(String),
    /// It has not arrived.
    Refused(String),
    /// It was not sent, since others had failed.
    NotTried,
}

/// Sends all messages; once one has failed for good, those not yet under way are left.
pub(crate) async fn send(publisher: &Publisher, jobs: &[Prepared]) -> Vec<Outcome> {
    let failed = AtomicBool::new(false);
    let outcomes = stream::iter(jobs).map(|prepared| async {
        if failed.load(Ordering::Relaxed) {
            return Outcome::NotTried;
        }
        let outcome = send_one(publisher, &prepared.outgoing).await;
        let (job_id, slice) = (prepared.job.job_id, &prepared.job.slice);
        match &outcome {
            Outcome::Confirmed => tracing::info!(
                %job_id, entity = slice.entity.as_str(), period = slice.period.as_str(), "published"
            ),
            Outcome::Uncertain(_) | Outcome::Refused(_) | Outcome::NotTried => failed.store(true, Ordering::Relaxed),
        }
        outcome
    });
    outcomes.buffered(IN_FLIGHT).collect().await
}

/// Sends one message, again where the broker did not answer.
pub(crate) async fn send_one(publisher: &Publisher, message: &Outgoing) -> Outcome {
    let mut pauses = PAUSES.iter();
    let mut uncertain = false;
    loop {
        let error = match publisher.publish(message).await {
            Ok(()) => return Outcome::Confirmed,
            Err(error) => error,
        };
        let text = chain(&error);
        match error {
            AmqpError::Unroutable { .. } => {
                return Outcome::Refused(format!("{text}; declare it with `aura-producer topology`"));
            }
            AmqpError::Refused => {}
            AmqpError::Timeout { .. } | AmqpError::Broker { .. } => uncertain = true,
        }
        match pauses.next() {
            Some(pause) => sleep(*pause).await,
            None if uncertain => return Outcome::Uncertain(text),
            None => return Outcome::Refused(text),
        }
    }
}
