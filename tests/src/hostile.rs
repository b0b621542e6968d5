//! What a stranger may send, by accident or on purpose, and how each of it must end.

pub mod messages;
pub mod wire;
