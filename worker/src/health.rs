//! Health over HTTP: `/livez`, `/readyz` and `/metrics`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{audit::RelayState, consume::Consuming, services::Services};

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
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await {
            tracing::error!(error = &error as &dyn std::error::Error, "health is no longer served");
        }
    });
    Ok(())
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
    if backlog.outbox_oldest_seconds > health.outbox_warn.as_secs() {
        let age = backlog.outbox_oldest_seconds;
        warnings.push(json!(format!("the oldest audit event has waited for {age} s")));
    }
    if !backlog.cache_ok || health.services.cache_trouble.is_recent() {
        warnings.push(json!("the cache cannot be written; its files wait, as tasks in PostgreSQL"));
    }
    if backlog.cache_oldest_seconds > health.outbox_warn.as_secs() {
        let age = backlog.cache_oldest_seconds;
        warnings.push(json!(format!("the oldest task of the cache has waited for {age} s")));
    }
    if backlog.halted_chains > 0 {
        let chains = backlog.halted_chains;
        warnings.push(json!(format!("{chains} audit chains are contradicted by MongoDB and stand still")));
    }
    let body = json!({
        "ready": is_ready,
        "checks": Value::Object(checks),
        "warnings": warnings,
        "outbox": {"events": backlog.outbox_depth, "oldest_seconds": backlog.outbox_oldest_seconds},
        "cache": {"tasks": backlog.cache_tasks, "oldest_seconds": backlog.cache_oldest_seconds},
    });
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let (services, backlog) = (&health.services, health.relay.snapshot());
    services.metrics.pause("postgresql", services.outages.postgres_is_away());
    services.metrics.pause("rabbitmq", !*health.consuming.borrow());
    services.metrics.pause("mongodb", !backlog.mongodb_ok);
    let away = services.outages.roots_away();
    for root in services.roots.all() {
        services.metrics.pause(&format!("input_root {root}"), away.contains(root));
    }
    services.metrics.progress(services.progress.stuck(), services.progress.is_neglecting());
    services.metrics.backlog(
        backlog.outbox_depth,
        backlog.outbox_oldest_seconds,
        backlog.cache_tasks,
        backlog.halted_chains,
    );
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], services.metrics.text())
}
