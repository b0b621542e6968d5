//! Failpoints: named steps at which a test build ends its process. Other builds have none.

/// Ends the process if the environment names this step, as `AURA_TEST_FAILPOINT=step` does.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(step: &str) {
    if std::env::var("AURA_TEST_FAILPOINT").is_ok_and(|named| named == step) {
        tracing::error!(step, "a failpoint ends this process");
        std::process::abort();
    }
}

/// Does nothing in builds without failpoints.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn reach(_step: &str) {}
