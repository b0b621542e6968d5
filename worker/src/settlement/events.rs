//! The events of a failed attempt.

use shared::{
    broker::retry::Delay,
    message::{
        event::{Event, EventType},
        failure::{ErrorCode, Failure},
        published_by::PublishedBy,
    },
};

/// What a failed attempt tells: the error, and whether it will be tried again.
pub(super) fn failure_events(
    event: impl Fn(EventType) -> Event,
    failure: &Failure,
    retry: Option<Delay>,
    by: &PublishedBy,
) -> Vec<Event> {
    let mut events = Vec::new();
    if failure.code == ErrorCode::SchemaInvalid {
        let fault = serde_json::to_value(&failure.schema).unwrap_or_default();
        events.push(event(EventType::SchemaValidationFailed).with("schema", fault));
    }
    let error = event(EventType::ErrorOccurred).with("code", failure.code.as_str());
    let error = error.with("stage", failure.stage.as_str()).with("message", audit_message(failure));
    events.push(error.with("bad_rows", failure.rows_total));
    events.push(match retry {
        Some(delay) => event(EventType::RetryScheduled).with("delay_seconds", delay.duration().as_secs()),
        None => event(EventType::DeadLettered).with("code", failure.code.as_str()).with_published_by(by),
    });
    events
}

/// The message as log and audit trail have it: without the cells that a result may show.
#[expect(clippy::wildcard_enum_match_arm, reason = "these are the ones whose messages show cells")]
pub(crate) fn audit_message(failure: &Failure) -> &str {
    match failure.code {
        ErrorCode::SliceNotFound => "the file has no row of the slice",
        ErrorCode::AmbiguousAmounts => "the amounts of the file have two readings",
        ErrorCode::DuplicateKey => "rows have the same company_code and account_code",
        _ => &failure.message,
    }
}
