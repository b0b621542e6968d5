//! Carries a settlement out: the one place that publishes, writes down and acknowledges.
//!
//! The order is always: publish and have it confirmed, write it down in PostgreSQL, acknowledge. What
//! dies in between leaves the message where it was, and a copy that the run tells apart.

use std::{pin::Pin, time::Duration};

use chrono::Utc;
use lapin::{
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions},
    types::FieldTable,
};
use shared::{
    broker::{
        amqp::{AmqpError, Outgoing, within},
        topology::TopologyError,
    },
    message::{
        envelope::{self, republished, set, set_integer},
        job::Job,
        receipt::{Receipt, Status},
    },
    stores::postgres::PostgresError,
};
use uuid::Uuid;

pub(crate) use crate::settlement::failing::refuse;
use crate::{
    cache, failpoint,
    outcome::{FailedAttempt, Outage, Outcome},
    run::claim,
    services::Services,
    settlement::{
        failing::{dead_letter, retry},
        policy::{PARKED, Settlement},
    },
};

/// How long the broker may take to acknowledge that it was told.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before something that failed is tried again, or given back.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a job waits for the cache file of its slice before it leaves it to the relay.
const CACHE_TIMEOUT: Duration = Duration::from_secs(60);

/// A settlement could not be carried out; the message stays with the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettlementError {
    #[error("a message could not be published")]
    Publish(#[from] AmqpError),
    #[error("the topology could not be declared again")]
    Topology(#[from] TopologyError),
    #[error("an outcome could not be written down before the worker stopped")]
    Write(#[source] PostgresError),
    #[error("PostgreSQL refuses what is to be written down")]
    Refused(#[source] PostgresError),
    #[error("the outcome {0} was settled in a way that does not fit it")]
    Misfit(String),
}

/// Carries out what was decided about a delivery.
pub(crate) async fn apply(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    claim: Uuid,
    outcome: Outcome,
    settlement: Settlement,
) {
    let _settling = services.progress.settling();
    let done = match settlement {
        Settlement::Receipt => finish(services, job, outcome).await,
        Settlement::Retry(delay) => match failed_in(outcome) {
            Ok(failed) => retry(services, delivery, job, &failed, delay).await,
            Err(misfit) => Err(misfit),
        },
        Settlement::DeadLetter => match failed_in(outcome) {
            Ok(failed) => dead_letter(services, delivery, job, &failed).await,
            Err(misfit) => Err(misfit),
        },
        Settlement::Park(delay) => park(services, delivery, job, claimed_in(&outcome), delay).await,
        Settlement::Return => park(services, delivery, job, Some(claim), RETRY_DELAY).await,
        Settlement::Drop => Ok(()),
        Settlement::RunIsolated | Settlement::RunAs(_) | Settlement::RunAt { .. } => Err(misfit(&outcome)),
    };
    match done {
        Ok(()) => {
            failpoint::reach_for("before_ack", &job.slice);
            acknowledge(delivery).await;
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the job goes back to the queue");
            release(services, claim).await;
            requeue(services, delivery).await;
        }
    }
}

fn misfit(outcome: &Outcome) -> SettlementError {
    SettlementError::Misfit(format!("{outcome:?}"))
}

fn failed_in(outcome: Outcome) -> Result<Box<FailedAttempt>, SettlementError> {
    if let Outcome::Failed(failed) = outcome { Ok(failed) } else { Err(misfit(&outcome)) }
}

/// The claim under which an outage met the job.
fn claimed_in(outcome: &Outcome) -> Option<Uuid> {
    match outcome {
        Outcome::Outage(Outage::Postgres(claim) | Outage::InputRoot(claim) | Outage::Local(claim)) => *claim,
        Outcome::Ended(_)
        | Outcome::EndedBefore(_)
        | Outcome::Failed(_)
        | Outcome::Busy
        | Outcome::NeedsIsolation
        | Outcome::Orphaned(_)
        | Outcome::Misnumbered { .. }
        | Outcome::Redundant
        | Outcome::Stopped => None,
    }
}

/// What follows from a job's end: the cache of its slice, and its receipt.
async fn finish(services: &Services, job: &Job, outcome: Outcome) -> Result<(), SettlementError> {
    if let Outcome::EndedBefore(receipt) = outcome {
        return send_receipt(services, &receipt.again()).await;
    }
    let Outcome::Ended(receipt) = outcome else { return Err(misfit(&outcome)) };
    services.metrics.ended(receipt.status, receipt.rows, receipt.duration_seconds);
    services.relay.notify_one();
    if receipt.status == Status::Success && !services.cache_trouble.is_recent() {
        // After the commit nothing fails the job: what is left undone here, the relay does.
        let publish = cache::publish(&services.pool, &services.cache, &job.slice);
        match tokio::time::timeout(CACHE_TIMEOUT, publish).await {
            Ok(Ok(_)) => failpoint::reach_for("cached", &job.slice),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the Parquet file is not written yet");
                services.cache_trouble.note();
            }
            Err(_) => {
                tracing::warn!("the Parquet file takes too long; it is left to the relay");
                services.cache_trouble.note();
            }
        }
    }
    send_receipt(services, &receipt).await
}

pub(super) async fn send_receipt(services: &Services, receipt: &Receipt) -> Result<(), SettlementError> {
    let body = serde_json::to_vec(receipt).unwrap_or_default();
    let mut properties = lapin::BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_type("aura.receipt.v1".into())
        .with_message_id(receipt.job_id.to_string().into())
        .with_timestamp(Utc::now().timestamp().unsigned_abs());
    if let Some(batch) = receipt.batch_id {
        properties = properties.with_correlation_id(batch.to_string().into());
    }
    let message = Outgoing {
        exchange: services.topology.events.clone(),
        key: receipt.routing_key(),
        body,
        properties,
        headers: FieldTable::default(),
        mandatory: false,
    };
    let mut sent = services.publisher.publish(&message).await;
    while let Err(AmqpError::Refused) = sent {
        services.progress.receipt_taken(false);
        if services.progress.receipts_are_refused() {
            // The broker hands it to every other queue that is bound. Whoever's queue takes nothing must not
            // stop the fleet.
            tracing::warn!("a queue that is bound to the receipts takes none; jobs no longer wait for it");
            return Ok(());
        }
        tokio::select! { () = services.abort.cancelled() => break, () = tokio::time::sleep(RETRY_DELAY) => {} }
        sent = services.publisher.publish(&message).await;
    }
    sent?;
    services.progress.receipt_taken(true);
    failpoint::reach("receipt_sent");
    Ok(())
}

/// Gives a job back for a while. Its attempt, identity and times go with it, and that its worker lives.
async fn park(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    claim: Option<Uuid>,
    delay: Duration,
) -> Result<(), SettlementError> {
    let (_, mut headers) = republished(&delivery.properties, false);
    if job.id_is_made && claim.is_none() {
        // No run has that identity. The next delivery may find the one that a dead worker left.
        envelope::remember_times(&mut headers, job);
    } else {
        envelope::remember(&mut headers, job);
    }
    set_integer(&mut headers, envelope::ATTEMPT, job.attempt);
    if let Some(claim) = claim {
        release(services, claim).await;
    }
    if let Some(claim) = claim.or(job.returned_claim) {
        set(&mut headers, envelope::RETURNED_CLAIM, claim);
    }
    publish(services, delivery, headers, services.topology.retry_queue(delay)).await?;
    services.metrics.parked();
    Ok(())
}

/// Lets the broker put a message among the dead as it is: one whose body is too large to be held here.
pub(crate) async fn reject(delivery: &Delivery, reason: &str) {
    tracing::error!(reason, "a message is put among the dead as it is");
    let done = delivery.reject(BasicRejectOptions { requeue: false });
    if let Err(error) = within(ACK_TIMEOUT, "put a message among the dead", done).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the broker takes the message back by itself");
    }
}

/// Gives back a delivery that was not begun. A job whose place among the exports is that of this delivery is
/// parked with it, since the next delivery would not know it; any other goes back to the queue as it is.
pub(crate) async fn return_unbegun(services: &Services, delivery: &Delivery, stamped: Option<&Job>) {
    // While the broker takes no messages, parking would only make a stop wait.
    if let Some(job) = stamped
        && services.publisher.is_ready().await
    {
        match park(services, delivery, job, None, PARKED).await {
            Ok(()) => return acknowledge(delivery).await,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a job goes back without its time");
            }
        }
    }
    let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    if let Err(error) = within(ACK_TIMEOUT, "take a message back", delivery.nack(requeue)).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the broker takes the message back by itself");
    }
}

