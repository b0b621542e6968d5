//! Object stores: buckets and containers that hold files and the Parquet cache.

pub mod access;
pub mod copy;
mod credentials;
pub mod object_url;

use std::{cmp::Ordering, error::Error, fmt, sync::Arc};

use bytes::Bytes;
use futures_util::{TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt, PutMode,
    client::{HttpError, HttpErrorKind},
    path::Path,
};

use self::{access::StoreAccess, object_url::ObjectUrl};

/// What a probe asks for. It need not be there: any answer tells that the store is.
const PROBE: &str = ".aura-probe";

/// The bytes of an object, on their way.
pub type ObjectBytes = BoxStream<'static, Result<Bytes, ObjectError>>;

/// A place in an object store below which objects are read or written, and the client that does so.
#[derive(Clone)]
pub struct Store {
    root: ObjectUrl,
    client: Arc<dyn ObjectStore>,
}

/// An object store that the settings do not suffice to reach.
#[derive(Debug, thiserror::Error)]
#[error("{root} cannot be reached with these settings")]
pub struct StoreError {
    root: ObjectUrl,
    source: Box<object_store::Error>,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("it is not there")]
    Missing,
    /// The credentials do not suffice.
    #[error("the store refuses it to these credentials")]
    Refused,
    /// Somebody put another object there meanwhile.
    #[error("it was replaced meanwhile")]
    Replaced,
    /// The store cannot be reached, or cannot work.
    #[error("the store {0}")]
    Away(String),
}

impl Store {
    /// A client for what lies below a root. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// If the settings do not suffice.
    pub fn open(root: ObjectUrl, access: &StoreAccess) -> Result<Self, StoreError> {
        crate::tls::use_ring();
        match access.client(&root) {
            Ok(client) => Ok(Self { root, client }),
            Err(source) => Err(StoreError { root, source: Box::new(source) }),
        }
    }

    /// The root.
    pub fn root(&self) -> &ObjectUrl {
        &self.root
    }

    /// The client of its bucket.
    pub fn client(&self) -> &dyn ObjectStore {
        &*self.client
    }

    /// The names of the objects directly below the root.
    ///
    /// # Errors
    /// If the store does not list them.
    pub async fn names(&self) -> Result<Vec<String>, ObjectError> {
        let prefix = match self.root.key() {
            "" => None,
            _ => Some(path_of(&self.root)?),
        };
        let listed = self.client.list_with_delimiter(prefix.as_ref()).await?;
        let names = listed.objects.iter().filter_map(|object| object.location.filename());
        Ok(names.map(str::to_owned).collect())
    }

    /// An object as it is at one moment: how many bytes it has, and these as they come.
    ///
    /// # Errors
    /// If the store does not hand it out; what breaks off later is an error among the bytes.
    pub async fn read(&self, object: &ObjectUrl) -> Result<(u64, ObjectBytes), ObjectError> {
        let found = self.client.get_opts(&path_of(object)?, GetOptions::default()).await?;
        let size = found.meta.size;
        Ok((size, Box::pin(found.into_stream().map_err(ObjectError::from))))
    }

    /// Puts an object where there is none yet.
    ///
    /// # Errors
    /// [`ObjectError::Replaced`] if there is one; otherwise if the store does not take it.
    pub async fn create(&self, object: &ObjectUrl, content: Bytes) -> Result<(), ObjectError> {
        let mode = PutMode::Create.into();
        self.client.put_opts(&path_of(object)?, content.into(), mode).await?;
        Ok(())
    }

    /// Asks whether the store answers; a refusal is an answer.
    ///
    /// # Errors
    /// If it does not.
    pub async fn probe(&self) -> Result<(), ObjectError> {
        match self.client.head(&path_of(&self.root.join(PROBE))?).await.map_err(ObjectError::from) {
            Ok(_) | Err(ObjectError::Missing | ObjectError::Refused | ObjectError::Replaced) => Ok(()),
            Err(away) => Err(away),
        }
    }
}

/// The object's key, as the client library takes it.
///
/// # Errors
/// If the library does not take it.
pub fn path_of(object: &ObjectUrl) -> Result<Path, ObjectError> {
    Path::parse(object.key()).map_err(|_| ObjectError::Away("cannot be asked for this key".to_owned()))
}

impl From<object_store::Error> for ObjectError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error means that the store cannot work")]
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => Self::Refused,
            object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. } => Self::Replaced,
            other => Self::Away(in_words(&other)),
        }
    }
}

/// What went wrong, without the addresses and answers that the library's own words hold.
fn in_words(error: &object_store::Error) -> String {
    const STATUS: &str = "status code: ";
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            let words = transport(error.kind());
            return tls_fault(error).map_or_else(|| words.to_owned(), |fault| format!("{words}: {fault}"));
        }
        cause = error.source();
    }
    let text = error.to_string();
    match text.split_once(STATUS).map(|(_, rest)| rest.split(':').next().unwrap_or(rest)) {
        Some(status) => format!("answered {}", status.trim()),
        None => "gave an answer that cannot be used; check its endpoint and region".to_owned(),
    }
}

/// What TLS has against the connection, if that is why there is none.
fn tls_fault(error: &HttpError) -> Option<&'static str> {
    let mut cause = error.source();
    let mut meaning = None;
    while let Some(error) = cause {
        meaning = meaning.or_else(|| crate::tls::explain(&error.to_string()));
        cause = error.source();
    }
    meaning
}

fn transport(kind: HttpErrorKind) -> &'static str {
    match kind {
        HttpErrorKind::Connect => "cannot be connected to",
        HttpErrorKind::Timeout => "did not answer in time",
        HttpErrorKind::Request | HttpErrorKind::Interrupted => "ended the connection",
        HttpErrorKind::Decode | HttpErrorKind::Unknown => "broke off the transfer",
        _ => "cannot be talked to",
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.root, f)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.root, f)
    }
}

impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

impl Eq for Store {}

impl PartialOrd for Store {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Store {
    fn cmp(&self, other: &Self) -> Ordering {
        self.root.cmp(&other.root)
    }
}
