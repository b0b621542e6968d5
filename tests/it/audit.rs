//! The audit trail, checked against the contract's words alone: nothing of Aura's own code is used.

pub(crate) use tests::audit::{hash, number as whole, text};
