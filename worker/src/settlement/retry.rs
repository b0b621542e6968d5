//! A failed attempt that is made again later.

use chrono::Utc;
use lapin::message::Delivery;
use shared::{
    broker::retry::Delay,
    message::{envelope, event::Event, job::Job, outgoing::Outgoing},
    stores::postgres::transaction,
    timestamp,
};

use super::{error::SettlementError, events::failure_events, publication::publish, writing::write_down};
use crate::{attempt::log, failpoint, outcome::FailedAttempt, run::failure::note_retry, services::Services};

/// Publishes a job for another attempt, and notes that this one is spent.
pub(super) async fn retry(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    failed: &FailedAttempt,
    delay: Delay,
) -> Result<(), SettlementError> {
    // Of the time at which it failed: the delay runs from the publish on, whose confirmation may come late.
    let event = |event_type| Event::of_job(event_type, &services.worker, job, failed.fingerprint);
    let events = &failure_events(event, &failed.failure, Some(delay), &job.published_by);
    let mut message = Outgoing::again(&delivery.data, &delivery.properties, services.topology.retry_queue(delay));
    message.remember(job);
    message.set_integer(envelope::ATTEMPT, job.attempt + 1);
    message.set(envelope::FIRST_FAILED_AT, timestamp::micros_text(job.first_failed_at.unwrap_or_else(Utc::now)));
    message.set(envelope::RETURNED_CLAIM, failed.claim);
    message.continue_trace();
    publish(services, message).await?;
    failpoint::reach_for("retry_published", &job.slice);
    let worker = services.worker.as_str();
    let noted = write_down(services, move || {
        Box::pin(transaction(&services.pool, "note_retry", move |tx, _| {
            Box::pin(note_retry(tx, job, failed, events, worker))
        }))
    });
    if noted.await? {
        events.iter().for_each(log);
        services.metrics.failed(failed.failure.code);
        services.metrics.retried();
        services.lineage.retried(job, &failed.failure);
        services.relay.wake();
    }
    Ok(())
}
