//! PostgreSQL, MongoDB, the Parquet cache and object stores, and what is written to them alike by both programs.

pub mod audit_chain;
pub mod cache;
pub mod dead_letters;
pub mod lease;
pub mod locks;
pub mod mongo;
pub mod numeric;
pub mod object_store;
pub mod outbox;
pub mod postgres;
pub mod storable;
