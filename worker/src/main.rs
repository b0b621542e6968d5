//! `aura-worker`: takes jobs from the queue and makes rows, audit events and Parquet files of them.

// What comes from outside must not be able to end the process.
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice))]

mod attempt;
mod cache;
mod consume;
mod durability;
mod failpoint;
mod health;
mod ingest;
mod interruption;
mod ledger;
mod lineage;
mod metrics;
mod outage;
mod outcome;
mod probes;
mod relay;
mod run;
mod services;
mod settlement;
mod source;
mod verdict;

use std::{io::Write, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Command;
use shared::{
    broker::{publisher::Publisher, topology::Topology},
    file_modes, printable,
    roots::InputRoots,
    settings::{self, Settings},
    sources::Sources,
    stores::{
        cache::CacheStore,
        postgres::{self, PoolOptions, PostgresError},
    },
    telemetry::{self, Console, Identity},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::{
    consume::{Consuming, Intake, Intaking, clock::Clock, dry_runs::DryRuns},
    durability::Durability,
    health::{Health, progress::Progress},
    ingest::publishers::Publishers,
    lineage::Lineage,
    metrics::{Metrics, gauges},
    outage::Outages,
    relay::{Relay, wake::Wake},
    services::{CacheTrouble, Faults, JobLimits, Services},
};

/// Connections beside those of the jobs: the probes, and what is written after a job.
const SPARE_CONNECTIONS: usize = 4;
/// Connections of the relay, one for each of its parts, and one to make sure of what they read.
const RELAY_CONNECTIONS: usize = 6;
/// Connections that one job may need at once: its transaction, its claim, and the cache.
const CONNECTIONS_PER_JOB: usize = 3;
/// How long threads that work on files may take to end with the process.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// Refusals of the schema in a row, while PostgreSQL answers, that end the worker.
const REFUSALS: u32 = 3;
/// How long the worker waits for PostgreSQL before it asks again.
const RETRY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    file_modes::limit();
    let command = Command::new("aura-worker")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Takes jobs from RabbitMQ and makes PostgreSQL rows, audit events and Parquet files of them")
        .after_help(
            "Example:\n  AURA_INPUT_ROOTS=/exports aura-worker --concurrency 8\n\n\
             It runs until SIGTERM or SIGINT, then finishes its jobs; a second signal ends it at once.\n\
             --help lists all settings.",
        );
    let matches = settings::read_command_line(command);
    let settings = match Settings::read(settings::from_flags(&matches)) {
        Ok(settings) => settings,
        Err(error) => {
            print_error(&telemetry::chain(&error));
            return ExitCode::from(2);
        }
    };
    let identity = Identity { service: "aura-worker", worker: Some(settings.worker_name.clone()) };
    let started = telemetry::start(&identity, settings.log_dir.as_deref(), &settings.log, Console::Stdout)
        .and_then(|telemetry| Ok((telemetry, Arc::new(Metrics::start(&identity)?))));
    let (telemetry, metrics) = match started {
        Ok(started) => started,
        Err(error) => {
            print_error(&telemetry::chain(&error));
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime can be started");
    let done = runtime.and_then(|runtime| {
        let done = runtime.block_on(run(settings, Arc::clone(&metrics)));
        // A thread that hangs in a file is not waited for: what it did is rolled back.
        runtime.shutdown_timeout(LAST_MOMENT);
        done
    });
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the worker ends");
            print_error(&format!("{error:#}"));
            ExitCode::from(2)
        }
    };
    metrics.shut_down();
    drop(telemetry);
    code
}

fn print_error(error: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "aura-worker: {}", printable::line(&printable::without_passwords(error)));
}

async fn run(settings: Settings, metrics: Arc<Metrics>) -> anyhow::Result<()> {
    let (stop, end) = (CancellationToken::new(), CancellationToken::new());
    watch_signals(stop.clone())?;
    let services = Arc::new(build(&settings, metrics)?);
    services.metrics.time_transactions();
    services.metrics.begin_with(&services.topology);
    let (consuming, relay) = (Arc::new(Consuming::new(Intaking::NotBegun)), build_relay(&settings, &services)?);
    let health = Health {
        services: Arc::clone(&services),
        relay: relay.state(),
        consuming: Arc::clone(&consuming),
        outbox_warn: settings.outbox_warn,
        stop: stop.clone(),
    };
    gauges::register(&services.metrics, &health);
    health::serve(settings.http_addr, health, end.clone())
        .await
        .with_context(|| format!("cannot listen on {}; set AURA_HTTP_ADDR", settings.http_addr))?;
    tracing::info!(
        worker = settings.worker_name,
        postgres = %settings.postgres_url,
        rabbitmq = %settings.amqp_url,
        mongodb = %settings.mongodb_url,
        roots = ?services.roots.all().iter().map(ToString::to_string).collect::<Vec<_>>(),
        cache = %services.cache,
        "starting"
    );
    migrate(&services, &stop).await?;
    // Should it fail now, it is read again before long, and until then little is known of when jobs came.
    let _ = services.clock.read(&services.pool).await;
    let watching = tokio::spawn(probes::watch(Arc::clone(&services), end.clone()));
    let relaying = tokio::spawn(relay.run(end.clone()));
    let permits = Arc::new(Semaphore::new(settings.concurrency));
    let dry_runs =
        DryRuns { services: Arc::clone(&services), settings: settings.clone(), permits: Arc::clone(&permits) };
    let trying = tokio::spawn(dry_runs.run(stop.clone()));
    let taken = Intake { services: Arc::clone(&services), settings, consuming, permits }.run(stop).await;
    end.cancel();
    let _ = tokio::join!(watching, relaying, trying);
    services.publisher.close().await;
    services.lineage.close().await;
    tracing::info!("stopped");
    taken.context("no jobs can be taken")
}

