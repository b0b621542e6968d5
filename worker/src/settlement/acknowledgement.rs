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

/// Takes a message out of the queue: all that follows from it is published and written down.
pub(super) async fn acknowledge(delivery: &Delivery) {
    match within(ACK_TIMEOUT, "take an acknowledgement", delivery.ack(BasicAckOptions::default())).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("the delivery is gone with its channel; the job will come again and do nothing"),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the job was not acknowledged and will come again"
            );
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
    requeue(delivery).await;
}

/// Returns a message to the queue as it is.
pub(super) async fn requeue(delivery: &Delivery) {
    let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    if let Err(error) = within(ACK_TIMEOUT, "take a message back", delivery.nack(requeue)).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the broker takes the message back by itself");
    }
}
