//! Waiting for a condition, under a deadline.

pub(crate) use tests::wait::{SOON, until};
