//! The outbox: audit events are written to PostgreSQL in the transaction of what they tell of, so that neither is there
//! without the other.

use deadpool_postgres::GenericClient;
use serde_json::json;

use crate::{
    message::event::Event,
    stores::{audit_chain, postgres::PostgresError, storable::Storable},
    timestamp::millis_text,
};

const RECORD: &str = include_str!("outbox_record.sql");

/// An event, and the name under which it is written only once while it is on its way.
pub type Once<'a> = (&'a Event, Option<&'a str>);

/// Writes events into the outbox, in their order, within the caller's transaction.
///
/// # Errors
/// If PostgreSQL fails.
pub async fn record(client: &impl GenericClient, events: &[Event]) -> Result<(), PostgresError> {
    let events: Vec<Once<'_>> = events.iter().map(|event| (event, None)).collect();
    record_once(client, &events).await.map(|_| ())
}

/// Writes events into the outbox unless one of the same name is on its way; returns how many were new.
///
/// # Errors
/// If PostgreSQL fails.
pub async fn record_once(client: &impl GenericClient, events: &[Once<'_>]) -> Result<u64, PostgresError> {
    let (mut entities, mut periods) = (Vec::new(), Vec::new());
    let (mut documents, mut names) = (Vec::<Storable>::new(), Vec::new());
    for (event, once) in events {
        let (entity, period) = audit_chain::of(event.slice.as_ref());
        entities.push(entity);
        periods.push(period);
        documents.push(document(event));
        names.push(*once);
    }
    let statement = client.prepare_cached(RECORD).await.map_err(PostgresError::in_("prepare the outbox"))?;
    let written = client.execute(&statement, &[&entities, &periods, &documents, &names]).await;
    written.map_err(PostgresError::in_("record events"))
}

/// The event as the audit trail will hold it, before it has a place in its chain.
fn document(event: &Event) -> Storable {
    let (entity, period) = audit_chain::of(event.slice.as_ref());
    Storable::of(&json!({
        "event_type": event.event_type,
        "timestamp": millis_text(event.at),
        "entity": entity,
        "period": period,
        "job_id": event.job_id,
        "batch_id": event.batch_id,
        "file_fingerprint": event.fingerprint,
        "attempt": event.attempt,
        "worker": event.worker,
        "metadata": event.metadata,
    }))
}
