//! Which versions of the schema this program knows and works with.

use refinery::Migration;

/// The oldest schema version that this program works with: it uses nothing that a later migration
/// brought.
pub const OLDEST_SCHEMA: i32 = 8;

pub(super) mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// The newest version that it knows.
pub(super) fn newest() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(Migration::version).max().unwrap_or(0)
}
