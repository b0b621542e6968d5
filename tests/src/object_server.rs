//! A real S3 server on a port of its own, and what may go wrong within it on the way to its client.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use object_store::{
    ObjectStore, ObjectStoreExt,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use s3s::{
    Body,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot};
use url::Url;

/// The name of the one access key.
pub const KEY_ID: &str = "aura-tests";
/// The access key, which nothing may show.
pub const KEY: &str = "do-not-show-this-key";

/// Which requests are answered with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusing {
    /// None.
    Nothing,
    /// Those that read an object's content.
    Reads,
    /// Those that put a part of an object, except its first.
    Parts,
    /// All.
    Everything,
}

/// A server with one bucket; it ends with its value.
#[derive(Debug)]
pub struct ObjectServer {
    /// Where it listens.
    pub url: Url,
    bucket: String,
    faults: Arc<Faults>,
    accepting: tokio::task::JoinHandle<()>,
    _folder: TempDir,
}

#[derive(Debug)]
struct Faults {
    refusing: Mutex<Refusing>,
    cuts: Mutex<VecDeque<Cut>>,
    holds: Mutex<VecDeque<Halt>>,
    asked: Mutex<Vec<String>>,
}

/// An answer that is broken off after so many bytes.
#[derive(Debug)]
struct Cut {
    bytes: usize,
    halt: Halt,
}

/// The server's end of a [`Standing`].
#[derive(Debug)]
struct Halt {
    reached: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

impl Halt {
    async fn stand(self) {
        let _ = self.reached.send(());
        let _ = self.go.await;
    }
}

/// A request or answer that will stand still until it is told to go on.
#[derive(Debug)]
pub struct Standing {
    reached: oneshot::Receiver<()>,
    go: oneshot::Sender<()>,
}

impl Standing {
    fn new() -> (Self, Halt) {
        let ((told, reached), (go, going)) = (oneshot::channel(), oneshot::channel());
        (Self { reached, go }, Halt { reached: told, go: going })
    }

    /// Waits until it stands still.
    ///
    /// # Panics
    /// If the server ends before.
    pub async fn stands(&mut self) {
        (&mut self.reached).await.expect("the server lives");
    }

