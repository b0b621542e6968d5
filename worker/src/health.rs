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

use crate::{
    consume::{Consuming, Intaking},
    relay::backlog::{Backlog, CACHE, OUTBOX, RelayState, Waiting},
    services::Services,
};

/// Connections at a time. A further one ends the oldest: whoever opens many and says nothing keeps nobody else out.
const CONNECTIONS: usize = 64;
/// How long the head of a request may take to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last, which is one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
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
    let (outages, progress) = (&health.services.outages, &health.services.progress);
    let mut checks = Checks { found: Map::new(), is_ready: true };
    checks.note("stopping", health.stop.is_cancelled().then(|| "the worker is stopping".to_owned()));
    let postgres = outages.postgres_outage().map(|said| format!("away: {said}; jobs are paused"));
    let waits_for_postgres = postgres.is_some();
    checks.note("postgresql", postgres);
    let exhausted = outages.is_exhausted().then(|| "no file descriptors or memory left; jobs are paused".to_owned());
    checks.note("local", exhausted);
    let publisher_is_ready = health.services.publisher.is_ready().await;
    let intaking = health.consuming.borrow().clone();
    let consuming = match &intaking {
        Intaking::Taking | Intaking::Waiting => None,
        Intaking::NotBegun if waits_for_postgres => {
            Some("not asked yet; the schema in PostgreSQL comes first".to_owned())
        }
        Intaking::NotBegun => Some("not asked yet; the worker is starting".to_owned()),
        Intaking::Away(said) => Some(format!("no jobs are taken: {said}")),
    };
    checks.note("rabbitmq_consume", consuming);
    let publishing = match (&intaking, publisher_is_ready) {
        (_, true) | (Intaking::NotBegun, false) => None,
        (Intaking::Taking | Intaking::Waiting | Intaking::Away(_), false) => {
            Some("the broker takes no messages: it is away, or short of memory or disk; its log says which".to_owned())
        }
    };
    checks.note("rabbitmq_publish", publishing);
    let stuck = "an outcome cannot be settled for a minute; see the log";
    checks.note("settling", (progress.stuck() > 0).then(|| stuck.to_owned()));
    let neglecting = "jobs wait in the queue, and none was taken for a minute";
    checks.note("progress", progress.is_neglecting().then(|| neglecting.to_owned()));
    for (root, reason) in outages.roots_away() {
        checks.note(&format!("input_root {root}"), Some(format!("away: {reason}; its jobs are paused")));
    }
    let Checks { found, is_ready } = checks;
    let backlog = health.relay.snapshot();
    let waiting =
        |waiting: Waiting, named: &str| json!({named: waiting.number, "oldest_seconds": waiting.oldest_seconds});
    let body = json!({
        "ready": is_ready,
        "worker": health.services.worker,
        "checks": Value::Object(found),
        "warnings": warnings(&health, &backlog),
        "outbox": waiting(backlog.of(&OUTBOX), "events"),
        "cache": waiting(backlog.of(&CACHE), "tasks"),
    });
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

/// What readiness is made of: each check says `ok`, or what is wrong and why.
struct Checks {
    found: Map<String, Value>,
    is_ready: bool,
}

impl Checks {
    fn note(&mut self, name: &str, wrong: Option<String>) {
        self.is_ready &= wrong.is_none();
        self.found.insert(name.to_owned(), wrong.map_or_else(|| "ok".into(), Value::from));
    }
}

/// What a person should look into although jobs go on.
fn warnings(health: &Health, backlog: &Backlog) -> Vec<String> {
    let services = &health.services;
    let mut warnings = Vec::new();
    if let Some(said) = &backlog.mongodb_away {
        warnings.push(format!("MongoDB does not answer; audit events wait in PostgreSQL: {said}"));
    }
    let (outbox, cache) = (backlog.of(&OUTBOX), backlog.of(&CACHE));
    if outbox.oldest_seconds > health.outbox_warn.as_secs() {
        warnings.push(format!("the oldest audit event has waited for {} s", outbox.oldest_seconds));
    }
    if backlog.cache_away.is_some() || services.cache_trouble.is_recent() {
        let why = backlog.cache_away.as_deref().unwrap_or("the log says why");
        warnings.push(format!("the cache cannot be written; its files wait, as tasks in PostgreSQL: {why}"));
    }
    if cache.oldest_seconds > health.outbox_warn.as_secs() {
        warnings.push(format!("the oldest task of the cache has waited for {} s", cache.oldest_seconds));
    }
    for (place, reason) in services.faults.all() {
        warnings.push(format!("{place} cannot be used: {reason}"));
    }
    if services.progress.receipts_are_refused() {
        let told =
            "a queue that somebody bound to the receipts takes none (full, or its node is away); it lacks receipts";
        warnings.push(told.to_owned());
    }
    warnings.extend(services.durability.warnings().into_iter().map(str::to_owned));
    if backlog.halted_chains > 0 {
        let chains = backlog.halted_chains;
        warnings.push(format!("{chains} audit chains are contradicted by MongoDB and stand still"));
    }
    warnings
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    match health.services.metrics.text() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "text/plain")], Vec::new()),
    }
}
