//! What is asked of a file, and what is taken for granted about it until it says otherwise.

use crate::{
    amount::Amount,
    file::{dialect::FileLimits, mapping_profile::MappingProfile},
    message::job::{Control, OnError},
    slice::Slice,
};

/// What is asked of a file.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The slice whose rows are wanted.
    pub slice: &'a Slice,
    /// How the file is written.
    pub profile: &'a MappingProfile,
    /// What bad rows do.
    pub on_error: OnError,
    /// Bad rows that quarantine allows.
    pub max_rejected: u64,
    /// What the file may be.
    pub limits: FileLimits,
    /// Totals that must match.
    pub control: Control,
    /// Whether the slice must sum to nil.
    pub require_balanced: bool,
    /// How far from zero it may be.
    pub nil_tolerance: Amount,
}

/// What is taken for granted about a file until one of its rows says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assumptions {
    /// What rows with a blank entity or period are.
    pub blanks: Blanks,
    /// How amounts are read, if the profile does not say it.
    pub amounts: DecimalAssumption,
    /// Whether the amounts of other slices are looked at too, for what they tell about the decimal mark.
    pub scan_other_slices: bool,
    /// How many of the profile's encodings the file is not in.
    pub tried_encodings: usize,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { blanks: Blanks::Ours, amounts: DecimalAssumption::Point, scan_other_slices: false, tried_encodings: 0 }
    }
}

/// What rows with a blank entity or period are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blanks {
    /// Rows of the slice, as long as the file holds no other.
    Ours,
    /// Bad rows, since the file holds other slices.
    Bad,
}

/// How a file's amounts are read, if the profile does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalAssumption {
    /// With a decimal point.
    Point,
    /// With a decimal comma.
    Comma,
    /// With a decimal point in some rows and a comma in others, which are bad.
    Mixed,
}
