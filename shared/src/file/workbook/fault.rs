//! What can be wrong with a workbook as a whole.

use crate::message::failure::{ErrorCode, Failure, Stage, clean};

/// What it means that an archive cannot be unpacked.
pub(super) fn damaged(error: &dyn std::fmt::Display) -> Failure {
    let error = clean(&error.to_string());
    invalid(format!("the zip archive is damaged or cut off ({error}); save the workbook anew"))
}

/// The failure of a workbook that unpacks to more than it may.
pub(super) fn unpacks_to_too_much(most: u64) -> Failure {
    too_large(format!(
        "the workbook unpacks to more than the {most} bytes that AURA_MAX_WORKBOOK_UNPACKED_BYTES allows; export it as CSV"
    ))
}

pub(super) fn too_large(reason: String) -> Failure {
    Failure::new(ErrorCode::FileTooLarge, Stage::Parse, reason)
}

pub(super) fn invalid(reason: String) -> Failure {
    Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason)
}
