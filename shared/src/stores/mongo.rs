//! MongoDB: the client, and calls that end in time.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use bson::{Document, doc};
use mongodb::{
    Client, Collection, Database, IndexModel,
    error::{Error, ErrorKind},
    options::{
        Acknowledgment, ClientOptions, CollectionOptions, ConnectionString, IndexOptions, ReadConcern,
        SelectionCriteria, Tls as DriverTls, WriteConcern,
    },
};

use crate::{settings::ServiceUrl, tls::TlsError};

const DEFAULT_DATABASE: &str = "aura";
/// How long finding a server, and connecting to it, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the server may wait for a majority.
const MAJORITY_TIMEOUT: Duration = Duration::from_secs(8);
/// How long any call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const DUPLICATE_KEY: i32 = 11_000;
const NAMESPACE_EXISTS: i32 = 48;
const UNAUTHORIZED: i32 = 13;
/// The index by which no two events have one place in a chain.
const PLACE: &str = "place";

/// MongoDB did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum MongoError {
    /// The URL cannot be used.
    #[error("the MongoDB URL cannot be used")]
    Url(#[source] Error),
    /// The certificates cannot be used.
    #[error("TLS to MongoDB cannot be set up")]
    Tls(#[source] TlsError),
    /// A call failed.
    #[error("MongoDB failed to {what}")]
    Call {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        source: Box<Error>,
    },
    /// A call was not answered in time.
    #[error("MongoDB did not {what} in time")]
    Timeout {
        /// What it was asked to do.
        what: &'static str,
    },
    /// It took the documents, but no majority of its servers confirmed them in time.
    #[error("no majority of MongoDB's servers confirmed to {what}: {message}")]
    NoMajority {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        message: String,
    },
}

/// A document that was not inserted.
#[derive(Debug)]
pub struct Refused {
    /// Its place among those given.
    pub index: usize,
    /// None if another document has its key, else what MongoDB has against it.
    pub fault: Option<String>,
}

/// The two collections, written with majority and journal.
#[derive(Clone)]
pub struct Mongo {
    database: Database,
    /// What the driver reads the certificate from that it shows.
    _identity: Option<Arc<OwnedFd>>,
    /// The audit events.
    pub audit_trail: Collection<Document>,
    /// What is known of each job that loaded.
    pub gl_metadata: Collection<Document>,
}

/// Makes sure that a URL is one, without asking any server.
///
/// # Errors
/// If it is not.
pub fn check(url: &ServiceUrl) -> Result<(), MongoError> {
    ConnectionString::parse(url.expose()).map(|_| ()).map_err(MongoError::Url)
}

impl Mongo {
    /// Makes a client under a program's name; connections are opened when they are needed.
    ///
    /// # Errors
    /// If the URL or the certificates cannot be used, or the servers that the URL stands for not be looked up.
    pub async fn open(url: &ServiceUrl, application: &str) -> Result<Self, MongoError> {
        let address = url.current().expose().to_owned();
        let mut options = within("be looked up", async move { ClientOptions::parse(address).await }).await?;
        let mut identity = None;
        if let Some(DriverTls::Enabled(tls)) = &mut options.tls {
            tls.ca_file_path = url.tls().ca().map(Into::into).or(tls.ca_file_path.take());
            identity = url.tls().identity_file().map_err(MongoError::Tls)?;
            if let Some((_, path)) = &identity {
                tls.cert_key_file_path = Some(path.clone());
            }
        }
        options.app_name.get_or_insert_with(|| application.to_owned());
        options.server_selection_timeout.get_or_insert(CONNECT_TIMEOUT);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        let name = options.default_database.clone().unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        let database = Client::with_options(options).map_err(MongoError::Url)?.database(&name);
        let concern =
            WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(MAJORITY_TIMEOUT).build();
        let collection = CollectionOptions::builder()
            .write_concern(concern)
            .read_concern(ReadConcern::majority())
            .selection_criteria(SelectionCriteria::ReadPreference(mongodb::options::ReadPreference::Primary))
            .build();
        Ok(Self {
            audit_trail: database.collection_with_options("audit_trail", collection.clone()),
            gl_metadata: database.collection_with_options("gl_metadata", collection),
            database,
            _identity: identity.map(|(file, _)| Arc::new(file)),
        })
    }

    /// Ends the client. One that is only dropped asks the server in the background to end its sessions, and where the
    /// program ends meanwhile, that call panics in the driver (3.9.1).
    pub async fn close(&self) {
        let client = self.database.client().clone();
        let end = async move {
            client.shutdown().immediate(true).await;
            Ok(())
        };
        // Sessions end by themselves, too.
        let _ = within("end the sessions", end).await;
    }

    /// Makes sure that the server answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), MongoError> {
        let database = self.database.clone();
        within("answer", async move { database.run_command(doc! { "ping": 1 }).await }).await.map(|_| ())
    }

    /// Makes sure that the collections are there, and that no two events have one place in a chain.
    ///
    /// A user that may make neither needs only to see that the index is there: an index can also be one that lets
    /// documents expire, so a worker's user had better not make any.
    ///
    /// # Errors
    /// If MongoDB fails, or lacks the index and this user may not make it.
    pub async fn ensure(&self) -> Result<(), MongoError> {
        let options = IndexOptions::builder().unique(true).name(PLACE.to_owned()).build();
        let place = IndexModel::builder().keys(doc! { "entity": 1, "period": 1, "seq": 1 }).options(options).build();
        let (database, audit_trail) = (self.database.clone(), self.audit_trail.clone());
        within("prepare the collections", async move {
            match database.create_collection("gl_metadata").await {
                Err(error) if !is_command(&error, &[NAMESPACE_EXISTS, UNAUTHORIZED]) => return Err(error),
                Ok(()) | Err(_) => {}
            }
            match audit_trail.create_index(place).await {
                Err(error) if is_command(&error, &[UNAUTHORIZED]) => {
                    let there = audit_trail.list_index_names().await?;
                    if there.iter().any(|name| name == PLACE) { Ok(()) } else { Err(error) }
                }
                made => made.map(|_| ()),
            }
        })
        .await
    }
}

