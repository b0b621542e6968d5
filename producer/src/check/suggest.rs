//! A draft of a mapping profile for a file that no profile knows.
//!
//! Whatever is a guess is told as one, beside the line that rests on it; what would decide a figure is left open.

mod amounts;
mod cells;
mod columns;
mod contra;
mod doubts;
mod headings;
mod indicators;
mod records;
mod sections;
mod sides;
mod table;
mod tiers;

use std::fmt::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    file::{dialect::FileLimits, mapping_profile::MappingProfile},
    message::{
        failure::{ErrorCode, Failure, Stage},
        job::SourceName,
    },
};

use self::{amounts::Amounts, cells::cells, sections::Sections, table::Table};
pub(super) use self::{
    headings::{names_amount, names_code},
    table::CURRENCY,
};
use super::file::FileAt;

/// A draft, as TOML.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Draft {
    pub(crate) toml: String,
    /// The readings of amounts that the file allows, the likeliest first. Of several that give different figures none
    /// is taken.
    pub(crate) readings: Vec<ReadingOf>,
}

/// One way to read the balance of a file, and what it comes to over all rows that the draft rests on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReadingOf {
    /// What the profile would say.
    pub(crate) balance: String,
    pub(crate) amounts: usize,
    pub(crate) sum: String,
    /// The sum of those above zero.
    pub(crate) debit: String,
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.toml)
    }
}

/// Drafts a profile, below what is to be said of those that there are.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn draft(file: &FileAt, limits: FileLimits, fitting: &[String]) -> Result<Draft, Failure> {
    let cells = cells(file, limits)?;
    let table = Table::new(&cells);
    let amounts = Amounts::new(&table);
    let mut toml: String = fitting.iter().map(|line| format!("# {}\n", line.replace(char::is_control, " "))).collect();
    let written = Sections { cells: &cells, table: &table, amounts: &amounts }.write(&mut toml);
    let invalid = |reason: String| Failure::new(ErrorCode::SchemaInvalid, Stage::Parse, reason);
    written.map_err(|_| invalid("the draft cannot be written".to_owned()))?;
    // What is left open is no value yet, so that only the rest of it can be tried; some parts need one.
    let settled: String = toml.lines().filter_map(settled).map(|line| format!("{line}\n")).collect();
    match MappingProfile::parse(SourceName::default(), &settled) {
        Ok(_) => Ok(Draft { toml, readings: amounts.readings(&table) }),
        Err(error) => {
            Err(invalid(format!("no draft can be made of the file's headings ({error}); write the profile by hand")))
        }
    }
}

/// A line of a draft as far as it can be tried.
fn settled(line: &str) -> Option<&str> {
    match line.split_once(" = \"?\"") {
        None => Some(line),
        Some(("account_code", _)) => Some("account_code = 1"),
        Some(("column", _)) => Some("column = 1"),
        Some(("debit_values", _)) => Some("debit_values = [\"D\"]"),
        Some(("credit_values", _)) => Some("credit_values = [\"C\"]"),
        Some(_) => None,
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
