//! `migrate`: brings PostgreSQL's schema up to date.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use shared::{settings::Settings, stores::postgres};

use crate::{
    db,
    errors::{CommandError, ExitStatus},
    output,
};

/// How long one statement of a migration may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Brings PostgreSQL's schema up to date
///
/// Running it again, or from two places at once, does no harm: it happens under a lock.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  aura-producer migrate --postgres-url postgres://aura@db.example/aura")]
pub(crate) struct Args {}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Migrated {
    applied: Vec<String>,
}

impl fmt::Display for Migrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.applied.is_empty() {
            return writeln!(f, "the schema is up to date");
        }
        self.applied.iter().try_for_each(|name| writeln!(f, "applied {name}"))
    }
}

/// Applies what is missing.
pub(crate) async fn run(settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let pool = db::connect_to_any_schema(settings, STATEMENT_TIMEOUT)?;
    let postgres::Migrated { applied, warning } =
        postgres::migrate(&pool).await.map_err(CommandError::postgres(settings))?;
    if let Some(warning) = warning {
        output::remark(&warning);
    }
    output::print(json, &Migrated { applied })?;
    Ok(ExitStatus::Done)
}
