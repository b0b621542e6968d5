//! A message that is not a job: it is dead-lettered at once, with every fault named.

use chrono::{SubsecRound, Utc};
use lapin::message::Delivery;
use shared::{
    message::{
        envelope,
        event::Event,
        failure::Failure,
        outgoing::Outgoing,
        receipt::{Receipt, Status},
        receive::Refusal,
    },
    stores::postgres::transaction,
};

use super::{
    acknowledgement::{Answer, answer, requeue_later},
    dead_letter::{describe, published_letter},
    error::SettlementError,
    events::failure_events,
    publication::{publish, send_receipt},
    writing::write_down,
};
use crate::{attempt::log, run::failure::note_refusal, services::Services};

/// Dead-letters a message that is not a job. It has no run; its events are written once.
pub(crate) async fn refuse(services: &Services, delivery: &Delivery, refusal: &Refusal) {
    let _settling = services.progress.settling();
    match refused(services, delivery, refusal).await {
        Ok(()) => answer(delivery, Answer::Acknowledge).await,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the message goes back to the queue");
            requeue_later(services, delivery).await;
        }
    }
}

async fn refused(services: &Services, delivery: &Delivery, refusal: &Refusal) -> Result<(), SettlementError> {
    let failure = refusal.failure();
    let mut message = Outgoing::again(&delivery.data, &delivery.properties, &services.topology.dead);
    message.set(envelope::JOB_ID, refusal.job_id);
    message.set_integer(envelope::REPLAYS, refusal.replays);
    message.continue_trace();
    describe(&mut message, &failure, 1, refusal.first_failed_at, &services.worker);
    let letter = &published_letter(&message, &failure);
    publish(services, message).await?;
    let event = |event_type| Event {
        slice: refusal.slice.clone(),
        job_id: Some(refusal.job_id),
        batch_id: refusal.batch_id,
        attempt: Some(1),
        ..Event::now(event_type, &services.worker)
    };
    let events = &failure_events(event, &failure, None, &refusal.published_by);
    let noted = write_down(services, move || {
        Box::pin(transaction(&services.pool, "note_refusal", move |tx, _| {
            Box::pin(note_refusal(tx, refusal, events, letter))
        }))
    });
    match noted.await {
        // The letter is out, and says what is wrong. Without its events the trail lacks it, and so says the log.
        Err(SettlementError::Refused(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a refusal cannot be written down");
        }
        noted => noted?,
    }
    events.iter().for_each(log);
    services.metrics.failed(failure.code);
    let receipt = refusal_receipt(refusal, &failure);
    services.metrics.ended(&receipt);
    services.relay.wake();
    send_receipt(services, &receipt).await
}

fn refusal_receipt(refusal: &Refusal, failure: &Failure) -> Receipt {
    Receipt {
        batch_id: refusal.batch_id,
        entity: refusal.slice.as_ref().map(|slice| slice.entity.to_string()),
        period: refusal.slice.as_ref().map(|slice| slice.period.to_string()),
        file: refusal.file.clone(),
        actor: refusal.published_by.actor.clone(),
        user_id: refusal.published_by.user_id.clone(),
        error: Some(failure.clone()),
        ..Receipt::new(Status::Failed, refusal.job_id, Utc::now().trunc_subsecs(3))
    }
}
