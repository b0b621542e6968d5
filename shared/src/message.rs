//! What programs say to each other: the job and its envelope, the receipt, the event, and why a job failed.

pub mod dry_run;
pub mod envelope;
pub mod event;
pub mod failure;
pub mod job;
pub mod job_schema;
pub mod letter;
pub mod outgoing;
pub mod published_by;
pub mod receipt;
pub mod receive;
