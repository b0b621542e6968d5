//! The Parquet cache, as a reader of it finds it.

pub(crate) use tests::cached::Cached;
