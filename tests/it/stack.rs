//! The services and the checkout.

use std::path::PathBuf;

pub(crate) use tests::{checkout::checkout, stack::stack};

/// The folder of the program's reference file, which is not part of this repository.
pub(crate) fn reference_file() -> Option<PathBuf> {
    let folder = std::env::var_os("AURA_TEST_REFERENCE_DIR").map(PathBuf::from);
    let file = folder.unwrap_or_else(|| checkout().join("../shared/data")).join("trial_balance_cleaned.csv");
    if !file.exists() {
        eprintln!("SKIPPED: the reference file {} is not there; set AURA_TEST_REFERENCE_DIR", file.display());
        return None;
    }
    Some(file)
}
