//! A real TLS server: in front of a server that speaks plainly, or of nothing.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// The length of what PostgreSQL's clients ask for TLS with.
const SSL_REQUEST: usize = 8;

/// What the server is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// TLS from the first byte on.
    Tls,
    /// PostgreSQL, which is asked for TLS first.
    Postgres,
}

/// A server; it ends with its value.
#[derive(Debug)]
pub struct TlsFront {
    /// Its port.
    pub port: u16,
    accepting: tokio::task::JoinHandle<()>,
}

impl TlsFront {
    /// Starts a server with the certificate `name` of a folder, which asks clients for one of the folder's CA, and
    /// passes on what they say to `behind`.
    ///
    /// # Panics
    /// If the certificates cannot be used, or there is no port.
    pub async fn start(folder: &Path, name: &str, speaks: Speaks, behind: Option<SocketAddr>) -> Self {
        let mut roots = RootCertStore::empty();
        let file = |name: String| folder.join(name);
        for certificate in CertificateDer::pem_file_iter(file("ca.crt".to_owned())).expect("the CA") {
            roots.add(certificate.expect("a certificate")).expect("a CA");
        }
        let chain = CertificateDer::pem_file_iter(file(format!("{name}.crt"))).expect("the certificate");
        let chain = chain.collect::<Result<_, _>>().expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(file(format!("{name}.key"))).expect("the key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(chain, key)
            .expect("certificate and key go together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, speaks, behind));
            }
        });
        Self { port, accepting }
    }
}

/// Serves one client; what goes wrong is the client's to notice.
async fn serve(acceptor: TlsAcceptor, mut stream: TcpStream, speaks: Speaks, behind: Option<SocketAddr>) -> Option<()> {
    if speaks == Speaks::Postgres {
        stream.read_exact(&mut [0; SSL_REQUEST]).await.ok()?;
        stream.write_all(b"S").await.ok()?;
    }
    let mut client = acceptor.accept(stream).await.ok()?;
    let mut server = TcpStream::connect(behind?).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
