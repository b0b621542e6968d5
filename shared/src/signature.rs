//! Ed25519 signatures, with keys as `openssl genpkey -algorithm ed25519` writes them.

use std::path::{Path, PathBuf};

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject};

/// What stands before the 32 bytes of an Ed25519 public key (RFC 8410).
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("the key {path} cannot be read")]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not one.
    #[error("{path} holds no Ed25519 {kind} key in PEM; {remedy}")]
    Form {
        /// Where it is.
        path: PathBuf,
        /// `private` or `public`.
        kind: &'static str,
        /// How one is made.
        remedy: &'static str,
    },
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    std::fs::read(path).map_err(|source| KeyError::File { path: path.to_owned(), source })
}

/// A private key, which signs.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads a key.
    ///
    /// # Errors
    /// If it cannot be read, or is of another kind.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let remedy = "make one: openssl genpkey -algorithm ed25519 -out anchor.key";
        let fault = || KeyError::Form { path: path.to_owned(), kind: "private", remedy };
        let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| fault())?;
        // openssl leaves out the public key that would be checked.
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der()).map_err(|_| fault())?;
        Ok(Self(key))
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// A public key, which tells whether a signature is its private key's.
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a key.
    ///
    /// # Errors
    /// If it cannot be read, or is of another kind.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let remedy = "make one: openssl pkey -in anchor.key -pubout -out anchor.pub";
        let fault = || KeyError::Form { path: path.to_owned(), kind: "public", remedy };
        let key = SubjectPublicKeyInfoDer::from_pem_slice(&read(path)?).map_err(|_| fault())?;
        let key = key.strip_prefix(&PUBLIC).filter(|key| key.len() == 32).ok_or_else(fault)?;
        Ok(Self(key.to_vec()))
    }

    /// Returns whether a signature is of this message and this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Keys of nobody's.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIIwUF1ZOHVu9Jsp4cBpzVoBN9F+Md3O1zk+6BnvATH+P\n-----END PRIVATE KEY-----\n";
    const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAXNdy5xkbTKF9tEOCBE+s88ZeLrfsGSeqtBsgKNO/YT4=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_of_openssl_sign_and_verify_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("key"), folder.path().join("pub"));
        std::fs::write(&private, PRIVATE).unwrap();
        std::fs::write(&public, PUBLIC_KEY).unwrap();
        let (key, known) = (SigningKey::read(&private).unwrap(), PublicKey::read(&public).unwrap());
        let signature = key.sign(b"heads");
        assert!(known.verifies(b"heads", &signature) && !known.verifies(b"head", &signature));
        assert!(!known.verifies(b"heads", &signature[1..]));
        assert!(SigningKey::read(&public).is_err_and(|error| error.to_string().contains("openssl genpkey")));
        assert!(PublicKey::read(&private).is_err_and(|error| error.to_string().contains("openssl pkey")));
    }
}
