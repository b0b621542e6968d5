//! A job that failed for good: it is published as a dead letter, and its run ends.

use chrono::{DateTime, Utc};
use lapin::message::Delivery;
use shared::{
    message::{
        envelope, event::Event, failure::Failure, job::Job, letter::Letter, outgoing::Outgoing,
        published_by::PublishedBy,
    },
    stores::{dead_letters::WholeLetter, postgres::transaction},
    timestamp,
};

use super::{
    error::SettlementError,
    events::failure_events,
    publication::{publish, send_receipt},
    writing::write_down,
};
use crate::{
    attempt::log,
    failpoint,
    outcome::FailedAttempt,
    run::{
        durable,
        failure::{Noted, note_failure},
        ownership::{self, Ownership},
    },
    services::Services,
};

/// Bytes of an error message in a header.
const MESSAGE_BYTES: usize = 4096;

/// Publishes a job as a dead letter, and ends its run.
pub(super) async fn dead_letter(
    services: &Services,
    delivery: &Delivery,
    job: &Job,
    failed: &FailedAttempt,
) -> Result<(), SettlementError> {
    failpoint::reach_for("dead_decided", &job.slice);
    // A success is final: once another copy has gone further, a letter of this one would be left over.
    let mut failed = failed.clone();
    if failed.owns_run {
        let standing = write_down(services, || Box::pin(ownership::still_owned(&services.pool, job, failed.claim)));
        let standing = standing.await?;
        if matches!(standing, Ownership::Ended(_) | Ownership::Others) {
            write_down(services, || Box::pin(durable::settle(&services.pool))).await?;
        }
        match standing {
            Ownership::Mine => {}
            Ownership::OtherBody => failed.owns_run = false,
            Ownership::Ended(receipt) => {
                tracing::warn!("the job has ended meanwhile; this copy of it is not a dead letter");
                return send_receipt(services, &receipt.again()).await;
            }
            Ownership::Others => {
                tracing::warn!("another copy of the job has gone further; this one is not a dead letter");
                return Ok(());
            }
        }
    }
    let mut message = Outgoing::again(&delivery.data, &delivery.properties, &services.topology.dead);
    message.remember(job);
    message.continue_trace();
    describe(&mut message, &failed.failure, job.attempt, job.first_failed_at, &services.worker);
    if let Some(fingerprint) = failed.fingerprint {
        message.set(envelope::FINGERPRINT, fingerprint);
    }
    let letter = &published_letter(&message, &failed.failure);
    publish(services, message).await?;
    failpoint::reach_for("dead_published", &job.slice);
    let failed = &failed;
    let (written, failed) = match write_failure(services, job, failed, letter).await {
        Err(SettlementError::Refused(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a failure cannot be written down as it is");
            let plain = &failed.without_texts();
            let mut letter = letter.clone();
            (letter.letter.message, letter.bad_rows.0) = (Some(plain.failure.message.clone()), Vec::new());
            (write_failure(services, job, plain, &letter).await?, plain.clone())
        }
        written => (written?, failed.clone()),
    };
    let events = &final_events(services, job, &failed);
    match written {
        Noted::Now => {}
        Noted::Before(receipt) => {
            // Its commit got no answer, or another copy of the job was faster.
            tracing::warn!("the end of the job stands already; its receipt is sent");
            return send_receipt(services, &receipt).await;
        }
        Noted::Replayed => {
            tracing::warn!("another round of the job has begun meanwhile; the receipt of this one is sent");
            return send_receipt(services, &failed.receipt).await;
        }
        Noted::Overtaken => {
            tracing::warn!("another copy of the job has gone further meanwhile; this dead letter does no harm");
            return Ok(());
        }
    }
    failpoint::reach_for("dead_noted", &job.slice);
    events.iter().for_each(log);
    services.metrics.failed(failed.failure.code);
    services.metrics.ended(&failed.receipt);
    if failed.owns_run {
        services.lineage.ended(job, &failed.receipt, None);
    }
    services.relay.wake();
    send_receipt(services, &failed.receipt).await
}

async fn write_failure(
    services: &Services,
    job: &Job,
    failed: &FailedAttempt,
    letter: &WholeLetter,
) -> Result<Noted, SettlementError> {
    let events = &final_events(services, job, failed);
    write_down(services, move || {
        Box::pin(transaction(&services.pool, "note_failure", move |tx, _| {
            Box::pin(note_failure(tx, job, failed, events, letter))
        }))
    })
    .await
}

/// What a failure that ends its job tells.
fn final_events(services: &Services, job: &Job, failed: &FailedAttempt) -> Vec<Event> {
    let by = PublishedBy { actor: failed.receipt.actor.clone(), user_id: failed.receipt.user_id.clone() };
    failure_events(
        |event_type| Event::of_job(event_type, &services.worker, job, failed.fingerprint),
        &failed.failure,
        None,
        &by,
    )
}

/// The letter that a message is about to be, as it is written down.
pub(super) fn published_letter(message: &Outgoing, failure: &Failure) -> WholeLetter {
    let properties = message.all_properties(true);
    WholeLetter {
        letter: Letter::read(&properties, &message.body, Utc::now()),
        body: message.body.clone().into(),
        properties,
        bad_rows: (failure.rows.clone(), failure.rows_total),
        copies: 1,
    }
}

/// Writes into the headers of a dead letter why it is one.
pub(super) fn describe(
    message: &mut Outgoing,
    failure: &Failure,
    attempt: u32,
    first_failed_at: Option<DateTime<Utc>>,
    worker: &str,
) {
    let now = Utc::now();
    message.set_integer(envelope::ATTEMPT, attempt);
    message.set(envelope::ERROR_CODE, failure.code);
    message.set(envelope::ERROR_STAGE, failure.stage);
    message.set(envelope::ERROR_MESSAGE, cut(&failure.message));
    message.set(envelope::FIRST_FAILED_AT, timestamp::millis_text(first_failed_at.unwrap_or(now)));
    message.set(envelope::FAILED_AT, timestamp::millis_text(now));
    message.set(envelope::WORKER, worker);
}

#[expect(clippy::string_slice, reason = "it is cut where a character begins")]
fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES)]
}
