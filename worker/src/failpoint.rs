//! Failpoints: named steps at which a test build ends or halts its process. Other builds have none.
//!
//! `AURA_TEST_FAILPOINT` names a step, or a step and an entity: `committed`, `committed:ABEX`. The
//! process aborts when it first gets there. With `AURA_TEST_FAILPOINT_ACTION=halt` it stops itself
//! instead, as SIGSTOP does, and goes on from there on SIGCONT.

use shared::slice::Slice;

/// Reaches a step that belongs to no slice.
pub(crate) fn reach(step: &str) {
    reached(step, None);
}

/// Reaches a step with a job of this slice.
pub(crate) fn reach_for(step: &str, slice: &Slice) {
    reached(step, Some(slice));
}

#[cfg(feature = "failpoints")]
fn reached(step: &str, slice: Option<&Slice>) {
    use std::sync::atomic::{AtomicBool, Ordering};
    static HALTED: AtomicBool = AtomicBool::new(false);

    let Ok(named) = std::env::var("AURA_TEST_FAILPOINT") else { return };
    let here = match named.split_once(':') {
        None => named == step,
        Some((named, entity)) => named == step && slice.is_some_and(|slice| slice.entity.as_str() == entity),
    };
    if !here {
        return;
    }
    if std::env::var("AURA_TEST_FAILPOINT_ACTION").is_ok_and(|action| action == "halt") {
        if !HALTED.swap(true, Ordering::Relaxed) {
            tracing::error!(step, "a failpoint halts this process");
            let pid = std::process::id().to_string();
            // The shell's own kill; waiting for it, this process is stopped.
            let _ = std::process::Command::new("sh").args(["-c", "kill -s STOP \"$0\"", &pid]).status();
        }
        return;
    }
    tracing::error!(step, "a failpoint ends this process");
    std::process::abort();
}

#[cfg(not(feature = "failpoints"))]
fn reached(_step: &str, _slice: Option<&Slice>) {}
