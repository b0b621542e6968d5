//! The three stores, as `verify` reads them.

use std::{error::Error, time::Duration};

use deadpool_postgres::{GenericClient, Pool};
use shared::{
    settings::Settings,
    stores::{
        cache::CacheStore,
        mongo::{Mongo, MongoError},
        postgres::{AsConflict, PoolOptions, PostgresError, pool},
    },
};
use tokio_postgres::{Row, types::ToSql};

use crate::errors::CommandError;

/// Slices that are looked at side by side.
pub(super) const PARALLEL: usize = 4;
/// How long one statement may take: the rows of one slice.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);
/// A store did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Mongo(#[from] MongoError),
    /// The cache cannot be read.
    #[error("the cache {cache} cannot be read")]
    Cache { cache: String, source: std::io::Error },
}

impl AsConflict for StoreError {
    fn is_conflict(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_conflict(),
            Self::Mongo(_) | Self::Cache { .. } => false,
        }
    }

    fn is_read_only(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_read_only(),
            Self::Mongo(_) | Self::Cache { .. } => false,
        }
    }
}

impl StoreError {
    /// Says which cache it is that cannot be read.
    pub(crate) fn of_cache<E: Into<Box<dyn Error + Send + Sync>>>(cache: &CacheStore) -> impl Fn(E) -> Self {
        let cache = cache.to_string();
        move |source| Self::Cache { cache: cache.clone(), source: std::io::Error::other(source) }
    }

    /// Says where the store is that failed.
    pub(crate) fn at(self, settings: &Settings) -> CommandError {
        match self {
            Self::Postgres(source) => CommandError::postgres(settings)(source),
            Self::Mongo(source) => CommandError::mongo(settings)(source),
            Self::Cache { cache, source } => CommandError::Cache { cache, source },
        }
    }
}

/// PostgreSQL, MongoDB and the cache.
pub(super) struct Stores<'a> {
    pub(super) settings: &'a Settings,
    pub(super) pool: Pool,
    pub(super) mongo: Mongo,
    pub(super) cache: CacheStore,
}

impl<'a> Stores<'a> {
    /// Opens them, for statements that take so long at most, and makes sure that both servers answer.
    pub(super) async fn open(settings: &'a Settings, statement_timeout: Duration) -> Result<Self, CommandError> {
        let cache = open_cache(settings)?;
        let options = PoolOptions { size: PARALLEL + 2, statement_timeout, lifetime: settings.postgres_lifetime };
        let pool = pool(&settings.postgres_url, "aura-producer", options).map_err(CommandError::postgres(settings))?;
        shared::stores::postgres::check_schema(&pool).await.map_err(CommandError::postgres(settings))?;
        let mongo = Mongo::open(&settings.mongodb_url, "aura-producer").await.map_err(CommandError::mongo(settings))?;
        if let Err(error) = mongo.ping().await {
            mongo.close().await;
            return Err(CommandError::mongo(settings)(error));
        }
        Ok(Self { settings, pool, mongo, cache })
    }
}

/// The cache; nothing is asked of it yet.
///
/// # Errors
/// If the settings do not suffice to reach it.
pub(crate) fn open_cache(settings: &Settings) -> Result<CacheStore, CommandError> {
    let base = std::env::current_dir().map_err(|error| {
        CommandError::Input(format!("the current folder is not there ({error}); change to one that is"))
    })?;
    CacheStore::open(&settings.cache_url, &base, &settings.stores).map_err(CommandError::Input)
}

/// Runs a query on a connection or in a transaction.
pub(super) async fn query(
    client: &impl GenericClient,
    what: &'static str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, PostgresError> {
    let statement = client.prepare_cached(sql).await.map_err(PostgresError::in_(what))?;
    client.query(&statement, parameters).await.map_err(PostgresError::in_(what))
}
