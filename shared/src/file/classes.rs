//! Classes and names as rows have them: what is blank or none that is known loads, and is counted.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use crate::file::{
    columns::TEXTS,
    mapping_profile::{MappingProfile, Target},
};

/// The classes of balances that are known where a profile names none.
const STATEMENTS: [&str; 2] = ["BS", "PL"];
/// The classes of accounts that are known where a profile names none.
const CLASSES: [&str; 5] = ["Assets", "Liabilities", "Equity", "Income", "Expense"];
/// Unknown classes of one column that are named, and how much of them, in characters.
const NAMED: usize = 20;
const LONGEST: usize = 40;

/// `class_counts` of the data profile: rows by their classes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ClassCounts {
    /// By `bs_pl`.
    pub bs_pl: ClassCount,
    /// By `status`.
    pub status: ClassCount,
}

/// Rows by the classes of one column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// Rows of each class; of unknown ones, the first 20 that are met.
    pub rows: BTreeMap<String, u64>,
    /// Rows in which it is blank.
    pub blank: u64,
    /// Rows in which it is none that is known.
    pub unknown_rows: u64,
    /// The unknown classes among `rows`.
    pub unknown: Vec<String>,
}

/// Counts rows by their classes.
pub(super) struct Classes {
    known: [Vec<String>; 2],
    /// Rows of each known class.
    rows: [Vec<u64>; 2],
    unknown: [BTreeMap<String, u64>; 2],
    unknown_rows: [u64; 2],
    blank: [u64; 2],
    blank_names: u64,
}

impl Classes {
    /// Takes as known what the profile declares by `one_of`, or else the usual classes.
    pub(super) fn new(profile: &MappingProfile) -> Self {
        let known = |target: Target, usual: &[&str]| match profile.columns.get(&target) {
            Some(rule) if !rule.one_of.is_empty() => rule.one_of.clone(),
            _ => usual.iter().map(|name| (*name).to_owned()).collect(),
        };
        let known = [known(Target::BS_PL, &STATEMENTS), known(Target::STATUS, &CLASSES)];
        Self {
            rows: known.each_ref().map(|known| vec![0; known.len()]),
            known,
            unknown: Default::default(),
            unknown_rows: [0; 2],
            blank: [0; 2],
            blank_names: 0,
        }
    }

    /// Takes in the texts of a row.
    pub(super) fn add(&mut self, texts: &[Option<Cow<'_, str>>; TEXTS]) {
        let [name, bs_pl, status, ..] = texts;
        self.blank_names += u64::from(name.is_none());
        let Self { known, rows, unknown, unknown_rows, blank, .. } = self;
        let counted = known.iter().zip(rows).zip(unknown.iter_mut().zip(unknown_rows)).zip(blank);
        for ((((known, rows), (unknown, unknown_rows)), blank), text) in counted.zip([bs_pl, status]) {
            let Some(text) = text.as_deref().map(str::trim) else {
                *blank += 1;
                continue;
            };
            match known.iter().position(|known| known == text).and_then(|place| rows.get_mut(place)) {
                Some(rows) => *rows += 1,
                None => {
                    *unknown_rows += 1;
                    let name: String = text.chars().take(LONGEST).collect();
                    if unknown.len() < NAMED || unknown.contains_key(&name) {
                        *unknown.entry(name).or_default() += 1;
                    }
                }
            }
        }
    }

    /// The counts.
    pub(super) fn counts(&self) -> ClassCounts {
        let [bs_pl, status] = [0, 1].map(|place: usize| {
            let known = self.known.iter().zip(&self.rows).nth(place).into_iter();
            let known = known.flat_map(|(known, rows)| known.iter().cloned().zip(rows.iter().copied()));
            let unknown: BTreeMap<_, _> = self.unknown.get(place).cloned().unwrap_or_default();
            ClassCount {
                blank: self.blank.get(place).copied().unwrap_or_default(),
                unknown_rows: self.unknown_rows.get(place).copied().unwrap_or_default(),
                unknown: unknown.keys().cloned().collect(),
                rows: known.filter(|(_, rows)| *rows > 0).chain(unknown).collect(),
            }
        });
        ClassCounts { bs_pl, status }
    }

    /// What a person should look at.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.blank_names > 0 {
            warnings.push(format!("rows without an account_name: {}", self.blank_names));
        }
        let columns = ["bs_pl", "status"].into_iter().zip(&self.known).zip(self.blank.iter().zip(&self.unknown_rows));
        for ((name, known), (blank, unknown)) in columns {
            if *blank > 0 {
                warnings.push(format!("rows without a {name}: {blank}"));
            }
            if *unknown > 0 {
                warnings.push(format!("rows whose {name} is none of {}: {unknown}", known.join(", ")));
            }
        }
        warnings
    }
}
