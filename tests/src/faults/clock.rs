//! Clocks that are wrong: programs that run under libfaketime.

use std::path::Path;

/// Where Debian's package `libfaketime` puts its library, by architecture.
const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

/// Settings under which a program's clock is wrong by so much, such as `+4s`. What it measures by its
/// monotonic clock stays right.
///
/// # Panics
/// If the library is not there: `deploy/test` installs it.
pub fn skewed(offset: &str) -> [(&'static str, String); 3] {
    let library = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
    let library = library.expect("libfaketime is not there: install Debian's package libfaketime, as deploy/test does");
    [
        ("LD_PRELOAD", library.to_owned()),
        ("FAKETIME", offset.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}
