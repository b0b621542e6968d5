//! Where this workspace lies.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
///
/// # Panics
/// Never: the tests lie in it.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_owned()
}
