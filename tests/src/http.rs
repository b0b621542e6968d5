//! The tests' own HTTP client.

/// A client. The provider of its TLS is the process's, which has to be chosen before.
pub fn client() -> reqwest::Client {
    // It fails if there is one already, which is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
