//! Failures that go on are logged twice: when they begin, and when they are over.

use shared::stores::postgres::PostgresError;

/// Logs a failure once when it begins and once when it is over.
pub(super) struct FailureLog {
    what: &'static str,
    going_on: bool,
}

impl FailureLog {
    pub(super) const fn of(what: &'static str) -> Self {
        Self { what, going_on: false }
    }

    /// That PostgreSQL is away is said by one part for all.
    pub(super) fn begins_unless_away(&mut self, error: &PostgresError) {
        if !is_away(error) {
            self.begins(error);
        }
    }

    pub(super) fn begins(&mut self, error: &(dyn std::error::Error + 'static)) {
        if !std::mem::replace(&mut self.going_on, true) {
            tracing::error!(error, "{} fails; it is tried again until it works", self.what);
        }
    }

    pub(super) fn is_over(&mut self) {
        if std::mem::take(&mut self.going_on) {
            tracing::info!("{} works again", self.what);
        }
    }
}

fn is_away(error: &PostgresError) -> bool {
    match error {
        PostgresError::Connect(_) | PostgresError::Timeout { .. } | PostgresError::Standby => true,
        PostgresError::Statement { source, .. } => {
            source.is_closed() || source.code().is_some_and(|state| state.code().starts_with("57P"))
        }
        PostgresError::Url(_)
        | PostgresError::SharedSessions
        | PostgresError::Pool(_)
        | PostgresError::Migrate(_)
        | PostgresError::Schema(_) => false,
    }
}
