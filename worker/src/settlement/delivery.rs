//! Carries a settlement out.
//!
//! The order is always: publish and have it confirmed, write it down in PostgreSQL, acknowledge. What
//! dies in between leaves the message where it was, and a copy that the run tells apart.

use futures_util::future::join;
use lapin::message::Delivery;
use shared::{
    broker::retry::Delay,
    message::{envelope, job::Job, outgoing::Outgoing, receipt::Status},
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    acknowledgement::{Answer, answer, requeue_later},
    dead_letter::dead_letter,
    error::SettlementError,
    policy::{PARKED, Settlement},
    publication::{publish, send_receipt},
    retry::retry,
    writing::release,
};
use crate::{
    failpoint,
    outcome::Ended,
    relay::{SINKS, sink::AtOnce},
    services::Services,
};

/// Carries out what was decided about a delivery, whose attempt was made under this claim.
pub(crate) async fn apply(services: &Services, delivery: &Delivery, job: &Job, claim: Uuid, settlement: Settlement) {
    let _settling = services.progress.settling();
    let done = match settlement {
        Settlement::Conclude(ended) => conclude(services, job, *ended).await,
        Settlement::Repeat(receipt) => send_receipt(services, &receipt.again()).await,
        Settlement::Retry { failed, delay } => retry(services, delivery, job, &failed, delay).await,
        Settlement::DeadLetter(failed) => dead_letter(services, delivery, job, &failed).await,
        Settlement::Park { claim, delay } => park(services, delivery, job, claim, delay).await,
        Settlement::Drop => Ok(()),
    };
    match done {
        Ok(()) => {
            failpoint::reach_for("before_ack", &job.slice);
            answer(delivery, Answer::Acknowledge).await;
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the job goes back to the queue");
            release(services, claim).await;
            requeue_later(services, delivery).await;
        }
    }
}

/// What follows from a job's end: what sinks do at once, and its receipt.
async fn conclude(services: &Services, job: &Job, ended: Ended) -> Result<(), SettlementError> {
    let Ended { receipt, cache_file, facts } = ended;
    services.lineage.ended(job, &receipt, facts.as_ref());
    services.metrics.ended(&receipt);
    if receipt.status != Status::Success {
        let sent = send_receipt(services, &receipt).await;
        services.relay.wake();
        return sent;
    }
    // After the commit nothing fails the job: what is left undone here, the relay does.
    let (is_seen, seen) = oneshot::channel();
    let at_once = async {
        let at_once = AtOnce { cache_file, is_seen };
        if let Some(do_at_once) = SINKS.iter().find_map(|sink| sink.at_once) {
            do_at_once(services, job, at_once).await;
        }
    };
    let sending = async {
        let _ = seen.await;
        let sent = send_receipt(services, &receipt).await;
        // What nobody waits for does not compete with that.
        services.relay.wake();
        sent
    };
    join(at_once, sending).await.1
}

/// Gives a job back for a while. Its attempt, identity and times go with it, and that its worker lives.
async fn park(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    claim: Option<Uuid>,
    delay: Delay,
) -> Result<(), SettlementError> {
    let mut message = Outgoing::again(&delivery.data, &delivery.properties, services.topology.retry_queue(delay));
    if job.id_is_made && claim.is_none() {
        // No run has that identity. The next delivery may find the one that a dead worker left.
        message.remember_times(job);
    } else {
        message.remember(job);
    }
    message.set_integer(envelope::ATTEMPT, job.attempt);
    message.continue_trace();
    if let Some(claim) = claim {
        release(services, claim).await;
    }
    if let Some(claim) = claim.or(job.returned_claim) {
        message.set(envelope::RETURNED_CLAIM, claim);
    }
    publish(services, message).await?;
    services.metrics.parked();
    Ok(())
}

/// Gives back a delivery that was not begun. A job whose place among the exports is that of this delivery is
/// parked with it, since the next delivery would not know it; any other goes back to the queue as it is.
pub(crate) async fn return_unbegun(services: &Services, delivery: &Delivery, job: Option<&Job>) {
    let mut is_parked = false;
    // While the broker takes no messages, parking would only make a stop wait.
    if let Some(job) = job.filter(|job| job.is_stamped)
        && services.publisher.is_ready().await
    {
        let parked = park(services, delivery, job, None, PARKED).await;
        if let Err(error) = &parked {
            tracing::debug!(error = error as &dyn std::error::Error, "a job goes back without its time");
        }
        is_parked = parked.is_ok();
    }
    answer(delivery, if is_parked { Answer::Acknowledge } else { Answer::Requeue }).await;
}
