//! Connections to PostgreSQL: each with the URL and the certificates as they are when it is made.

use std::sync::OnceLock;

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls, Socket, config::SslMode, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    settings::ServiceUrl,
    tls::{Tls, TlsError},
};

/// The certificates of this process, of which there is one set.
static CERTIFICATES: OnceLock<Tls> = OnceLock::new();

/// TLS with the certificates as they are when a connection is made.
#[derive(Debug, Clone)]
pub(crate) struct WithCertificates(Tls);

impl WithCertificates {
    /// TLS as the pools of this process have it.
    pub(crate) fn of_process() -> Self {
        Self(CERTIFICATES.get().cloned().unwrap_or_default())
    }
}

impl MakeTlsConnect<Socket> for WithCertificates {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let config = self.0.for_service().map_err(|error: TlsError| Box::new(error) as Self::Error)?;
        <MakeRustlsConnect as MakeTlsConnect<Socket>>::make_tls_connect(&mut MakeRustlsConnect::new(config), host)
            .map_err(Into::into)
    }
}

/// Makes connections with the URL as it is then.
pub(super) struct Fresh<F> {
    url: ServiceUrl,
    configure: F,
}

impl<F: Fn(&ServiceUrl) -> Option<Config> + Send + Sync> Fresh<F> {
    /// Connections to what a URL names, as a function makes a configuration of it.
    pub(super) fn new(url: &ServiceUrl, configure: F) -> Self {
        let _ = CERTIFICATES.set(url.tls().clone());
        Self { url: url.clone(), configure }
    }
}

impl<F: Fn(&ServiceUrl) -> Option<Config> + Send + Sync> Connect for Fresh<F> {
    fn connect(&self, at_the_start: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let now = (self.configure)(&self.url.current());
        let config = now.unwrap_or_else(|| at_the_start.clone());
        let tls = WithCertificates(self.url.tls().clone());
        Box::pin(async move {
            if config.get_ssl_mode() == SslMode::Disable {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, tokio::spawn(end(connection))))
            } else {
                let (client, connection) = config.connect(tls).await?;
                Ok((client, tokio::spawn(end(connection))))
            }
        })
    }
}

/// Runs a connection to its end. Why it ended is told by the statement that it was needed for.
async fn end(connection: impl Future<Output = Result<(), Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection to PostgreSQL ends");
    }
}
