//! Sample files and the world that integration tests run in.
