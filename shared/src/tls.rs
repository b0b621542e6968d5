//! TLS: rustls with ring, for every library that takes what the process has, and the certificates that are trusted and
//! shown.

use std::{
    fs::File,
    io::Write,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Makes ring the process's provider. Must come before a library makes an HTTP client.
pub fn use_ring() {
    // It fails if there is one already, which is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// TLS cannot be set up as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting} names {path}, which {fault}")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why it cannot be used.
        fault: String,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("AURA_TLS_CERT_PATH and AURA_TLS_KEY_PATH go together: the certificate that is shown, and its key")]
    Half,
    /// Certificate and key cannot be used.
    #[error("the certificate of AURA_TLS_CERT_PATH and the key of AURA_TLS_KEY_PATH cannot be used together")]
    Identity(#[source] rustls::Error),
    /// The library cannot be set up.
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
    /// The key cannot be handed to the driver of MongoDB.
    #[error("certificate and key cannot be handed to the driver of MongoDB")]
    Handing(#[source] std::io::Error),
}

const CA: &str = "AURA_TLS_CA_PATH";
const CERT: &str = "AURA_TLS_CERT_PATH";
const KEY: &str = "AURA_TLS_KEY_PATH";

/// Whose certificates are trusted, and which is shown. The files are read for each connection, so that they may change
/// while a program runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Tls {
    /// The files that the settings name.
    ///
    /// # Errors
    /// If one of them cannot be used, or a certificate lacks its key.
    pub fn new(ca: Option<PathBuf>, cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Self, TlsError> {
        let tls = Self { ca, cert, key };
        if tls != Self::default() {
            tls.for_service()?;
        }
        Ok(tls)
    }

    /// Whether certificates of one's own are to be used at all.
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// For RabbitMQ, PostgreSQL and MongoDB: a private CA is the only one that is trusted.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn for_service(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => trust(&mut roots, path)?,
            None => trust_the_systems(&mut roots),
        }
        self.config(roots)
    }

    /// For object stores, some of which may be a cloud's: a private CA is trusted beside the system's.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn for_store(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        trust_the_systems(&mut roots);
        if let Some(path) = &self.ca {
            trust(&mut roots, path)?;
        }
        self.config(roots)
    }

    fn config(&self, roots: RootCertStore) -> Result<ClientConfig, TlsError> {
        let provider = rustls::crypto::ring::default_provider().into();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?
            .with_root_certificates(roots);
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return if self.cert == self.key { Ok(builder.with_no_client_auth()) } else { Err(TlsError::Half) };
        };
        let chain = certificates(CERT, cert)?;
        let key = PrivateKeyDer::from_pem_slice(&read(KEY, key)?)
            .map_err(|error| unusable(KEY, key, format!("has no private key in PEM ({error})")))?;
        builder.with_client_auth_cert(chain, key).map_err(TlsError::Identity)
    }

    /// The file of the CA, for a library that reads it by itself.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Certificate and key in one file, for a library that takes no other form. The file is in memory, has no name, and
    /// is gone with what this returns.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn identity_file(&self) -> Result<Option<(OwnedFd, PathBuf)>, TlsError> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(None) };
        let both = [read(CERT, cert)?, b"\n".to_vec(), read(KEY, key)?].concat();
        let handed = || {
            let file = rustix::fs::memfd_create("identity", rustix::fs::MemfdFlags::CLOEXEC)?;
            let mut file = File::from(file);
            file.write_all(&both)?;
            Ok(OwnedFd::from(file))
        };
        let file: OwnedFd = handed().map_err(TlsError::Handing)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Some((file, path)))
    }
}

fn trust_the_systems(roots: &mut RootCertStore) {
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
}

fn trust(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    for certificate in certificates(CA, path)? {
        roots.add(certificate).map_err(|error| unusable(CA, path, format!("has a certificate of no use ({error})")))?;
    }
    Ok(())
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(setting, path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let fault = "has no certificate in PEM";
    match read {
        Ok(certificates) if certificates.is_empty() => Err(unusable(setting, path, fault.to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(setting, path, format!("{fault} ({error})"))),
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| unusable(setting, path, format!("cannot be read: {error}")))
}

fn unusable(setting: &'static str, path: &Path, fault: String) -> TlsError {
    TlsError::File { setting, path: path.to_owned(), fault }
}

const NEEDS_ONE: &str = "it asks for a certificate: set AURA_TLS_CERT_PATH and AURA_TLS_KEY_PATH";

const EXPIRED: &str = "its certificate has expired, or a clock is wrong";
const NOT_YET: &str = "its certificate is not valid yet, or a clock is wrong";
/// What libraries say when TLS fails, and what it means in plain words.
const MEANINGS: [(&str, &str); 12] = [
    ("UnknownIssuer", "its certificate is not of a CA that is trusted here; AURA_TLS_CA_PATH names the one to trust"),
    (
        "not valid for name",
        "its certificate is for another name; use the name in the URL that the certificate has, or have one made for it",
    ),
    ("NotValidForName", "its certificate is for another name; use the name in the URL that the certificate has"),
    ("certificate expired", EXPIRED),
    ("certificate: Expired", EXPIRED),
    ("certificate not valid yet", NOT_YET),
    ("certificate: NotValidYet", NOT_YET),
    ("alert: CertificateRequired", NEEDS_ONE),
    ("requires a valid client certificate", NEEDS_ONE),
    ("alert: UnknownCA", "it does not trust the CA of the certificate in AURA_TLS_CERT_PATH"),
    ("alert: CertificateExpired", "the certificate in AURA_TLS_CERT_PATH has expired"),
    ("alert: BadCertificate", "it does not take the certificate in AURA_TLS_CERT_PATH"),
];

/// Says in plain words why TLS failed, if a text tells that it did and they are not in it yet.
pub fn explain(text: &str) -> Option<&'static str> {
    let (_, meaning) = MEANINGS.iter().find(|(sign, _)| text.contains(sign))?;
    (!text.contains(meaning)).then_some(meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_with_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pem");
        let missing = Tls::new(Some(path.clone()), None, None).unwrap_err().to_string();
        assert!(missing.starts_with("AURA_TLS_CA_PATH names ") && missing.contains("cannot be read"), "{missing}");
        std::fs::write(&path, "no PEM").unwrap();
        let no_pem = Tls::new(Some(path.clone()), None, None).unwrap_err().to_string();
        assert!(no_pem.contains("has no certificate in PEM"), "{no_pem}");
        let half = Tls::new(None, Some(path), None).unwrap_err().to_string();
        assert!(half.contains("go together"), "{half}");
        assert!(!Tls::new(None, None, None).unwrap().is_given());
    }

    #[test]
    fn what_is_meant_is_said_once() {
        let said = "invalid peer certificate: UnknownIssuer";
        let meant = explain(said).unwrap();
        assert!(explain(&format!("{said}: {meant}")).is_none() && explain("connection refused").is_none());
    }
}
