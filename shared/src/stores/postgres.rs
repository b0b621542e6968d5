//! PostgreSQL: the pool, the schema, and the one transaction runner.

mod lifetime;
mod schema;
mod session;

use std::{marker::PhantomData, pin::Pin, time::Duration};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolConfig, PoolError, QueueMode, RecyclingMethod, Runtime,
    Timeouts, Transaction,
};
use tokio_postgres::{Config, NoTls, config::SslMode, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::lifetime::Bounds;
pub use self::{
    lifetime::Lifetime,
    schema::{Migrated, OLDEST_SCHEMA, SchemaError, check_schema, migrate, migrate_if_allowed},
};
use crate::{settings::ServiceUrl, stores::lease::Lease};

/// How long connecting, and waiting for a free connection, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// PostgreSQL did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The URL cannot be used.
    #[error("the PostgreSQL URL cannot be used")]
    Url(#[source] tokio_postgres::Error),
    /// TLS cannot be set up.
    #[error("TLS to PostgreSQL cannot be set up: {0}")]
    Tls(String),
    /// No connection could be had.
    #[error("PostgreSQL gives no connection")]
    Connect(#[from] PoolError),
    /// A statement failed.
    #[error("PostgreSQL failed to {what}")]
    Statement {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// A statement was not answered in time.
    #[error("PostgreSQL did not {what} in time")]
    Timeout {
        /// What it was asked to do.
        what: &'static str,
    },
    /// The schema cannot be brought up to date.
    #[error("the schema cannot be brought up to date")]
    Migrate(#[source] refinery::Error),
    /// The schema is one that this program cannot work with.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl PostgresError {
    /// Says what a statement was for when it failed.
    pub fn in_(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Statement { what, source }
    }

    /// The SQLSTATE, if PostgreSQL answered.
    pub fn sql_state(&self) -> Option<&SqlState> {
        match self {
            Self::Statement { source, .. } | Self::Url(source) => source.code(),
            Self::Connect(PoolError::Backend(source) | PoolError::PostCreateHook(HookError::Backend(source))) => {
                source.code()
            }
            Self::Migrate(source) => schema::sql_state(source),
            Self::Schema(SchemaError::Forbidden { source, .. }) => source.sql_state(),
            Self::Tls(_) | Self::Connect(_) | Self::Timeout { .. } | Self::Schema(_) => None,
        }
    }

    /// Whether another transaction was in the way, so that the same one can succeed again.
    pub fn is_conflict(&self) -> bool {
        let conflicts =
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
        self.sql_state().is_some_and(|state| conflicts.contains(state))
    }

    /// Whether a statement took longer than its limit.
    pub fn is_timeout(&self) -> bool {
        self.sql_state() == Some(&SqlState::QUERY_CANCELED)
    }

    /// Returns whether PostgreSQL refuses what was to be written, and will again.
    pub fn is_refusal(&self) -> bool {
        self.sql_state().is_some_and(|state| state.code().starts_with("22") || state.code().starts_with("23"))
    }

    /// Whether two rows had the same key.
    pub fn is_unique_violation(&self) -> bool {
        self.sql_state() == Some(&SqlState::UNIQUE_VIOLATION)
    }
}

/// How sessions are set up.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Connections at most.
    pub size: usize,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long connections live.
    pub lifetime: Lifetime,
}

/// Makes a pool; connections are opened when they are needed.
///
/// # Errors
/// If the URL cannot be used or TLS not be set up.
pub fn pool(url: &ServiceUrl, application: &str, options: PoolOptions) -> Result<Pool, PostgresError> {
    pool_with_session(url, application, options, "")
}

/// Makes a pool each of whose connections begins with these statements.
///
/// # Errors
/// If the URL cannot be used or TLS not be set up.
pub fn pool_with_session(
    url: &ServiceUrl,
    application: &str,
    options: PoolOptions,
    session: &'static str,
) -> Result<Pool, PostgresError> {
    let config = config(url, application, options.statement_timeout)?;
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if config.get_ssl_mode() == SslMode::Disable {
        Manager::from_config(config, NoTls, recycling)
    } else {
        Manager::from_config(config, tls()?, recycling)
    };
    let timeouts =
        Timeouts { wait: Some(CONNECT_TIMEOUT), create: Some(CONNECT_TIMEOUT), recycle: Some(CONNECT_TIMEOUT) };
    let bounds = Bounds::new(options.lifetime);
    let pool = Pool::builder(manager)
        .config(PoolConfig {
            max_size: options.size,
            timeouts,
            // The one used last is used first, so that those which a quiet hour does not need become idle.
            queue_mode: QueueMode::Lifo,
        })
        .runtime(Runtime::Tokio1)
        .post_create(Hook::async_fn(move |client, _| {
            Box::pin(async move {
                let begun = async {
                    client.batch_execute(session::BEGIN).await?;
                    client.batch_execute(session).await
                };
                begun.await.map_err(HookError::Backend)
            })
        }))
        .pre_recycle(bounds.hook())
        .build();
    let pool = pool.map_err(|error| PostgresError::Tls(error.to_string()))?;
    bounds.tend(&pool);
    Ok(pool)
}

fn config(url: &ServiceUrl, application: &str, statement_timeout: Duration) -> Result<Config, PostgresError> {
    let mut config: Config = url.expose().parse().map_err(PostgresError::Url)?;
    if url.query("sslmode").is_none() {
        // The driver's "prefer" would check a certificate that libpq's does not. TLS is asked for by name.
        config.ssl_mode(SslMode::Disable);
    }
    let options = session::options(config.get_options(), statement_timeout);
    config
        .application_name(application)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(30))
        .options(options);
    Ok(config)
}

/// The connector of connections with TLS.
pub(crate) fn tls() -> Result<MakeRustlsConnect, PostgresError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        roots.add(certificate).map_err(|error| PostgresError::Tls(error.to_string()))?;
    }
    let provider = rustls::crypto::ring::default_provider().into();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PostgresError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Asks PostgreSQL, over the pool, whether it answers.
///
/// # Errors
/// If it does not, within two seconds.
pub async fn probe(pool: &Pool) -> Result<(), PostgresError> {
    let ask = async {
        let lease = Lease::take(pool).await?;
        let answer = lease.simple_query("SELECT 1").await;
        lease.end();
        answer.map(|_| ()).map_err(PostgresError::in_("answer a probe"))
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await.unwrap_or(Err(PostgresError::Timeout { what: "answer a probe" }))
}

/// What is done within a transaction.
pub type Work<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;
/// Tells the compiler that what the work borrows outlives the transaction.
pub type Scope<'t, 'env> = PhantomData<&'t &'env ()>;

/// Runs a transaction, again if another one was in its way.
///
/// The work must be such that it can run twice: nothing outside the transaction may follow from it
/// before this returns.
///
/// # Errors
/// What the work returned, or the third conflict in a row.
pub async fn transaction<'env, T, E, W>(pool: &Pool, work: W) -> Result<T, E>
where
    W: for<'t> Fn(&'t Transaction<'t>, Scope<'t, 'env>) -> Work<'t, T, E>,
    E: From<PostgresError> + AsConflict,
{
    let mut tries = 0;
    loop {
        tries += 1;
        let mut lease = Lease::take(pool).await?;
        let attempt = async {
            let transaction = lease.transaction().await.map_err(PostgresError::in_("begin a transaction"))?;
            let value = work(&transaction, PhantomData).await?;
            transaction.commit().await.map_err(PostgresError::in_("commit"))?;
            Ok(value)
        };
        let outcome = attempt.await;
        lease.end();
        match outcome {
            Err(error) if tries < 3 && E::is_conflict(&error) => {}
            outcome => return outcome,
        }
    }
}

/// Returns whether an error is another transaction's being in the way.
pub trait AsConflict {
    /// Whether the same transaction can succeed if it runs again.
    fn is_conflict(&self) -> bool;
}

impl AsConflict for PostgresError {
    fn is_conflict(&self) -> bool {
        PostgresError::is_conflict(self)
    }
}