/// Returns whether MongoDB refused a command with one of these codes.
fn is_command(error: &Error, codes: &[i32]) -> bool {
    matches!(&*error.kind, ErrorKind::Command(refused) if codes.contains(&refused.code))
}

/// Inserts what can be inserted, and tells what could not.
///
/// A document that is reported as there already is there for a majority, too: MongoDB waits for that
/// before it says so, or reports that it could not.
///
/// # Errors
/// If MongoDB fails, or no majority confirms. Some may have been inserted nevertheless.
pub async fn insert(
    collection: &Collection<Document>,
    documents: Vec<Document>,
    what: &'static str,
) -> Result<Vec<Refused>, MongoError> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let collection = collection.clone();
    let inserted = within(what, async move { collection.insert_many(documents).ordered(false).await }).await;
    let source = match inserted {
        Ok(_) => return Ok(Vec::new()),
        Err(MongoError::Call { source, .. }) => source,
        Err(error) => return Err(error),
    };
    let ErrorKind::InsertMany(failure) = &*source.kind else { return Err(MongoError::Call { what, source }) };
    if let Some(error) = &failure.write_concern_error {
        return Err(MongoError::NoMajority { what, message: error.message.clone() });
    }
    let refused = failure.write_errors.iter().flatten().map(|error| Refused {
        index: error.index,
        fault: (error.code != DUPLICATE_KEY).then(|| format!("{} (code {})", error.message, error.code)),
    });
    Ok(refused.collect())
}

/// Ends a call in time. The driver's futures must not be dropped half-way, so the call itself goes on.
///
/// # Errors
/// If MongoDB fails or does not answer in time.
pub async fn within<T, F>(what: &'static str, call: F) -> Result<T, MongoError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    match tokio::time::timeout(CALL_TIMEOUT, tokio::spawn(call)).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(source))) => Err(MongoError::Call { what, source: Box::new(source) }),
        Ok(Err(_)) | Err(_) => Err(MongoError::Timeout { what }),
    }
}
