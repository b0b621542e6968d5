//! The last step of every settlement: the broker is told what becomes of its delivery. Nothing else in the worker
//! acknowledges, rejects or returns one.

use std::time::Duration;

use lapin::{
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions},
};
use shared::broker::amqp::within;

use super::error::RETRY_DELAY;
use crate::services::Services;

/// How long the broker may take to acknowledge that it was told.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It leaves the queue: all that follows from it is published and written down.
    Acknowledge,
    /// It goes back to the queue as it is.
    Requeue,
}

/// Tells the broker what becomes of a delivery.
pub(super) async fn answer(delivery: &Delivery, answer: Answer) {
    let what = match answer {
        Answer::Acknowledge => "take an acknowledgement",
        Answer::Requeue => "take a message back",
    };
    let told = async {
        match answer {
            Answer::Acknowledge => delivery.ack(BasicAckOptions::default()).await,
            Answer::Requeue => delivery.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await,
        }
    };
    match (answer, within(ACK_TIMEOUT, what, told).await) {
        (_, Ok(true)) | (Answer::Requeue, Ok(false)) => {}
        (Answer::Acknowledge, Ok(false)) => {
            tracing::warn!("the delivery is gone with its channel; the job will come again and do nothing");
        }
        (Answer::Acknowledge, Err(error)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the job was not acknowledged and will come again"
            );
        }
        (Answer::Requeue, Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the broker takes the message back by itself");
        }
    }
}

/// Lets the broker put a message among the dead as it is: one whose body is too large to be held here.
pub(crate) async fn reject(delivery: &Delivery, reason: &str) {
    tracing::error!(reason, "a message is put among the dead as it is");
    let done = delivery.reject(BasicRejectOptions { requeue: false });
    if let Err(error) = within(ACK_TIMEOUT, "put a message among the dead", done).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the broker takes the message back by itself");
    }
}

/// Returns a message after an error, and not at once: it would come again at once.
pub(super) async fn requeue_later(services: &Services, delivery: &Delivery) {
    tokio::select! { () = services.abort.cancelled() => {}, () = tokio::time::sleep(RETRY_DELAY) => {} }
    answer(delivery, Answer::Requeue).await;
}
