//! What a settlement writes down in PostgreSQL, after it has published and before it acknowledges.

use std::pin::Pin;

use shared::stores::postgres::PostgresError;
use uuid::Uuid;

use super::error::{RETRY_DELAY, SettlementError};
use crate::{run::ownership, services::Services};

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
pub(super) async fn release(services: &Services, claim: Uuid) {
    if services.outages.postgres_is_away() || ownership::release(&services.pool, &[claim]).await.is_err() {
        services.outages.release_later(claim);
    }
}
