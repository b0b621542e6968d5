//! Which rows of a file count.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{columns::ColumnRef, pattern::Pattern};

/// Which rows of a file count.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RowRules {
    /// A row counts only if all of these hold.
    pub keep: Vec<Condition>,
    /// A row is left out if one of these holds.
    pub drop: Vec<Condition>,
    /// The first row for which one of these holds ends the file, as a footer does.
    pub end: Vec<Condition>,
    /// A row that counts is bad if one of these holds. One on a column that the file lacks never does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refuse: Vec<Condition>,
    /// Columns of which all rows of a slice hold the same text, such as the ledger; those that the file lacks aside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub same: Vec<ColumnRef>,
    /// What a row without an account code is.
    pub without_key: WithoutKey,
}

/// What a row without an account code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutKey {
    /// A bad row.
    #[default]
    Refuse,
    /// A total or a title, which is counted and left out.
    Skip,
}

/// A condition on a cell, without the spaces around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Condition {
    /// The cell.
    pub column: FilterColumn,
    /// What is asked of it.
    pub test: Test,
}

/// The cell of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterColumn {
    /// That of the first of these columns that the file has.
    First(Vec<ColumnRef>),
    /// Any cell of the row.
    Any,
}

/// What is asked of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is one of these texts.
    Is(Vec<String>),
    /// It is none of these texts.
    IsNot(Vec<String>),
    /// It starts with this text.
    StartsWith(String),
    /// It ends with this text.
    EndsWith(String),
    /// It contains this text.
    Contains(String),
    /// It matches this expression somewhere.
    Matches(Pattern),
    /// It does not match this expression anywhere.
    MatchesNot(Pattern),
    /// It is blank, or it is not.
    Blank(bool),
}

/// One column, or alternatives.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ColumnsOf {
    One(ColumnRef),
    First(Vec<ColumnRef>),
}

/// The table as a profile has it.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    column: Option<ColumnsOf>,
    #[serde(with = "super::columns::texts", skip_serializing_if = "Option::is_none")]
    is: Option<Vec<String>>,
    #[serde(with = "super::columns::texts", skip_serializing_if = "Option::is_none")]
    is_not: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_with: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_with: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matches_not: Option<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blank: Option<bool>,
}

impl TryFrom<Written> for Condition {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let column = match written.column {
            Some(ColumnsOf::One(ColumnRef::Name(name))) if name == "*" => FilterColumn::Any,
            Some(ColumnsOf::One(column)) => FilterColumn::First(vec![column]),
            Some(ColumnsOf::First(columns)) if !columns.is_empty() => FilterColumn::First(columns),
            Some(ColumnsOf::First(_)) | None => {
                return Err("a condition needs a column: a name, a place from 1, or \"*\" for any");
            }
        };
        let mut tests = [
            written.is.map(Test::Is),
            written.is_not.map(Test::IsNot),
            written.starts_with.map(Test::StartsWith),
            written.ends_with.map(Test::EndsWith),
            written.contains.map(Test::Contains),
            written.matches.map(Test::Matches),
            written.matches_not.map(Test::MatchesNot),
            written.blank.map(Test::Blank),
        ]
        .into_iter()
        .flatten();
        match (tests.next(), tests.next()) {
            (Some(Test::Is(texts) | Test::IsNot(texts)), None) if texts.iter().any(|text| text.trim() != text) => {
                Err("a text of is or is_not has spaces at its ends, and cells are looked at without theirs")
            }
            (Some(test), None) => Ok(Self { column, test }),
            _ => Err(
                "a condition needs exactly one of is, is_not, starts_with, ends_with, contains, matches, matches_not, \
                 blank",
            ),
        }
    }
}

impl From<Condition> for Written {
    fn from(condition: Condition) -> Self {
        let column = match condition.column {
            FilterColumn::First(mut columns) => match (columns.pop(), columns.is_empty()) {
                (Some(only), true) => ColumnsOf::One(only),
                (last, _) => ColumnsOf::First(columns.into_iter().chain(last).collect()),
            },
            FilterColumn::Any => ColumnsOf::One(ColumnRef::Name("*".to_owned())),
        };
        let mut written = Self { column: Some(column), ..Self::default() };
        match condition.test {
            Test::Is(texts) => written.is = Some(texts),
            Test::IsNot(texts) => written.is_not = Some(texts),
            Test::StartsWith(text) => written.starts_with = Some(text),
            Test::EndsWith(text) => written.ends_with = Some(text),
            Test::Contains(text) => written.contains = Some(text),
            Test::Matches(pattern) => written.matches = Some(pattern),
            Test::MatchesNot(pattern) => written.matches_not = Some(pattern),
            Test::Blank(blank) => written.blank = Some(blank),
        }
        written
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            FilterColumn::First(columns) => {
                let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
                write!(f, "{} ", columns.join(" or "))?;
            }
            FilterColumn::Any => f.write_str("* ")?,
        }
        let more = |texts: &[String]| match texts {
            [first] => format!("{first:?}"),
            [first, rest @ ..] => format!("{first:?} or {} more", rest.len()),
            [] => "nothing".to_owned(),
        };
        match &self.test {
            Test::Is(texts) => write!(f, "is {}", more(texts)),
            Test::IsNot(texts) => write!(f, "is_not {}", more(texts)),
            Test::StartsWith(text) => write!(f, "starts_with {text:?}"),
            Test::EndsWith(text) => write!(f, "ends_with {text:?}"),
            Test::Contains(text) => write!(f, "contains {text:?}"),
            Test::Matches(pattern) => write!(f, "matches '{}'", pattern.0.as_str()),
            Test::MatchesNot(pattern) => write!(f, "matches_not '{}'", pattern.0.as_str()),
            Test::Blank(blank) => write!(f, "blank {blank}"),
        }
    }
}

impl Test {
    /// Whether it holds for a cell.
    pub fn holds(&self, cell: &str) -> bool {
        let cell = cell.trim();
        match self {
            Self::Is(texts) => texts.iter().any(|text| text == cell),
            Self::IsNot(texts) => !texts.iter().any(|text| text == cell),
            Self::StartsWith(text) => cell.starts_with(text.as_str()),
            Self::EndsWith(text) => cell.ends_with(text.as_str()),
            Self::Contains(text) => cell.contains(text.as_str()),
            Self::Matches(pattern) => pattern.0.is_match(cell),
            Self::MatchesNot(pattern) => !pattern.0.is_match(cell),
            Self::Blank(blank) => cell.is_empty() == *blank,
        }
    }
}
