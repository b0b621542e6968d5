//! Sample trial balances: generated from a seed, so that the same seed gives the same bytes.
//!
//! Nothing here knows Aura. Tests, demo and benchmark take their files from it, and what the files
//! hold is told beside them, so that what Aura makes of them can be held against it.

pub mod account;
pub mod amount;
pub mod broken;
pub mod month_end;
pub mod random;
pub mod trial_balance;
