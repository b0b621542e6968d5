//! What the event of a repair says was put back, as `verify --repair` writes it and every `verify` reads it.

/// A job's metadata.
pub(super) const METADATA: &str = "gl_metadata";
/// A slice's Parquet file.
pub(super) const PARQUET: &str = "parquet";
/// A chain's halt, which was lifted.
pub(super) const HALT: &str = "audit_chain";
