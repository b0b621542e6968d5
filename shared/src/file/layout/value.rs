//! Texts of a record, as the profile's rules make them.

use std::borrow::Cow;

use super::{Contra, Layout};
use crate::{
    file::{
        mapping_profile::{ColumnRule, FromMessage, Zeros},
        records::Record,
    },
    slice::Slice,
};

/// Where a text comes from.
#[derive(Debug)]
pub enum Value {
    /// A cell, as it stands.
    Cell(usize),
    /// A cell without the spaces around it.
    Trimmed(usize),
    /// Several cells, and what stands between them.
    Joined(Vec<usize>, String),
    /// The same text in every row.
    Constant(String),
    /// What the job's message says.
    Message(FromMessage),
    /// One of these, and what a rule makes of it.
    Ruled(Box<Ruled>),
}

/// A text of which a rule makes another.
#[derive(Debug)]
pub struct Ruled {
    /// Where it comes from.
    pub(super) origin: Value,
    /// What is made of it.
    pub(super) rule: ColumnRule,
    /// Whether a text that has no such part is bad: what it decides must not be left blank.
    pub(super) decides: bool,
    /// Where the last one is held that was not blank, if it is filled down.
    pub(super) slot: Option<usize>,
}

/// The texts of one record.
pub struct Values<'a> {
    pub(super) layout: &'a Layout,
    /// The record.
    pub record: Record<'a>,
    pub(super) slice: &'a Slice,
    pub(super) contra: Option<&'a Contra>,
}

impl Value {
    /// The cell that alone it comes from.
    pub(super) fn place(&self) -> Option<usize> {
        match self {
            Self::Cell(place) | Self::Trimmed(place) => Some(*place),
            Self::Ruled(ruled) => ruled.origin.place(),
            Self::Joined(..) | Self::Constant(_) | Self::Message(_) => None,
        }
    }

    /// All cells that it comes from.
    pub(super) fn places(&self) -> Vec<usize> {
        match self {
            Self::Joined(places, _) => places.clone(),
            Self::Ruled(ruled) => ruled.origin.places(),
            Self::Cell(_) | Self::Trimmed(_) | Self::Constant(_) | Self::Message(_) => {
                self.place().into_iter().collect()
            }
        }
    }

    /// Whether there is nothing where it comes from.
    pub(super) fn is_blank(&self, values: &Values<'_>) -> bool {
        match self {
            Self::Ruled(ruled) => {
                let held = ruled.slot.is_some_and(|slot| !values.layout.held[slot].is_empty());
                !held && ruled.origin.is_blank(values)
            }
            Self::Constant(text) => text.trim().is_empty(),
            Self::Message(_) => false,
            Self::Cell(_) | Self::Trimmed(_) | Self::Joined(..) => {
                self.of_cells(&values.record).is_none_or(|text| text.trim().is_empty())
            }
        }
    }

    /// Remembers a text that later blank cells are filled from.
    pub(super) fn remember(&self, record: &Record<'_>, held: &mut [String]) {
        let Self::Ruled(ruled) = self else { return };
        let Some(slot) = ruled.slot else { return };
        let text = ruled.part(ruled.origin.of_cells(record).unwrap_or_default());
        if !text.is_empty() {
            held[slot] = text.into_owned();
        }
    }

    /// The text, if it comes from cells.
    fn of_cells<'a>(&self, record: &Record<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Cell(place) => record.get(*place).map(Cow::Borrowed),
            Self::Trimmed(place) => record.get(*place).map(|cell| Cow::Borrowed(cell.trim())),
            Self::Joined(places, with) => {
                let cells: Vec<_> = places.iter().map(|place| record.get(*place).unwrap_or_default().trim()).collect();
                let blank = cells.iter().all(|cell| cell.is_empty());
                Some(if blank { Cow::Borrowed("") } else { Cow::Owned(cells.join(with)) })
            }
            Self::Constant(_) | Self::Message(_) | Self::Ruled(_) => None,
        }
    }
}

impl<'a> Values<'a> {
    /// Makes sure that a cell is not one whose value the file lacks.
    pub(super) fn has_value(&self, place: usize) -> Result<(), String> {
        match self.record.unvalued(place) {
            None => Ok(()),
            Some(cell) => Err(format!(
                "has no value in cell {cell} (a formula that was saved without one, or a value that is not what the cell \
                 says it is); open and save the workbook in a spreadsheet program"
            )),
        }
    }

