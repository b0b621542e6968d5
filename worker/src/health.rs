//! Health over HTTP: `/livez`, `/readyz` and `/metrics`.

pub(crate) mod progress;

use std::{collections::VecDeque, fs::File, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde_json::{Map, Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{consume::Consuming, relay::backlog::RelayState, services::Services};

/// Connections at a time. A further one ends the oldest: whoever opens many and says nothing keeps nobody else out.
const CONNECTIONS: usize = 64;
/// How long the head of a request may take to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last, which is one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// The sinks whose entries go to MongoDB, and that of the cache, as the two figures of `/readyz` name them.
const OUTBOX: [&str; 2] = ["audit_trail", "gl_metadata"];
const CACHE: [&str; 1] = ["parquet_cache"];
/// How long to wait after a connection could not be taken: there may be no descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Health {
    pub(crate) services: Arc<Services>,
    pub(crate) relay: Arc<RelayState>,
    pub(crate) consuming: Arc<Consuming>,
    pub(crate) outbox_warn: Duration,
    pub(crate) stop: CancellationToken,
}

/// Serves health until told to stop.
///
/// # Errors
/// If the address cannot be listened on.
pub(crate) async fn serve(address: SocketAddr, health: Health, end: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(http_addr = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    tokio::spawn(async move {
        tokio::select! { () = accept(&listener, &router) => {}, () = end.cancelled() => {} }
    });
    Ok(())
}

/// Takes connections for ever.
async fn accept(listener: &TcpListener, router: &Router) {
    let mut open: VecDeque<Connection> = VecDeque::with_capacity(CONNECTIONS);
    // A descriptor to give up where there is no other, so that a worker without any can still say so.
    let spare = || File::open("/dev/null").ok();
    let mut reserve = spare();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            if reserve.take().is_none() {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                reserve = spare();
            }
            continue;
        };
        reserve = reserve.or_else(spare);
        open.retain(|connection| !connection.0.is_finished());
        if open.len() >= CONNECTIONS {
            open.pop_front();
        }
        open.push_back(Connection(tokio::spawn(answer(stream, router.clone()))));
    }
}

/// A connection, which ends with this value.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers the one request of a connection.
async fn answer(stream: TcpStream, router: Router) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES).keep_alive(false);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a request for health was not answered");
    }
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let outages = &health.services.outages;
    let mut checks = Map::new();
    let mut warnings = Vec::new();
    let mut note = |name: &str, fine: bool, otherwise: &str| {
        checks.insert(name.to_owned(), if fine { "ok" } else { otherwise }.into());
        fine
    };
    let mut is_ready = note("stopping", !health.stop.is_cancelled(), "the worker is stopping");
    is_ready &= note("postgresql", !outages.postgres_is_away(), "does not answer; jobs are paused");
    is_ready &= note("local", !outages.is_exhausted(), "no file descriptors or memory left; jobs are paused");
    is_ready &= note("rabbitmq_consume", *health.consuming.borrow(), "no jobs are being taken");
    is_ready &= note("rabbitmq_publish", health.services.publisher.is_ready().await, "the broker takes no messages");
    let progress = &health.services.progress;
    is_ready &= note("settling", progress.stuck() == 0, "an outcome cannot be settled for a minute; see the log");
    is_ready &= note("progress", !progress.is_neglecting(), "jobs wait in the queue, and none was taken for a minute");
    for root in outages.roots_away() {
        is_ready &= note(&format!("input_root {root}"), false, "does not answer; its jobs are paused");
    }
    let backlog = health.relay.snapshot();
    if !backlog.mongodb_ok {
        warnings.push(json!("MongoDB does not answer; audit events wait in PostgreSQL"));
    }
    let (outbox, cache) = (backlog.of(&OUTBOX), backlog.of(&CACHE));
    if outbox.oldest_seconds > health.outbox_warn.as_secs() {
        let age = outbox.oldest_seconds;
        warnings.push(json!(format!("the oldest audit event has waited for {age} s")));
    }
    if !backlog.cache_ok || health.services.cache_trouble.is_recent() {
        warnings.push(json!("the cache cannot be written; its files wait, as tasks in PostgreSQL"));
    }
    if cache.oldest_seconds > health.outbox_warn.as_secs() {
        let age = cache.oldest_seconds;
        warnings.push(json!(format!("the oldest task of the cache has waited for {age} s")));
    }
    if health.services.progress.receipts_are_refused() {
        let told =
            "a queue that somebody bound to the receipts takes none (full, or its node is away); it lacks receipts";
        warnings.push(json!(told));
    }
    warnings.extend(health.services.durability.warnings().into_iter().map(Value::from));
    if backlog.halted_chains > 0 {
        let chains = backlog.halted_chains;
        warnings.push(json!(format!("{chains} audit chains are contradicted by MongoDB and stand still")));
    }
    let body = json!({
        "ready": is_ready,
        "checks": Value::Object(checks),
        "warnings": warnings,
        "outbox": {"events": outbox.number, "oldest_seconds": outbox.oldest_seconds},
        "cache": {"tasks": cache.number, "oldest_seconds": cache.oldest_seconds},
    });
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let (services, backlog) = (&health.services, health.relay.snapshot());
    services.metrics.pause("postgresql", services.outages.postgres_is_away());
    services.metrics.pause("local", services.outages.is_exhausted());
    services.metrics.pause("rabbitmq", !*health.consuming.borrow());
    services.metrics.pause("mongodb", !backlog.mongodb_ok);
    let away = services.outages.roots_away();
    for root in services.roots.all() {
        services.metrics.pause(&format!("input_root {root}"), away.contains(root));
    }
    services.metrics.progress(services.progress.stuck(), services.progress.is_neglecting());
    services.metrics.backlog(backlog.of(&OUTBOX), backlog.of(&CACHE), backlog.halted_chains);
    services.metrics.sinks(&backlog.waiting);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], services.metrics.text())
}
