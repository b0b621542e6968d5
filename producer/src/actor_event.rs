//! The producer's own events: what an engineer did, in the log and on its way to the audit trail.

use shared::{
    message::event::{Event, EventType},
    settings::Settings,
};

/// An event of this command, which names who ran it.
pub(crate) fn event(event_type: EventType, settings: &Settings) -> Event {
    Event::now(event_type, &settings.actor).with("actor", settings.actor.as_str())
}

/// Writes an event to the log, once it is certain.
pub(crate) fn note(event: &Event) {
    tracing::info!(
        event_type = event.event_type.as_str(),
        job_id = event.job_id.map(tracing::field::display),
        batch_id = event.batch_id.map(tracing::field::display),
        entity = event.slice.as_ref().map(|slice| slice.entity.as_str()),
        period = event.slice.as_ref().map(|slice| slice.period.as_str()),
        actor = event.worker,
        "{}",
        event.event_type
    );
}
