//! A receiver of OpenLineage events on a port of its own, as a catalogue is one.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::wait::{SOON, until};

/// One request.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Method and path.
    pub to: String,
    /// What it says of its body.
    pub content_type: String,
    /// What it is let in with.
    pub authorization: String,
    /// Its body.
    pub event: Value,
}

/// How a catalogue answers.
#[derive(Debug, Default)]
struct Manner {
    posted: Mutex<Vec<Posted>>,
    is_refusing: AtomicBool,
    is_silent: AtomicBool,
}

/// A catalogue; it ends with its value.
#[derive(Debug)]
pub struct Catalogue {
    /// Where it listens, without a path.
    pub url: String,
    manner: Arc<Manner>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Catalogue {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let manner = Arc::new(Manner::default());
        let shared = Arc::clone(&manner);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let manner = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&manner), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, manner, accepting }
    }

    /// Answers 500 from now on, or no longer.
    pub fn refuse(&self, refusing: bool) {
        self.manner.is_refusing.store(refusing, Ordering::Relaxed);
    }

    /// Takes requests and never answers from now on, or answers again.
    pub fn be_silent(&self, silent: bool) {
        self.manner.is_silent.store(silent, Ordering::Relaxed);
    }

    /// What has been posted so far.
    pub fn posted(&self) -> Vec<Posted> {
        self.manner.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many events.
    pub async fn events(&self, number: usize) -> Vec<Value> {
        let what = format!("{number} events of OpenLineage");
        let posted = until(&what, SOON, async || Some(self.posted()).filter(|posted| posted.len() >= number)).await;
        posted.into_iter().map(|one| one.event).collect()
    }
}

impl Drop for Catalogue {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(manner: Arc<Manner>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header =
        |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (content_type, authorization) = (header(CONTENT_TYPE), header(AUTHORIZATION));
    let to = format!("{} {}", request.method(), request.uri());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let event = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let posted = Posted { to, content_type, authorization, event };
    manner.posted.lock().unwrap_or_else(PoisonError::into_inner).push(posted);
    if manner.is_silent.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let mut answer = Response::new(Full::default());
    if manner.is_refusing.load(Ordering::Relaxed) {
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(answer)
}
