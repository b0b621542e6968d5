//! The answer of a command: one JSON document for programs, text and tables for people.

use std::{
    fmt::{self, Display},
    io::{self, ErrorKind, IsTerminal, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, TableStyle};
use serde::Serialize;
use shared::printable;
pub(crate) use shared::printable::shortened;

use crate::errors::CommandError;

/// Writes an answer to stdout, with nothing in it that a terminal would act on. A reader that has gone away (`| head`)
/// is not an error.
pub(crate) fn print<T: Serialize + Display>(json: bool, answer: &T) -> Result<(), CommandError> {
    let mut text = if json {
        serde_json::to_string_pretty(answer).map_err(|error| CommandError::Output(error.into()))?
    } else {
        answer.to_string()
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(printable::lines(&text).as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

/// Says something to the person at the terminal beside the answer.
pub(crate) fn remark(text: &str) {
    // Nobody may be listening, which changes nothing about the work.
    let _ = writeln!(io::stderr(), "{}", printable::lines(text));
}

/// A line below the header and none besides.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table whose cells are one line each, whatever they hold.
pub(crate) struct Table(comfy_table::Table);

/// A table as wide as the terminal, or as its content where that is none.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_style(STYLE).set_header(header);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    Table(table)
}

impl Table {
    /// Never breaks the cells of a column into lines: what people copy stays whole.
    pub(crate) fn keep_whole(&mut self, column: usize) {
        if let Some(column) = self.0.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }

    /// Adds a row below the others.
    pub(crate) fn add_row<const N: usize>(&mut self, cells: [impl AsRef<str>; N]) {
        // Before the widths are measured, and so that no cell looks like further rows.
        self.0.add_row(cells.each_ref().map(|cell| printable::line(cell.as_ref())));
    }

    /// The table without spaces at the ends of its lines.
    pub(crate) fn trim_fmt(&self) -> String {
        self.0.trim_fmt()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
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
