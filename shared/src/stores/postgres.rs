//! PostgreSQL: the pool of connections, the schema, and the transaction runner.

pub mod connector;
pub mod error;
pub mod lifetime;
pub mod pooler;
mod schema;
mod session;
pub mod transaction;
mod versions;

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolConfig, QueueMode, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::{
    Config, SimpleQueryMessage,
    config::{LoadBalanceHosts, SslMode, TargetSessionAttrs},
};

use self::session::Session;
use self::{connector::Fresh, lifetime::Bounds};
pub use self::{
    error::{AsConflict, PostgresError, SchemaError},
    lifetime::Lifetime,
    schema::{Migrated, check_schema, migrate, migrate_if_allowed},
    transaction::{Scope, Work, transaction},
    versions::OLDEST_SCHEMA,
};
use crate::{settings::ServiceUrl, stores::lease::Lease};

/// How long connecting, and waiting for a free connection, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

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
    let (config, begin) = config(url, application, options.statement_timeout)?;
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let (name, limit) = (application.to_owned(), options.statement_timeout);
    let connect =
        Fresh::new(url, move |url: &ServiceUrl| self::config(url, &name, limit).ok().map(|(config, _)| config));
    let manager = Manager::from_connect(config, connect, recycling);
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
            let begin = begin.clone();
            Box::pin(async move {
                begin.begin(client).await?;
                client.batch_execute(session).await.map_err(HookError::Backend)
            })
        }))
        .pre_recycle(bounds.hook())
        .build();
    let pool = pool.map_err(PostgresError::Pool)?;
    bounds.tend(&pool);
    Ok(pool)
}

fn config(
    url: &ServiceUrl,
    application: &str,
    statement_timeout: Duration,
) -> Result<(Config, Session), PostgresError> {
    let mut config: Config = known_to_driver(url).parse().map_err(PostgresError::Url)?;
    if url.query("sslmode").is_none() {
        // The driver's "prefer" would check a certificate that libpq's does not. TLS is asked for by name.
        config.ssl_mode(SslMode::Disable);
    }
    let is_any = url.query("target_session_attrs").is_some();
    if url.has_several_servers() && !is_any {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    if url.has_several_servers() && url.query("load_balance_hosts").is_none() {
        // In turn, or one that hangs would be asked first each time and none of the others ever.
        config.load_balance_hosts(LoadBalanceHosts::Random);
    }
    let session = Session::new(config.get_options(), statement_timeout, !is_any);
    config
        .application_name(application)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(30))
        .options(session.options());
    Ok((config, session))
}

/// The URL as the driver takes it: it knows no `verify-full`, and checks certificate and name whenever there is TLS.
fn known_to_driver(url: &ServiceUrl) -> String {
    let strict = ["verify-full", "verify-ca"];
    match url.query("sslmode") {
        Some(mode) if strict.contains(&mode.as_str()) => {
            url.expose().replacen(&format!("sslmode={mode}"), "sslmode=require", 1)
        }
        Some(_) | None => url.expose().to_owned(),
    }
}

/// Asks PostgreSQL, over the pool, whether it answers and takes writes. Connections to a server that has become a
/// standby are closed.
///
/// # Errors
/// If it does not, within two seconds.
pub async fn probe(pool: &Pool) -> Result<(), PostgresError> {
    let ask = async {
        let lease = Lease::take(pool).await?;
        let answer = lease.simple_query("SELECT pg_catalog.pg_is_in_recovery()").await;
        let answer = answer.map_err(PostgresError::in_("answer a probe"));
        let is_standby = answer.as_ref().is_ok_and(|told| is_true(told));
        if is_standby {
            drop(lease);
            pool.retain(|_, _| false);
            return Err(PostgresError::Standby);
        }
        lease.end();
        answer.map(|_| ())
    };
    in_time(PROBE_TIMEOUT, "answer a probe", ask).await
}

/// Returns whether the one value that a simple query gave is true.
fn is_true(told: &[SimpleQueryMessage]) -> bool {
    told.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")))
}

/// Waits for an answer of PostgreSQL, but not for ever: over a connection that takes bytes and brings none
/// back, a statement has no end of its own.
///
/// # Errors
/// What was asked for failed, or took longer.
pub async fn in_time<T>(
    limit: Duration,
    what: &'static str,
    asked: impl Future<Output = Result<T, PostgresError>>,
) -> Result<T, PostgresError> {
    tokio::time::timeout(limit, asked).await.unwrap_or(Err(PostgresError::Timeout { what }))
}