    /// Lets it go on.
    pub fn go_on(self) {
        let _ = self.go.send(());
    }
}

impl ObjectServer {
    /// Starts a server that has one empty bucket.
    ///
    /// # Panics
    /// If there is no port or folder.
    pub async fn start(bucket: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(bucket)).expect("a folder");
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).expect("a file system"));
        builder.set_auth(SimpleAuth::from_single(KEY_ID, KEY));
        let (service, listener) = (builder.build(), TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        let url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
        let faults = Arc::new(Faults {
            refusing: Mutex::new(Refusing::Nothing),
            cuts: Mutex::default(),
            holds: Mutex::default(),
            asked: Mutex::default(),
        });
        let shared = Arc::clone(&faults);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, faults) = (service.clone(), Arc::clone(&shared));
                let answering = service_fn(move |request| answer(service.clone(), Arc::clone(&faults), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answering));
            }
        });
        Self { url, bucket: bucket.to_owned(), faults, accepting, _folder: folder }
    }

    /// Sets which requests are answered with 503 from now on.
    pub fn refuse(&self, refusing: Refusing) {
        *self.faults.refusing.lock().unwrap_or_else(PoisonError::into_inner) = refusing;
    }

    /// Breaks off the next answer that has more than so many bytes of an object's content, after these
    /// bytes and once it is told to go on.
    pub fn cut_after(&self, bytes: usize) -> Standing {
        let (standing, halt) = Standing::new();
        self.faults.cuts.lock().unwrap_or_else(PoisonError::into_inner).push_back(Cut { bytes, halt });
        standing
    }

    /// Holds the next request that puts an object, before anything is done about it.
    pub fn hold_put(&self) -> Standing {
        let (standing, halt) = Standing::new();
        self.faults.holds.lock().unwrap_or_else(PoisonError::into_inner).push_back(halt);
        standing
    }

    /// How many requests there were whose method and path begin so.
    pub fn asked(&self, beginning: &str) -> usize {
        let asked = self.faults.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|request| request.starts_with(beginning)).count()
    }

    /// A client of its bucket, which meets no faults that were not set.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn client(&self) -> AmazonS3 {
        // Chooses the provider of TLS, without which no client is made.
        let _ = crate::http::client();
        let builder = AmazonS3Builder::new().with_endpoint(self.url.as_str()).with_allow_http(true);
        let builder = builder.with_access_key_id(KEY_ID).with_secret_access_key(KEY);
        builder.with_bucket_name(&self.bucket).build().expect("a client")
    }

    /// Puts an object and returns its URL.
    ///
    /// # Panics
    /// If the server does not take it.
    pub async fn put(&self, key: &str, content: impl Into<Bytes>) -> String {
        let put = self.client().put(&Path::from(key), content.into().into()).await;
        put.expect("an object can be put");
        format!("s3://{}/{key}", self.bucket)
    }

    /// The content of an object, if it is there.
    ///
    /// # Panics
    /// If the server gives no answer.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        match self.client().get(&Path::from(key)).await {
            Ok(found) => Some(found.bytes().await.expect("the content comes")),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{key} cannot be read: {error}"),
        }
    }

    /// Removes an object.
    ///
    /// # Panics
    /// If the server does not.
    pub async fn delete(&self, key: &str) {
        self.client().delete(&Path::from(key)).await.expect("an object can be removed");
    }

    /// The keys of all objects.
    ///
    /// # Panics
    /// If the server does not list them.
    pub async fn keys(&self) -> Vec<String> {
        let client = self.client();
        let found = client.list(None).map(|object| object.expect("an object").location.to_string());
        let mut keys: Vec<String> = found.collect().await;
        keys.sort();
        keys
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    service: S3Service,
    faults: Arc<Faults>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    // What is asked of the bucket as a whole is a list; the rest of a read is content.
    let reads = *request.method() == Method::GET && request.uri().query().is_none_or(|query| !query.contains("list"));
    let refusing = {
        let mut asked = faults.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(format!("{} {}", request.method(), request.uri()));
        *faults.refusing.lock().unwrap_or_else(PoisonError::into_inner)
    };
    let is_refused = match refusing {
        Refusing::Nothing => false,
        Refusing::Reads => reads,
        Refusing::Parts => {
            let number = request.uri().query().and_then(|query| query.split_once("partNumber="));
            number.is_some_and(|(_, number)| !number.starts_with("1&") && number != "1")
        }
        Refusing::Everything => true,
    };
    if is_refused {
        return Ok(status(503));
    }
    let hold = match *request.method() == Method::PUT {
        true => faults.holds.lock().unwrap_or_else(PoisonError::into_inner).pop_front(),
        false => None,
    };
    if let Some(hold) = hold {
        hold.stand().await;
    }
    let Ok(response) = service.call(request.map(Body::from)).await else { return Ok(status(500)) };
    let length = response.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let cut = {
        let mut cuts = faults.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = reads && cuts.front().is_some_and(|cut| length.is_some_and(|length: usize| length > cut.bytes));
        if fits { cuts.pop_front() } else { None }
    };
    Ok(match cut {
        Some(cut) => response.map(|body| Body::http_body_unsync(StreamBody::new(broken_off(body, cut)))),
        None => response,
    })
}

fn status(code: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code.try_into().expect("a status");
    response
}

/// The beginning of a body, and then an error, which ends the connection.
fn broken_off(body: Body, cut: Cut) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    let state = (body.into_data_stream(), cut.bytes, Some(cut.halt));
    futures_util::stream::unfold(state, |(mut pieces, mut left, mut waiting)| async move {
        if left == 0 {
            if let Some(halt) = waiting.take() {
                halt.stand().await;
            }
            return Some((Err(io::ErrorKind::ConnectionAborted.into()), (pieces, left, waiting)));
        }
        let mut piece = pieces.next().await?.ok()?;
        piece.truncate(left);
        left -= piece.len();
        Some((Ok(Frame::data(piece)), (pieces, left, waiting)))
    })
}
