//! Clocks that are wrong: programs that run under libfaketime.

use std::path::{Path, PathBuf};

/// The library that gives a process another clock.
///
/// # Panics
/// If it is not there: without it the faults would be others than those that are named.
pub fn library() -> PathBuf {
    let path = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(Path::new(&path).exists(), "{path} is not there; install Debian's package faketime, as deploy/test does");
    path.into()
}

/// Settings under which a program's clock is wrong by so much, such as `+4s`. What it measures by its
/// monotonic clock stays right.
///
/// # Panics
/// If [`library`] does.
pub fn skewed(offset: &str) -> [(&'static str, String); 3] {
    [
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME", offset.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}
