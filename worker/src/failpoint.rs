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

/// Stops a process, and returns once it stands still; at the latest after some tens of thousands of looks.
#[cfg(feature = "failpoints")]
const HALT: &str = "kill -s STOP \"$0\"
looks=0
while [ $looks -lt 50000 ] && read -r stat <\"/proc/$0/stat\"; do
    case $stat in *') T '*) exit ;; esac
    looks=$((looks + 1))
done";

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
            // The shell waits until it sees this process stopped, and this thread for the shell. What was
            // begun before, such as to roll back, goes out on another thread.
            let _ = tokio::task::block_in_place(|| std::process::Command::new("sh").args(["-c", HALT, &pid]).status());
        }
        return;
    }
    tracing::error!(step, "a failpoint ends this process");
    std::process::abort();
}

#[cfg(not(feature = "failpoints"))]
fn reached(_step: &str, _slice: Option<&Slice>) {}
