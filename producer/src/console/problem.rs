//! Why a page or an act is not answered as asked.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use shared::{settings::Settings, stores::postgres::PostgresError};

use crate::errors::CommandError;

/// What went wrong, for a page or for JSON; the entrance renders it as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) faults: Vec<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), faults: Vec::new() }
    }

    /// There is no such thing.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// What was sent cannot be used.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Says where the PostgreSQL is that failed.
    pub(crate) fn postgres(settings: &Settings) -> impl Fn(PostgresError) -> Self + Copy {
        let failed = CommandError::postgres(settings);
        move |error| failed(error).into()
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let status = match error.exit_code() {
            1 => StatusCode::NOT_FOUND,
            2 => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, message: error.line(), faults: error.faults().to_vec() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
