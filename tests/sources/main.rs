//! The mapping profiles that Aura ships, their guide and the map of the code, against the code. Needs no service.

mod guide;
mod map;
mod reading;
mod samples;

use std::path::{Path, PathBuf};

use shared::sources::Sources;

/// The folder of the profiles.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sources")
}

/// The profiles that are shipped; the built-in one is none of them.
fn sources() -> Sources {
    Sources::new(folder())
}