    /// A text; none if the record is too short to have it.
    pub(super) fn text(&self, value: &'a Value) -> Result<Option<Cow<'a, str>>, String> {
        match value {
            Value::Cell(place) | Value::Trimmed(place) => {
                self.has_value(*place)?;
                Ok(value.of_cells(&self.record))
            }
            Value::Joined(places, _) => {
                places.iter().try_for_each(|place| self.has_value(*place))?;
                Ok(value.of_cells(&self.record))
            }
            Value::Constant(text) => Ok(Some(Cow::Borrowed(text))),
            Value::Message(FromMessage::Entity) => Ok(Some(Cow::Borrowed(self.slice.entity.as_str()))),
            Value::Message(FromMessage::Period) => Ok(Some(Cow::Borrowed(self.slice.period.as_str()))),
            Value::Ruled(ruled) => {
                let Some(text) = self.text(&ruled.origin)? else { return Ok(None) };
                let held = ruled.slot.map(|slot| self.layout.held[slot].as_str());
                let text = ruled.apply(text, held)?;
                let one_of = &ruled.rule.one_of;
                if !one_of.is_empty() && !one_of.iter().any(|known| *known == text) {
                    return Err(format!("is not one of {}", one_of.join(", ")));
                }
                Ok(Some(text))
            }
        }
    }
}

impl Ruled {
    /// The part of a text that counts; blank if it has none.
    fn part<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        let Some(part) = &self.rule.part else { return text };
        let group = usize::from(part.0.captures_len() > 1);
        let range = part.0.captures(&text).and_then(|found| found.get(group)).map(|found| found.range());
        match (range, text) {
            (None, _) => Cow::Borrowed(""),
            (Some(range), Cow::Borrowed(text)) => Cow::Borrowed(text.get(range).unwrap_or_default().trim()),
            (Some(range), Cow::Owned(text)) => Cow::Owned(text.get(range).unwrap_or_default().trim().to_owned()),
        }
    }

    fn apply<'a>(&'a self, text: Cow<'a, str>, held: Option<&'a str>) -> Result<Cow<'a, str>, String> {
        let rule = &self.rule;
        let is_blank = text.trim().is_empty();
        let mut text = self.part(text);
        if text.is_empty() && !is_blank {
            if let Some(otherwise) = &rule.otherwise {
                return Ok(Cow::Borrowed(otherwise));
            }
            if self.decides && held.is_none() && rule.if_blank.is_none() {
                return Err("has no such part as the mapping profile's part looks for".to_owned());
            }
        }
        if let (true, Some(held)) = (text.is_empty(), held) {
            text = Cow::Borrowed(held);
        }
        if text.is_empty() {
            return Ok(rule.if_blank.as_deref().map_or(text, Cow::Borrowed));
        }
        if !rule.map.is_empty() {
            text = match rule.map.get(text.as_ref()).or(rule.otherwise.as_ref()) {
                Some(mapped) => Cow::Borrowed(mapped.as_str()),
                None => return Err("is in no entry of the mapping profile's map, which has no otherwise".to_owned()),
            };
        }
        if rule.zeros == Zeros::Cut && text.starts_with('0') {
            let cut = text.trim_start_matches('0');
            // One stays where no other letter or digit begins the rest.
            let kept = if cut.starts_with(|c: char| c.is_alphanumeric()) { "" } else { "0" };
            text = Cow::Owned(format!("{kept}{cut}"));
        }
        if let Some(width) = rule.pad_to.map(usize::from)
            && text.len() < width
            && text.bytes().all(|byte| byte.is_ascii_digit())
        {
            text = Cow::Owned(format!("{text:0>width$}"));
        }
        if !rule.format.is_empty() {
            let read = rule.format.iter().find_map(|format| format.read(&text));
            text = Cow::Owned(read.ok_or_else(|| {
                let forms: Vec<_> = rule.format.iter().map(|format| format.as_str()).collect();
                format!("is not of the form {}", forms.join(" or "))
            })?);
        }
        Ok(text)
    }
}
