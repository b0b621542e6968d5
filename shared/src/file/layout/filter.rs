//! The conditions of a profile, held against the records of one file.

use std::collections::HashSet;

use crate::file::{
    mapping_profile::{Condition, MappingProfile, Test},
    records::Record,
};

/// A condition whose column was found.
#[derive(Debug)]
pub(super) struct Filter {
    /// The cell, or any.
    pub(super) place: Option<usize>,
    /// The condition's place in the profile.
    pub(super) condition: usize,
    test: Test,
    /// The texts of a test that has any, which may be thousands.
    texts: HashSet<String>,
}

/// What becomes of a record before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtered {
    /// It counts.
    Kept,
    /// The profile leaves it out, by one of its rules.
    Dropped(Rule),
    /// It and all after it are a footer, by one of the profile's rules.
    End(Rule),
}

/// A rule of a profile by which rows are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A condition that rows that count fulfil, by its place.
    Keep(usize),
    /// A condition that leaves a row out, by its place.
    Drop(usize),
    /// A condition that ends the file, by its place.
    End(usize),
    /// A row has no account code.
    WithoutKey,
    /// The second row of a line has no account code, but something in its place.
    ContraWithoutKey,
    /// A line names no contra account, so that it makes one row.
    WithoutContra,
    /// A line has neither an account nor an amount on either side.
    WithoutPosting,
}

impl Rule {
    /// What it is in a profile.
    pub fn described(self, profile: &MappingProfile) -> String {
        let rows = &profile.rows;
        let told = |name: &str, conditions: &[Condition], place: usize| match conditions.get(place) {
            Some(condition) => format!("{name} {condition}"),
            None => name.to_owned(),
        };
        match self {
            Self::Keep(place) => told("keep", &rows.keep, place),
            Self::Drop(place) => told("drop", &rows.drop, place),
            Self::End(place) => told("end", &rows.end, place),
            Self::WithoutKey => "without_key".to_owned(),
            Self::ContraWithoutKey => "without_key of the contra account".to_owned(),
            Self::WithoutContra => "no contra account".to_owned(),
            Self::WithoutPosting => "no account and no amount".to_owned(),
        }
    }
}

impl Filter {
    pub(super) fn new(place: Option<usize>, condition: usize, test: &Test) -> Self {
        let texts = match test {
            Test::Is(texts) | Test::IsNot(texts) => texts.iter().cloned().collect(),
            Test::StartsWith(_)
            | Test::EndsWith(_)
            | Test::Contains(_)
            | Test::Matches(_)
            | Test::MatchesNot(_)
            | Test::Blank(_) => HashSet::new(),
        };
        Self { place, condition, test: test.clone(), texts }
    }

    pub(super) fn holds(&self, record: &Record<'_>) -> bool {
        let holds = |cell: &str| match &self.test {
            Test::Is(_) => self.texts.contains(cell.trim()),
            Test::IsNot(_) => !self.texts.contains(cell.trim()),
            Test::StartsWith(_)
            | Test::EndsWith(_)
            | Test::Contains(_)
            | Test::Matches(_)
            | Test::MatchesNot(_)
            | Test::Blank(_) => self.test.holds(cell),
        };
        match self.place {
            Some(place) => holds(record.get(place).unwrap_or_default()),
            None => record.iter().any(holds),
        }
    }
}
