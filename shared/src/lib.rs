//! What Aura's producer and worker must agree on: the message, the receipt, the topology, the
//! stores, and the pure core that turns a file's bytes into rows of the ledger.

// What comes from outside must not be able to end the process.
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice))]

pub mod amount;
pub mod broker;
pub mod file;
pub mod file_modes;
pub mod fingerprint;
pub mod jsonb;
pub mod memory;
pub mod message;
pub mod printable;
pub mod roots;
pub mod secret;
pub mod settings;
pub mod signature;
pub mod slice;
pub mod sources;
pub mod stores;
pub mod telemetry;
pub mod terminal;
pub mod timestamp;
pub mod tls;
