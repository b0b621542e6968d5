//! What stands between the broker's socket and lapin: a [`Framer`] in the middle of a pair of sockets.
//!
//! lapin takes no stream but one of the runtime's own sockets, so it is given one end of a pair. What the broker
//! sends, over TLS or not, goes through the framer into the other end; what lapin sends goes out as it is.

use std::{
    io,
    net::TcpStream,
    os::fd::OwnedFd,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_compat::{Compat, CompatExt};
use lapin::{
    Connection, ConnectionProperties,
    tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedTLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{framing::Framer, properties::Bounds};
use crate::tls::Tls;

/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;
/// How long a broker that takes nothing more is listened to.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connects through a guard.
///
/// # Errors
/// If the URL cannot be used, or the broker refuses.
pub(super) async fn connect(
    url: &str,
    tls: &Tls,
    properties: ConnectionProperties,
    bounds: Bounds,
) -> lapin::Result<Connection> {
    let invalid = |fault: String| io::Error::new(io::ErrorKind::InvalidInput, fault);
    let uri: AMQPUri = url.parse().map_err(invalid)?;
    let runtime = lapin::runtime::default_runtime()?;
    let tasks = tokio::runtime::Handle::current();
    // lapin's own TLS knows neither a private CA that is the only one, nor keys in their usual form.
    let encrypted = match uri.scheme {
        AMQPScheme::AMQPS => Some(encrypt(&uri, tls).await?),
        AMQPScheme::AMQP => None,
    };
    let waiting = Mutex::new(encrypted);
    let refused = Arc::new(Refused::default());
    let told = Arc::clone(&refused);
    let open = async move |uri: AMQPUri, runtime| {
        let encrypted = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (ours, lapins) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        lapins.set_nonblocking(true)?;
        let _entered = tasks.enter();
        let ours = tokio::net::UnixStream::from_std(ours)?;
        // The type says TCP; all that is done with it is to read and to write.
        let lapins = tokio::net::TcpStream::from_std(TcpStream::from(OwnedFd::from(lapins)))?;
        match encrypted {
            Some(broker) => tasks.spawn(pump(broker, ours, Framer::new(bounds), Arc::clone(&told))),
            None => {
                let config = OwnedTLSConfig::default();
                let broker = uri.connect_with_config_async(config.as_ref(), &runtime).await?;
                tasks.spawn(pump(Compat::new(broker), ours, Framer::new(bounds), Arc::clone(&told)))
            }
        };
        Ok(AsyncTcpStream::Plain(lapins.compat()))
    };
    let connected = Connection::connector(uri, runtime, open, properties).await;
    connected.map_err(|error| refused.take().map_or(error, Into::into))
}

/// Why the broker ended TLS once the client took it for made: that it does not take the client's certificate, it says
/// only then.
#[derive(Default)]
struct Refused(Mutex<Option<io::Error>>);

impl Refused {
    fn put(&self, error: io::Error) {
        if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A connection over TLS to where a URL says.
async fn encrypt(uri: &AMQPUri, tls: &Tls) -> io::Result<TlsStream<tokio::net::TcpStream>> {
    let (host, port) = (uri.authority.host.as_str(), uri.authority.port);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
    let config = tls.for_service().map_err(io::Error::other)?;
    let stream = tokio::net::TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Carries bytes both ways until either side ends; then both do.
async fn pump(
    broker: impl AsyncRead + AsyncWrite,
    lapin: impl AsyncRead + AsyncWrite,
    framer: Framer,
    refused: Arc<Refused>,
) {
    let (from_broker, mut to_broker) = tokio::io::split(broker);
    let (mut from_lapin, mut to_lapin) = tokio::io::split(lapin);
    let mut passed = std::pin::pin!(pass(from_broker, &mut to_lapin, framer));
    let ended = tokio::select! {
        ended = &mut passed => ended,
        // What lapin has sent is out before the connection ends: its last frames say that it closes.
        sent = tokio::io::copy(&mut from_lapin, &mut to_broker) => match sent {
            Ok(_) => to_broker.shutdown().await,
            // A broker that takes no more may have said why: that is read before the connection is given up.
            Err(error) => match timeout(LAST_WORDS, passed).await {
                Ok(Err(said)) => Err(said),
                Ok(Ok(())) | Err(_) => Err(error),
            },
        },
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection to the broker ends");
        // lapin's end is still open: it notices that the connection has ended only after this.
        refused.put(error);
    }
}

/// Passes on what the framer lets through.
async fn pass(from: impl AsyncRead, to: impl AsyncWrite, mut framer: Framer) -> io::Result<()> {
    let (mut from, mut to) = (std::pin::pin!(from), std::pin::pin!(to));
    let (mut piece, mut passed) = (vec![0; PIECE], Vec::new());
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        framer.take(piece.get(..count).unwrap_or_default(), &mut passed)?;
        to.write_all(&passed).await?;
        passed.clear();
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    /// The broker reads no more once it has said why, and a write may fail before that is read.
    #[tokio::test]
    async fn a_broker_that_takes_no_more_is_heard_out() {
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let broker = tokio_test::io::Builder::new()
            .write_error(io::ErrorKind::BrokenPipe.into())
            .read_error(io::Error::other(alert))
            .build();
        let (ours, mut lapins) = tokio::io::duplex(64);
        lapins.write_all(b"AMQP").await.unwrap();
        let refused = Arc::new(Refused::default());
        pump(broker, ours, Framer::new(Bounds::default()), Arc::clone(&refused)).await;
        assert!(refused.take().unwrap().to_string().contains("CertificateRequired"));
    }
}
