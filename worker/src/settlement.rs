//! What is done about an outcome: decided without doing it, then carried out, the acknowledgement last.

mod acknowledgement;
mod dead_letter;
pub(crate) mod delivery;
mod error;
pub(crate) mod events;
pub(crate) mod policy;
mod publication;
mod refuse;
mod retry;
mod writing;

pub(crate) use self::{acknowledgement::reject, refuse::refuse};
