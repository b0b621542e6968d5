//! What a settlement publishes: the job again, to another queue, and its receipt.

use std::time::Instant;

use chrono::Utc;
use lapin::types::FieldTable;
use shared::{
    broker::amqp::AmqpError,
    message::{outgoing::Outgoing, receipt::Receipt},
};
use tracing::Instrument;

use super::error::{RETRY_DELAY, SettlementError};
use crate::{failpoint, services::Services};

/// Publishes a delivery again, to a queue. A queue that somebody deleted is declared again.
pub(super) async fn publish(services: &Services, mut message: Outgoing) -> Result<(), SettlementError> {
    if message.key != services.topology.dead
        && let Some(user) = services.publisher.user()
    {
        // So that the next worker can believe whom it names as the first publisher.
        message.user_id = Some(user.into());
    }
    match services.publisher.publish(&message).await {
        Err(AmqpError::Unroutable { .. }) => {
            tracing::warn!(queue = message.key, "the queue is gone; declaring the topology again");
            services.publisher.declare(&services.topology).await?;
            services.publisher.publish(&message).await?;
        }
        published => published?,
    }
    services.metrics.sent(&message.key);
    Ok(())
}

/// Sends a receipt, and waits as long as a queue that is bound to the receipts refuses it, but not for ever.
pub(super) async fn send_receipt(services: &Services, receipt: &Receipt) -> Result<(), SettlementError> {
    let began = Instant::now();
    let sent = sent_receipt(services, receipt).instrument(tracing::info_span!("receipt")).await;
    services.metrics.stage("receipt", began.elapsed());
    sent
}

async fn sent_receipt(services: &Services, receipt: &Receipt) -> Result<(), SettlementError> {
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
    let mut message = Outgoing {
        exchange: services.topology.events.clone(),
        key: receipt.routing_key(),
        body,
        properties,
        headers: FieldTable::default(),
        user_id: None,
        mandatory: false,
    };
    message.continue_trace();
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
    services.metrics.sent(&services.topology.events);
    failpoint::reach("receipt_sent");
    Ok(())
}
