//! The slices of one file, each of which becomes a job.

use std::path::Path;

use serde_json::{Map, Value};
use shared::{
    file::{dialect::FileLimits, mapping_profile::FromMessage, survey::survey},
    message::job::SourceName,
    settings::Settings,
    slice::{Entity, Period, Slice},
    sources::Sources,
};

use super::{
    draft::{Draft, Drafts},
    fields::set,
};
use crate::{check::file::FileAt, errors::CommandError};

/// Drafts a job for each slice of the file, in the order of entity and period.
///
/// # Errors
/// If the file cannot be read with its profile, or a row is of no slice.
pub(super) fn read(path: &Path, given: &Map<String, Value>, settings: &Settings) -> Result<Drafts, CommandError> {
    let text = |name: &str| given.get(name).and_then(Value::as_str);
    let input = |reason: String| CommandError::Input(format!("{}: {reason}", path.display()));
    let name = text("source").map_or_else(|| Ok(SourceName::default()), str::parse);
    let name = name.map_err(|error| input(format!("source: {error}")))?;
    let profile = Sources::new(&settings.sources_dir).named(&name).map_err(|error| input(error.to_string()))?;
    for (from, field) in [(FromMessage::Entity, "entity"), (FromMessage::Period, "period")] {
        if profile.asks_for(from) && text(field).is_none() {
            return Err(input(format!("the mapping profile {name} takes the {field} from the job; give --{field}")));
        }
    }
    let (entity, period) = (text("entity").unwrap_or("X"), text("period").unwrap_or("2000-01"));
    let message = Slice {
        entity: entity.parse().map_err(|error| input(format!("entity: {error}")))?,
        period: period.parse().map_err(|error| input(format!("period: {error}")))?,
    };
    let found = survey(|| FileAt::new(path).open(), &profile, FileLimits::from(settings), &message, u64::MAX)?
        .map_err(|failure| input(failure.to_string()))?;
    let mut faults: Vec<String> =
        found.unclear.iter().map(|(line, reason)| format!("line {line}: the {reason}")).collect();
    if found.more_slices {
        faults.push("more than 100000 pairs of entity and period; is the right column named?".to_owned());
    }
    // The slices are those of these bytes: a file that grows meanwhile must not lose its new ones.
    let facts = FileAt::new(path).facts(settings.max_file_bytes)?;
    let mut drafts = Vec::new();
    for ((of_entity, of_period), rows) in &found.slices {
        let slice = of_entity.parse::<Entity>().map_err(|error| error.to_string()).and_then(|entity| {
            let period = of_period.parse::<Period>().map_err(|error| error.to_string())?;
            Ok(Slice { entity, period })
        });
        let slice = match slice {
            Ok(slice) => slice,
            Err(reason) => {
                faults.push(format!("{rows} rows of entity {of_entity:?} and period {of_period:?}: {reason}"));
                continue;
            }
        };
        let asked = |field: &str, ours: &str| text(field).is_none_or(|wanted| wanted == ours);
        if asked("entity", slice.entity.as_str()) && asked("period", slice.period.as_str()) {
            let mut fields = Map::new();
            set(&mut fields, "file", path.to_str());
            set(&mut fields, "entity", Some(&slice.entity));
            set(&mut fields, "period", Some(&slice.period));
            set(&mut fields, "sha256", Some(&facts.fingerprint));
            drafts.push(Draft { place: slice.to_string(), fields: Ok(fields) });
        }
    }
    if !faults.is_empty() {
        let what = format!(
            "nothing was published: rows of {} are of no slice; a mapping profile can leave them out",
            path.display()
        );
        return Err(CommandError::Faults { what, faults });
    }
    if drafts.is_empty() {
        return Err(input("the file has no row of any slice that was asked for".to_owned()));
    }
    Ok(Drafts { drafts, unmatched: Vec::new() })
}
