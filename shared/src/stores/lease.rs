//! A lease on a pooled connection: it goes back to the pool only when its user says so.
//!
//! A future that is dropped in the middle of a statement leaves that statement running. Its connection
//! must not serve anyone else, and PostgreSQL must not go on working for nobody: a lease that is dropped
//! asks PostgreSQL to cancel what it does there, and closes the connection.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio::runtime::Handle;
use tokio_postgres::CancelToken;

use crate::stores::postgres::{connector::WithCertificates, error::PostgresError};

/// How long PostgreSQL may take to be told.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection of a pool, which is closed unless [`Lease::end`] gives it back.
pub struct Lease(Option<Object>);

impl Lease {
    /// Takes a connection out of a pool.
    ///
    /// # Errors
    /// If there is none in time.
    pub async fn take(pool: &Pool) -> Result<Self, PostgresError> {
        Ok(Self(Some(pool.get().await?)))
    }

    /// The connection, as what works over any takes it.
    pub fn client(&self) -> &Object {
        self.object()
    }

    /// Gives the connection back. No statement may be under way on it.
    pub fn end(mut self) {
        self.0 = None;
    }

    #[expect(clippy::expect_used, reason = "only end, which takes it whole, lets the connection go")]
    fn object(&self) -> &Object {
        self.0.as_ref().expect("a lease has its connection until it ends")
    }
}

impl Deref for Lease {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.object()
    }
}

impl DerefMut for Lease {
    #[expect(clippy::expect_used, reason = "only end, which takes it whole, lets the connection go")]
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        self.0.as_mut().expect("a lease has its connection until it ends")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.0.take() else { return };
        let client = Object::take(object);
        // Without a runtime the process ends, and its connections with it.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            cancel(client.cancel_token()).await;
            drop(client);
        });
    }
}

/// The statements of one attempt, which can be cancelled together from outside of it.
#[derive(Default)]
pub struct Statements(Mutex<Option<Vec<CancelToken>>>);

impl Statements {
    /// An attempt's statements, of which there are none yet.
    pub fn new() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }

    /// Adds what is done over a connection, from now until [`Statements::cancel`].
    pub fn watch(&self, lease: &Lease) {
        if let Some(tokens) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            tokens.push(lease.cancel_token());
        }
    }

    /// Asks PostgreSQL to cancel what it does over these connections.
    pub async fn cancel(&self) {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        futures_util::future::join_all(tokens.into_iter().map(cancel)).await;
    }

    /// Returns whether they were cancelled.
    pub fn are_cancelled(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// Asks PostgreSQL to cancel the statement that it is working on. It may have ended meanwhile.
async fn cancel(token: CancelToken) {
    // The connector is used only where the connection itself has TLS.
    let asked = token.cancel_query(WithCertificates::of_process());
    match tokio::time::timeout(CANCEL_TIMEOUT, asked).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "a statement could not be cancelled");
        }
        Err(_) => tracing::debug!("a statement could not be cancelled in time"),
    }
}
