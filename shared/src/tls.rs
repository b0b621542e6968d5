//! TLS: rustls with ring, for every library that takes what the process has.

/// Makes ring the process's provider. Must come before a library makes an HTTP client.
pub fn use_ring() {
    // It fails if there is one already, which is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
