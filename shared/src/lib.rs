//! What Aura's producer and worker must agree on: the message, the receipt, the topology, the
//! stores, and the pure core that turns a file's bytes into rows of the ledger.

// What comes from outside must not be able to end the process.
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice))]

pub mod amount;
pub mod amqp;
pub mod balances;
pub mod cache;
pub mod chain;
pub mod columns;
pub mod data_profile;
pub mod decode;
pub mod dialect;
pub mod envelope;
pub mod event;
pub mod failure;
pub mod file_modes;
pub mod fingerprint;
pub mod job;
#[expect(clippy::indexing_slicing, reason = "the places are those of the header that was read")]
pub mod layout;
pub mod lease;
pub mod mapping_profile;
pub mod memory;
pub mod mongo;
pub mod numeric;
pub mod outbox;
pub mod postgres;
pub mod printable;
pub mod receipt;
pub mod receive;
pub mod records;
pub mod roots;
pub mod settings;
pub mod slice;
pub mod sources;
pub mod storable;
pub mod store;
pub mod survey;
pub mod telemetry;
pub mod tls;
pub mod topology;
pub mod trial_balance;
pub mod unpack;
#[expect(clippy::indexing_slicing, clippy::string_slice, reason = "the ranges are those of the cells that were pushed")]
pub mod workbook;
pub mod written_amount;
