//! The files of a folder whose names tell their slices.

use std::{ffi::OsString, fs, io, path::Path};

use serde_json::{Map, Value};
use shared::{
    slice::{Entity, Period},
    stores::object_store::{
        Store,
        access::StoreAccess,
        object_url::{Kind, ObjectUrl},
    },
    telemetry::chain,
};

use super::{
    draft::{Draft, Drafts},
    fields::set,
};
use crate::errors::CommandError;

const ENTITY: &str = "{entity}";
const PERIOD: &str = "{period}";
/// The length of a period: `YYYY-MM`.
const PERIOD_LENGTH: usize = 7;

/// What file names look like: literal text, at most one `{entity}` and one `{period}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern<'a> {
    parts: Vec<Part<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Entity,
    Period,
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, length) = if rest.starts_with(ENTITY) {
                (Part::Entity, ENTITY.len())
            } else if rest.starts_with(PERIOD) {
                (Part::Period, PERIOD.len())
            } else {
                let next = rest.char_indices().skip(1).find(|(_, c)| *c == '{').map_or(rest.len(), |(at, _)| at);
                (Part::Text(&rest[..next]), next)
            };
            let text = &rest[..length];
            if part == Part::Text(text) {
                if text.contains(['{', '}']) {
                    return Err(format!("has {text:?}; the placeholders are {ENTITY} and {PERIOD}"));
                }
                if text.contains('/') {
                    return Err("has a '/'; it is checked against file names of one folder".to_owned());
                }
            } else if parts.contains(&part) {
                return Err(format!("has {text} twice"));
            }
            parts.push(part);
            rest = &rest[length..];
        }
        Ok(Self { parts })
    }

    fn has(&self, part: Part<'_>) -> bool {
        self.parts.contains(&part)
    }

    /// The entity and period in a whole file name, where the pattern has them.
    ///
    /// All parts but the entity have a known length, so that a name fits in one way or none.
    fn read(&self, name: &str) -> Result<(Option<Entity>, Option<Period>), String> {
        let length = |part: &Part<'_>| match part {
            Part::Text(text) => text.len(),
            Part::Period => PERIOD_LENGTH,
            Part::Entity => 0,
        };
        let known: usize = self.parts.iter().map(length).sum();
        let unlike = || "is not of the pattern".to_owned();
        let of_entity = name.len().checked_sub(known).ok_or_else(unlike)?;
        let (mut entity, mut period, mut rest) = (None, None, name);
        for part in &self.parts {
            let length = if *part == Part::Entity { of_entity } else { length(part) };
            let (head, tail) = rest.split_at_checked(length).ok_or_else(unlike)?;
            match part {
                Part::Text(text) if *text == head => {}
                Part::Text(_) => return Err(unlike()),
                Part::Entity => {
                    entity = Some(head.parse().map_err(|error| format!("{head:?} is not an entity: {error}"))?)
                }
                Part::Period => {
                    period = Some(head.parse().map_err(|error| format!("{head:?} is not a period: {error}"))?)
                }
            }
            rest = tail;
        }
        if rest.is_empty() { Ok((entity, period)) } else { Err(unlike()) }
    }
}

/// Drafts a job for each fitting file of a folder, or object directly below a prefix, sorted by name.
///
/// # Errors
/// If the pattern is none, the folder or prefix cannot be read, or no file fits.
pub(super) async fn read(
    folder: &str,
    pattern: &str,
    given: &Map<String, Value>,
    access: &StoreAccess,
) -> Result<Drafts, CommandError> {
    let parsed =
        Pattern::parse(pattern).map_err(|reason| CommandError::Input(format!("--pattern {pattern:?} {reason}")))?;
    for (part, placeholder, field) in [(Part::Entity, ENTITY, "entity"), (Part::Period, PERIOD, "period")] {
        if !parsed.has(part) && !given.contains_key(field) {
            let reason = format!("--pattern {pattern:?} has no {placeholder}; add it, or give --{field}");
            return Err(CommandError::Input(reason));
        }
    }
    let cannot = |reason: String| CommandError::Input(format!("cannot read {folder}: {reason}"));
    let mut found = Drafts::default();
    let is_prefix = folder.split_once("://").is_some_and(|(scheme, _)| Kind::of_scheme(scheme).is_some());
    let mut names = if is_prefix {
        let prefix =
            ObjectUrl::parse(folder, true).map_err(|reason| CommandError::Input(format!("--scan {reason}")))?;
        let store = Store::open(prefix, access).map_err(|error| cannot(chain(&error)))?;
        store.names().await.map_err(|trouble| cannot(trouble.to_string()))?.into_iter().map(OsString::from).collect()
    } else {
        in_folder(Path::new(folder)).map_err(|error| cannot(error.to_string()))?
    };
    names.sort();
    for name in names {
        let Some(text) = name.to_str() else {
            found.unmatched.push(format!("{}: is not UTF-8", name.display()));
            continue;
        };
        match parsed.read(text) {
            Ok((entity, period)) => {
                let mut fields = Map::new();
                set(&mut fields, "file", Path::new(folder).join(text).to_str());
                set(&mut fields, "entity", entity);
                set(&mut fields, "period", period);
                found.drafts.push(Draft { place: text.to_owned(), fields: Ok(fields) });
            }
            Err(reason) => found.unmatched.push(format!("{text}: {reason}")),
        }
    }
    if found.drafts.is_empty() {
        let others = found.unmatched.len();
        let reason = format!("no file of {folder} fits {pattern:?} ({others} do not)");
        return Err(CommandError::Faults { what: reason, faults: found.unmatched.into_iter().take(20).collect() });
    }
    Ok(found)
}

/// The names of a folder's files.
fn in_folder(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link counts as what it leads to; one that leads nowhere is a file that is not there yet.
        if !entry.path().is_dir() {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(pattern: &str, name: &str) -> Result<String, String> {
        let (entity, period) = Pattern::parse(pattern)?.read(name)?;
        Ok(format!("{} {}", entity.map_or("-".into(), String::from), period.map_or("-".into(), String::from)))
    }

    #[test]
    fn a_whole_name_fits_in_one_way_or_none() {
        let pattern = "{entity}_{period}.csv";
        assert_eq!(slice(pattern, "ABEX_2022-06.csv").unwrap(), "ABEX 2022-06");
        assert_eq!(slice(pattern, "AB_EX_2022-06.csv").unwrap(), "AB_EX 2022-06");
        assert_eq!(slice("{period}{entity}", "2022-062022-06").unwrap(), "2022-06 2022-06");
        assert_eq!(slice("tb-{entity}.csv", "tb-A.csv").unwrap(), "A -");
        for bad in ["ABEX_2022-06.csv.tmp", "x/ABEX_2022-06.csv", "_2022-06.csv", "ABEX_2022-06csv", "", "é.csv"] {
            assert!(slice(pattern, bad).is_err(), "{bad}");
        }
        assert_eq!(
            slice(pattern, "ABEX_2022-17.csv").unwrap_err(),
            "\"2022-17\" is not a period: a period is YYYY-MM with MM from 01 to 16"
        );
        assert!(slice(pattern, "abex_2022-06.csv").unwrap_err().contains("is not an entity"));
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_refused() {
        for bad in ["{entity}{entity}", "{Entity}.csv", "{entity", "a/{entity}", "{period}}"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
