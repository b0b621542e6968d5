//! What is done about an outcome: decided without doing it, then carried out, acknowledgement last.

pub(crate) mod delivery;
mod failing;
pub(crate) mod policy;
