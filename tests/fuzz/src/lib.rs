//! What each fuzz target does with the bytes that it is given. `tests/dialects` runs the inputs of
//! `regressions/` through the same functions.
//!
//! Each panics if what it reads breaks a promise of the core; failures with a code are no panic.

mod amounts;
mod files;
mod parts;
mod profiles;
mod properties;

pub use self::{
    amounts::amount,
    files::{dialect, parse},
    parts::workbook,
    profiles::profile,
    properties::{frames, properties},
};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 7] = [
    ("dialect", dialect),
    ("amount", amount),
    ("parse", parse),
    ("profile", profile),
    ("workbook", workbook),
    ("properties", properties),
    ("frames", frames),
];
