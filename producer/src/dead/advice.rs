//! What to do about a cause: the runbook's words.

use shared::message::failure::ErrorCode;

/// What whoever is on call does about letters of this code.
pub(crate) fn what_to_do(code: &str) -> String {
    let Ok(known) = code.parse::<ErrorCode>() else {
        return match code {
            "expired" => "the publisher lets its messages expire; replay drops that",
            "rejected" => "something beside the workers consumes from the queue of jobs, or the body is too large",
            "delivery_limit" => "something beside the workers consumes from the queue of jobs; find out what",
            "maxlen" => "raise the limit that the broker's policy sets, then replay",
            _ => "look at one of them: aura-producer dead show",
        }
        .to_owned();
    };
    match known {
        ErrorCode::InvalidMessage => "have the export job send what the message says is wrong, then discard",
        ErrorCode::FileNotAllowed => "the file lies outside AURA_INPUT_ROOTS: mend either, then replay",
        ErrorCode::NotAuthorized => "ask who runs the export job, or grant it in the file of publishers, then replay",
        ErrorCode::FileTooLarge => "raise AURA_MAX_FILE_BYTES or have the file divided, then replay",
        ErrorCode::FingerprintMismatch => {
            "the file is not the one that was meant: have it exported again, as a new job"
        }
        ErrorCode::UnknownSource => "put the mapping profile into AURA_SOURCES_DIR of every worker, then replay",
        ErrorCode::EncodingInvalid | ErrorCode::CsvMalformed => {
            "aura-producer check FILE shows what is read; mend the profile or the export, then replay"
        }
        ErrorCode::ArchiveInvalid | ErrorCode::WorkbookInvalid => "have the file exported again, then replay",
        ErrorCode::SchemaInvalid => {
            "aura-producer check FILE --suggest drafts a profile for these columns; then replay, or --as-new --new-source"
        }
        ErrorCode::RowInvalid => "aura-producer check FILE lists the bad rows; have the file corrected, then replay",
        ErrorCode::DuplicateKey => "say repeated_keys in the profile if they are to be added up, then replay",
        ErrorCode::SliceNotFound => "the file holds other slices than the message says: mend the export job",
        ErrorCode::AmbiguousAmounts => "finance says which reading is right; write it into the profile, then replay",
        ErrorCode::ControlTotalMismatch | ErrorCode::OutOfBalance => {
            "the file is not whole or not right: have it exported again; dead replay --dry-run tells whether it is"
        }
        ErrorCode::AmbiguousOrder => "publish the newer file again with its exported_at, and discard",
        ErrorCode::PeriodLocked => "the controller decides: period unlock, then replay, or discard",
        ErrorCode::CrashSuspect => {
            "look at the file and the worker's log before anything; then replay one with --canary"
        }
        ErrorCode::FileNotFound => "see whether the file is there now; then replay",
        ErrorCode::FileChanged => "let the export write under another name and rename it; replay once it is done",
        ErrorCode::StorageUnavailable | ErrorCode::PostgresUnavailable | ErrorCode::Timeout => {
            "see that the service is well; then replay with --canary and --rate"
        }
        ErrorCode::SerializationConflict => "replay; if it comes again, find out what else writes to the ledger",
    }
    .to_owned()
}
