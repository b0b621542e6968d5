//! The pure core: a file's bytes become rows of the ledger that were checked. Nothing here has a clock, settings or
//! a store.

pub mod amount_text;
pub mod balance_stats;
pub mod classes;
pub mod columns;
pub mod data_profile;
pub mod decode;
pub mod dialect;
#[expect(clippy::indexing_slicing, reason = "the places are those of the header that was read")]
pub mod layout;
pub mod mapping_profile;
pub mod read;
pub mod records;
pub mod survey;
pub mod trial_balance;
pub mod unpack;
#[expect(clippy::indexing_slicing, clippy::string_slice, reason = "the ranges are those of the cells that were pushed")]
pub mod workbook;
