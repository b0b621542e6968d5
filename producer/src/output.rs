//! The answer of a command: one JSON document for programs, text and tables for people.

pub(crate) mod color;
mod table;

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use shared::printable;
pub(crate) use shared::printable::shortened;

pub(crate) use self::{color::status, table::Table};

use crate::errors::CommandError;

/// Writes an answer to stdout, with nothing in it that a terminal would act on. A reader that has gone away (`| head`)
/// is not an error.
pub(crate) fn print<T: Serialize + Display>(json: bool, answer: &T) -> Result<(), CommandError> {
    let mut text = if json {
        serde_json::to_string_pretty(answer).map_err(|error| CommandError::Output(error.into()))?
    } else {
        answer.to_string()
    };
    let is_colored = !json && color::is_wanted() && !text.contains(color::is_mark);
    if is_colored {
        text = color::marked(|| answer.to_string());
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut harmless = printable::lines(&text);
    if is_colored {
        harmless = color::painted(&harmless).into();
    }
    write(&harmless)
}

/// Writes a text of this program's own to stdout as it is.
pub(crate) fn write(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

/// Says something to the person at the terminal beside the answer.
pub(crate) fn remark(text: &str) {
    // Nobody may be listening, which changes nothing about the work.
    let _ = writeln!(io::stderr(), "{}", printable::lines(text));
}

/// The columns of the terminal that stdout is, if it is one.
pub(crate) fn width() -> Option<usize> {
    io::stdout().is_terminal().then(|| usize::from(size().0))
}

/// Columns and rows of the terminal; one that does not know them is taken for the smallest that people use.
pub(crate) fn size() -> (u16, u16) {
    match crossterm::terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        Ok(_) | Err(_) => (80, 24),
    }
}

/// A table as wide as the terminal, or as its content where that is none.
pub(crate) fn table<const N: usize>(header: [&'static str; N]) -> Table {
    Table::new(&header, width())
}

/// A time as people read it: to the second, in UTC.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A value in one line, or a dash.
pub(crate) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| printable::line(&value.to_string()).into_owned())
}

/// How long ago, roughly: `45s`, `10m`, `2h`, `3d`.
pub(crate) fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `1 job`, `2 jobs`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