fn build(settings: &Settings, metrics: Arc<Metrics>) -> anyhow::Result<Services> {
    let base = std::env::current_dir().context("the current folder is not there")?;
    let roots = InputRoots::new(&settings.input_roots, &base, &settings.stores).map_err(anyhow::Error::msg)?;
    let publisher = Publisher::new(&settings.amqp_url, &format!("{} publish", settings.worker_name));
    let own_user = publisher.user().map(ToOwned::to_owned);
    let publishers = Publishers::open(settings.publishers_path.as_deref(), own_user, &base, &roots)?;
    let cache = CacheStore::open(&settings.cache_url, &base, &settings.stores).map_err(anyhow::Error::msg)?;
    let options = PoolOptions {
        size: settings.concurrency * CONNECTIONS_PER_JOB + SPARE_CONNECTIONS,
        statement_timeout: settings.job_timeout,
        lifetime: settings.postgres_lifetime,
    };
    let pool = postgres::pool_with_session(&settings.postgres_url, "aura-worker", options, &ledger::SESSION)?;
    Ok(Services {
        pool,
        publisher,
        topology: Topology::new(&settings.namespace),
        roots,
        publishers,
        base,
        cache,
        worker: settings.worker_name.clone(),
        sources: Sources::new(&settings.sources_dir),
        limits: JobLimits::from_settings(settings),
        outages: Outages::default(),
        clock: Clock::new(),
        places: settings.concurrency,
        progress: Progress::new(),
        lineage: Lineage::start(settings, &metrics)?,
        metrics,
        cache_trouble: CacheTrouble::default(),
        faults: Faults::default(),
        durability: Durability::default(),
        abort: CancellationToken::new(),
        relay: Arc::new(Wake::new()),
    })
}

/// The relay has connections of its own, so that jobs which use up theirs do not hold it up.
fn build_relay(settings: &Settings, services: &Services) -> anyhow::Result<Relay> {
    let options = PoolOptions {
        size: RELAY_CONNECTIONS,
        statement_timeout: settings.job_timeout,
        lifetime: settings.postgres_lifetime,
    };
    let pool = postgres::pool(&settings.postgres_url, "aura-worker relay", options)?;
    Relay::new(pool, &settings.mongodb_url, services.cache.clone(), Arc::clone(&services.relay))
        .context("MongoDB's URL cannot be used")
}

/// Brings the schema up to date, waiting for PostgreSQL as long as it is away.
async fn migrate(services: &Services, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut refusals = 0;
    while !stop.is_cancelled() {
        let error = match postgres::migrate_if_allowed(&services.pool).await {
            Ok(migrated) => {
                if !migrated.applied.is_empty() {
                    tracing::info!(applied = ?migrated.applied, "the schema was brought up to date");
                }
                if let Some(warning) = migrated.warning {
                    tracing::warn!("{warning}");
                }
                return Ok(());
            }
            // It does not come right by being asked again.
            Err(error @ PostgresError::Schema(_)) => return Err(error.into()),
            Err(error) if error.is_pooling() => return Err(error).context(postgres::pooler::ADVICE),
            Err(error) if error.sql_state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                return Err(error).context("the role lacks a right; README.md says which it needs");
            }
            Err(error) => error,
        };
        if error.is_conflict() {
            tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the schema to be free");
            tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RETRY) => {} }
            continue;
        }
        // PostgreSQL may have come up between the error and the probe.
        refusals = if services.outages.probe_postgres(&services.pool).await.is_ok() { refusals + 1 } else { 0 };
        if refusals == REFUSALS {
            return Err(error).context("the schema cannot be brought up to date");
        }
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RETRY) => {} }
    }
    Ok(())
}

/// Stops on the first SIGTERM or SIGINT, and ends at once on the second.
fn watch_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if stop.is_cancelled() {
                tracing::warn!("a second signal: ending at once; what was not finished comes again");
                std::process::exit(1);
            }
            tracing::info!("stopping: no new jobs are taken");
            stop.cancel();
        }
    });
    Ok(())
}
