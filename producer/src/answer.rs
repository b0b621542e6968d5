//! The answer of a command: one JSON document for programs, text and tables for people.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::CommandError;

/// Writes an answer to stdout. A reader that has gone away (`| head`) is no error.
pub(crate) fn give<T: Serialize + Display>(json: bool, answer: &T) -> Result<(), CommandError> {
    let mut text = if json {
        serde_json::to_string_pretty(answer).map_err(|error| CommandError::Output(error.into()))?
    } else {
        answer.to_string()
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

/// Says something to the person at the terminal beside the answer.
pub(crate) fn remark(text: &str) {
    // Nobody may be listening, which changes nothing about the work.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A table with a line below its header, as wide as the terminal.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// A time as people read it: to the second, in UTC.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A value, or a dash.
pub(crate) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `1 job`, `2 jobs`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// At most so many characters of a text in one line.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
