//! What Aura's producer and worker must agree on: the message, the receipt, the topology, the
//! stores, and the pure core that turns a file's bytes into rows of the ledger.

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
pub mod fingerprint;
pub mod job;
pub mod layout;
pub mod mapping_profile;
pub mod mongo;
pub mod numeric;
pub mod outbox;
pub mod postgres;
pub mod receipt;
pub mod receive;
pub mod records;
pub mod roots;
pub mod settings;
pub mod slice;
pub mod sources;
pub mod survey;
pub mod telemetry;
pub mod topology;
pub mod trial_balance;
pub mod unpack;
pub mod workbook;
pub mod written_amount;