/// Publishes a delivery again, to a queue. A queue that somebody deleted is declared again.
pub(super) async fn publish(
    services: &Services,
    delivery: &Delivery,
    headers: FieldTable,
    queue: &str,
) -> Result<(), SettlementError> {
    let (mut properties, _) = republished(&delivery.properties, false);
    if queue != services.topology.dead
        && let Some(user) = services.publisher.user()
    {
        // So that the next worker can believe whom it names as the first publisher.
        properties = properties.with_user_id(user.into());
    }
    let message = Outgoing {
        exchange: String::new(),
        key: queue.to_owned(),
        body: delivery.data.clone(),
        properties,
        headers,
        mandatory: true,
    };
    match services.publisher.publish(&message).await {
        Err(AmqpError::Unroutable { .. }) => {
            tracing::warn!(queue, "the queue is gone; declaring the topology again");
            services.publisher.declare(&services.topology).await?;
            Ok(services.publisher.publish(&message).await?)
        }
        published => Ok(published?),
    }
}

type Writing<'a, T> = Pin<Box<dyn Future<Output = Result<T, PostgresError>> + Send + 'a>>;

/// Writes down what was published, for as long as it takes: the message must not come again, or it
/// would be published again. What PostgreSQL refuses it will refuse again, so that ends it.
pub(super) async fn write_down<'a, T>(
    services: &Services,
    write: impl Fn() -> Writing<'a, T>,
) -> Result<T, SettlementError> {
    loop {
        let error = match write().await {
            Ok(written) => return Ok(written),
            Err(error) if error.is_refusal() => return Err(SettlementError::Refused(error)),
            Err(error) => error,
        };
        if services.outages.probe_postgres(&services.pool).await.is_ok() {
            tracing::warn!(error = &error as &dyn std::error::Error, "an outcome is not written down yet");
        }
        tokio::select! {
            () = services.abort.cancelled() => return Err(SettlementError::Write(error)),
            () = tokio::time::sleep(RETRY_DELAY) => {}
        }
    }
}

/// Tells PostgreSQL, now or once it answers, that a claim's worker lives.
async fn release(services: &Services, claim: Uuid) {
    if services.outages.postgres_is_away() || claim::release(&services.pool, &[claim]).await.is_err() {
        services.outages.release_later(claim);
    }
}

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

/// Returns a message after an error, and not at once: it would come again at once.
pub(super) async fn requeue(services: &Services, delivery: &Delivery) {
    tokio::select! { () = services.abort.cancelled() => {}, () = tokio::time::sleep(RETRY_DELAY) => {} }
    let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    if let Err(error) = within(ACK_TIMEOUT, "take a message back", delivery.nack(requeue)).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the broker takes the message back by itself");
    }
}
