//! Receipts as PostgreSQL has them, of jobs that ended while nobody listened.

use std::time::Duration;

use shared::{message::receipt::Receipt, settings::Settings, telemetry::chain};
use tokio::time::{Instant, timeout};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{
    db::{connect, query},
    errors::CommandError,
};

const ENDED: &str = include_str!("ended.sql");
/// How long the look-up may take, connecting included.
const LIMIT: Duration = Duration::from_secs(20);

/// Which ends of jobs are those of the messages that this call publishes.
pub(crate) struct EndedRuns<'a> {
    settings: &'a Settings,
    since: Instant,
    round: u32,
}

impl<'a> EndedRuns<'a> {
    /// The ends of jobs that are published from now on.
    pub(crate) fn from_now(settings: &'a Settings) -> Self {
        Self::of_round(0, settings)
    }

    /// The ends of jobs in a round that begins now.
    pub(crate) fn of_round(round: u32, settings: &'a Settings) -> Self {
        Self { settings, since: Instant::now(), round }
    }

    /// The receipts of those jobs that have ended.
    ///
    /// # Errors
    /// If PostgreSQL does not answer.
    pub(super) async fn receipts(&self, jobs: &[Uuid]) -> Result<Vec<Receipt>, CommandError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let seconds = i64::try_from(self.since.elapsed().as_secs()).unwrap_or(i64::MAX).saturating_add(1);
        let round = i32::try_from(self.round).unwrap_or(i32::MAX);
        let look = async {
            let pool = connect(self.settings).await?;
            let rows = query(&pool, "look up jobs that have ended", ENDED, &[&jobs, &seconds, &round]).await;
            rows.map_err(CommandError::postgres(self.settings))
        };
        let rows = timeout(LIMIT, look).await.map_err(|_| CommandError::Unanswered {
            what: format!("PostgreSQL at {}", self.settings.postgres_url),
            limit: LIMIT,
        })??;
        let mut receipts = Vec::with_capacity(rows.len());
        for row in rows {
            match row.try_get::<_, Json<Receipt>>("result") {
                Ok(Json(receipt)) => receipts.push(receipt),
                Err(error) => tracing::warn!(error = chain(&error), "a receipt cannot be read"),
            }
        }
        Ok(receipts)
    }
}
