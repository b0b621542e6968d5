//! Reading a small file as a job of it would.

use shared::{
    amount::Amount,
    file::{
        dialect::FileLimits, mapping_profile::MappingProfile, records::RecordLimits, trial_balance::Request,
        unpack::Expansion, workbook::WorkbookLimits,
    },
    message::job::{Control, OnError},
    slice::Slice,
};

/// What a small file may be.
const LIMITS: FileLimits = FileLimits {
    record: RecordLimits { bytes: 1 << 16, fields: 200 },
    expansion: Expansion { bytes: 1 << 20, ratio: 200 },
    workbook: WorkbookLimits { bytes: 1 << 20, unpacked: 1 << 20 },
};

/// Asks for the rows of a slice, of which none may be bad.
pub(crate) fn request<'a>(slice: &'a Slice, profile: &'a MappingProfile) -> Request<'a> {
    Request {
        slice,
        profile,
        on_error: OnError::Abort,
        max_rejected: 0,
        limits: LIMITS,
        control: Control::default(),
        require_balanced: false,
        nil_tolerance: Amount::ZERO,
    }
}
