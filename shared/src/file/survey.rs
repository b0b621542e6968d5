//! The survey: which slices a file holds, before anyone asks for one of them.

use std::{collections::BTreeMap, io::Read};

use crate::{
    file::{
        columns::FileColumns,
        dialect::{Dialect, FileLimits, Opened, next_encoding},
        layout::{Filtered, Layout, Rule, Values},
        mapping_profile::{MappingProfile, WithoutKey},
    },
    message::failure::Failure,
    slice::Slice,
};

/// Slices that are told apart; a file holds fewer, unless its entity column is none.
const MOST_SLICES: usize = 100_000;

/// Bytes of their texts.
const MOST_TEXT: usize = 16 << 20;

/// What a file holds.
#[derive(Debug, Clone)]
pub struct Survey {
    /// How it is written.
    pub dialect: Dialect,
    /// Its columns.
    pub columns: FileColumns,
    /// The columns of the file from which each column of the ledger comes.
    pub origins: Vec<(&'static str, Vec<String>)>,
    /// Rows by the texts of their entity and period.
    pub slices: BTreeMap<(String, String), u64>,
    /// Rows whose entity or period cannot be read; their first line and why.
    pub unclear: Option<(u64, String)>,
    /// Whether there are more slices than are told apart.
    pub more_slices: bool,
    /// Rows in all, those left out not counted.
    pub rows: u64,
    /// Rows that each rule of the profile leaves out, as far as was looked.
    pub left_out: Vec<(String, u64)>,
}

/// Looks through a file, or its first rows; `again` opens it anew for each encoding that the profile names. What the
/// profile takes from the message is that of `slice`.
///
/// # Errors
/// The failure that a job of this file would have before its rows are looked at, or what opening it gives.
pub fn survey<R: Read, E>(
    mut again: impl FnMut() -> Result<R, E>,
    profile: &MappingProfile,
    limits: FileLimits,
    slice: &Slice,
    most_rows: u64,
) -> Result<Result<Survey, Failure>, E> {
    let mut tried = 0;
    loop {
        let surveyed = look_through(again()?, profile, limits, slice, most_rows, tried);
        match surveyed.as_ref().err().and_then(|failure| next_encoding(failure, profile, tried)) {
            Some(next) => tried = next,
            None => return Ok(surveyed),
        }
    }
}

fn look_through(
    input: impl Read,
    profile: &MappingProfile,
    limits: FileLimits,
    slice: &Slice,
    most_rows: u64,
    tried: usize,
) -> Result<Survey, Failure> {
    let mut opened = Opened::new(input, profile, limits, tried)?;
    let mut layout = Layout::new(profile, &opened.header)?;
    let (mut slices, mut unclear, mut rows, mut more_slices) = (BTreeMap::new(), None, 0, false);
    let (mut bytes, mut left_out, mut ended) = (0, BTreeMap::<Rule, u64>::new(), None);
    while rows < most_rows {
        let record = match opened.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => break,
            // A footer may have any form.
            Err(failure) if ended.is_some() && !failure.code.is_transient() => break,
            Err(failure) => return Err(failure),
        };
        if record.is_blank() {
            continue;
        }
        let filtered = ended.map_or_else(|| layout.filter(&record), Filtered::End);
        if let Filtered::Dropped(rule) | Filtered::End(rule) = filtered {
            *left_out.entry(rule).or_default() += 1;
            if let Filtered::End(rule) = filtered {
                ended = Some(rule);
            }
            continue;
        }
        let values = layout.values(record, slice);
        let is_keyless = |values: &Values<'_>| values.account_code().is_ok_and(|code| code.trim().is_empty());
        let has_contra = layout.contra_values(record, slice).is_some_and(|values| !is_keyless(&values));
        if is_keyless(&values) && !has_contra && profile.rows.without_key == WithoutKey::Skip {
            *left_out.entry(Rule::WithoutKey).or_default() += 1;
            continue;
        }
        rows += 1;
        let text = |text: Option<std::borrow::Cow<'_, str>>| text.unwrap_or_default().trim().to_owned();
        match (values.entity(), values.period()) {
            (Ok(entity), Ok(period)) => {
                let of = (text(entity), text(period));
                if let Some(count) = slices.get_mut(&of) {
                    *count += 1;
                } else if slices.len() < MOST_SLICES && bytes < MOST_TEXT {
                    bytes += of.0.len() + of.1.len();
                    slices.insert(of, 1);
                } else {
                    more_slices = true;
                }
            }
            (Err(reason), _) => unclear = unclear.or(Some((record.line, format!("entity {reason}")))),
            (_, Err(reason)) => unclear = unclear.or(Some((record.line, format!("period {reason}")))),
        }
    }
    let left_out = left_out.into_iter().map(|(rule, rows)| (rule.described(profile), rows)).collect();
    let name = |place: usize| layout.columns.names.get(place).cloned();
    let origins = layout.origins().into_iter();
    let origins = origins.map(|(target, places)| (target, places.into_iter().filter_map(name).collect())).collect();
    Ok(Survey {
        dialect: opened.dialect,
        origins,
        columns: layout.columns,
        slices,
        unclear,
        more_slices,
        rows,
        left_out,
    })
}
