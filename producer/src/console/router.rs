//! Where everything is.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use shared::broker::topology::Topology;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

use super::{
    Console, batches, dead, entrance, jobs, live, now, openapi, periods, problem::Problem, sign_in, slices, sources,
};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The most bytes that a form may have.
const BODY: usize = 64 << 10;

/// Every address of the console.
pub(crate) fn router(console: &Arc<Console>) -> Router {
    Router::new()
        .route("/", get(now::page))
        .route("/jobs", get(jobs::page))
        .route("/jobs/{id}", get(jobs::one))
        .route("/batches", get(batches::page))
        .route("/batches/{id}", get(batches::one))
        .route("/batches/{id}/cancel", post(batches::cancel))
        .route("/dead", get(dead::page))
        .route("/dead/letters/{job}", get(dead::letter))
        .route("/dead/operations", get(dead::operations))
        .route("/dead/operations/{operation}", get(dead::operation_page))
        .route("/dead/operations/{operation}/{wanted}", post(dead::want))
        .route("/dead/dry-run", post(dead::dry_run))
        .route("/dead/replay", post(dead::replay))
        .route("/dead/discard", post(dead::discard))
        .route("/dead/write-down", post(dead::write_down))
        .route("/periods", get(periods::page))
        .route("/periods/lock", post(periods::lock))
        .route("/periods/unlock", post(periods::unlock))
        .route("/slices", get(slices::page))
        .route("/slices/{entity}/{period}", get(slices::one))
        .route("/slices/{entity}/{period}/verify", get(slices::verified))
        .route("/slices/{entity}/{period}/accounts.csv", get(slices::accounts_csv))
        .route("/slices/{entity}/{period}/changes.csv", get(slices::changes_csv))
        .route("/slices/{entity}/{period}/accounts.parquet", get(slices::parquet))
        .route("/sources", get(sources::page))
        .route("/sources/check", get(sources::one_called_check).post(sources::check).layer(sources::body(console)))
        .route("/sources/{name}", get(sources::one))
        .route("/openapi.json", get(openapi::document))
        .route("/events", get(live::events))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/assets/console.css", get(|| async { asset("text/css", include_bytes!("console.css").to_vec()) }))
        .route("/assets/icon.svg", get(|| async { asset("image/svg+xml", include_bytes!("icon.svg").to_vec()) }))
        .route("/assets/htmx.js", get(htmx))
        .route("/assets/sse.js", get(sse))
        .fallback(|| async { Problem::unknown("there is no such page") })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, LIMIT))
        .layer(CatchPanicLayer::new())
        .layer(from_fn_with_state(Arc::clone(console), entrance::enter))
        .with_state(Arc::clone(console))
}

fn asset(kind: &'static str, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], bytes).into_response()
}

fn script(bytes: Option<&Vec<u8>>) -> Response {
    match bytes {
        Some(bytes) => asset("text/javascript", bytes.clone()),
        None => Problem::unknown("deploy/assets has not fetched the scripts").into_response(),
    }
}

async fn htmx(State(console): State<Arc<Console>>) -> Response {
    script(console.scripts.htmx.as_ref())
}

async fn sse(State(console): State<Arc<Console>>) -> Response {
    script(console.scripts.sse.as_ref())
}

impl Console {
    /// The queue of dead letters.
    pub(crate) fn dead_queue(&self) -> String {
        Topology::new(&self.settings.namespace).dead
    }
}
