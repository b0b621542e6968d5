//! What a terminal is given besides text.

use std::{env, io::IsTerminal};

/// Returns whether colours may be written to a stream: it is a terminal that knows them, and nobody has said
/// `NO_COLOR`.
pub fn takes_colors(stream: &impl IsTerminal) -> bool {
    let is_forbidden = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|name| name == "dumb");
    stream.is_terminal() && !is_forbidden && !is_dumb
}
