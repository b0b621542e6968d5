//! `sources`: the mapping profiles that jobs can name.

use std::fmt;

use clap::Subcommand;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    file::{layout::expected_names, mapping_profile::MappingProfile},
    message::job::{Mode, SourceName},
    settings::Settings,
    sources::{ProfileError, Sources},
};

use crate::{
    errors::{CommandError, ExitStatus},
    output::{self, or_dash, table},
};

/// Lists and shows the mapping profiles
#[derive(Subcommand)]
#[command(after_help = "Examples:
  aura-producer sources list
  aura-producer sources show sap-bseg --json")]
pub(crate) enum Verb {
    /// Lists the profiles of AURA_SOURCES_DIR and the built-in one, valid or not
    #[command(after_help = "Example:\n  aura-producer sources list")]
    List,
    /// Shows a profile as it is understood, with its hash and the columns it looks for
    #[command(after_help = "Example:\n  aura-producer sources show default")]
    Show {
        /// The profile's name
        name: SourceName,
    },
}

/// The profiles that there are.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SourceList")]
pub(crate) struct List {
    pub(crate) folder: String,
    pub(crate) sources: Vec<Listed>,
}

/// A profile, valid or not.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Source")]
pub(crate) struct Listed {
    pub(crate) name: SourceName,
    pub(crate) description: Option<String>,
    pub(crate) mode: Option<Mode>,
    pub(crate) mapping_hash: Option<String>,
    /// Why it cannot be used.
    pub(crate) error: Option<String>,
}

/// A profile as it is understood.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SourceShown")]
pub(crate) struct Shown {
    pub(crate) name: SourceName,
    pub(crate) description: String,
    pub(crate) mapping_hash: String,
    pub(crate) columns_looked_for: Vec<String>,
    /// Its text; none if it is built in.
    pub(crate) toml: Option<String>,
    #[schemars(with = "serde_json::Value")]
    pub(crate) profile: MappingProfile,
}

/// Lists or shows profiles.
pub(crate) fn run(verb: &Verb, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let sources = Sources::new(&settings.sources_dir);
    match verb {
        Verb::List => {
            let list = list(&sources);
            output::print(json, &list)?;
            let faulty = list.sources.iter().any(|source| source.error.is_some());
            Ok(if faulty { ExitStatus::Failed } else { ExitStatus::Done })
        }
        Verb::Show { name } => {
            let shown = show(&sources, name).map_err(|error| CommandError::Input(error.to_string()))?;
            output::print(json, &shown)?;
            Ok(ExitStatus::Done)
        }
    }
}

/// All profiles.
pub(crate) fn list(sources: &Sources) -> List {
    let listed = sources.names().into_iter().map(|name| listed(sources, name)).collect();
    List { folder: sources.folder().display().to_string(), sources: listed }
}

/// One profile.
///
/// # Errors
/// If there is none, or it cannot be used.
pub(crate) fn show(sources: &Sources, name: &SourceName) -> Result<Shown, ProfileError> {
    let profile = sources.named(name)?;
    Ok(Shown {
        name: name.clone(),
        description: profile.description.clone(),
        mapping_hash: profile.hash().to_string(),
        columns_looked_for: expected_names(&profile),
        toml: sources.text(name)?,
        profile,
    })
}

fn listed(sources: &Sources, name: SourceName) -> Listed {
    match sources.named(&name) {
        Ok(profile) => Listed {
            name,
            description: Some(profile.description.clone()),
            mode: Some(profile.mode),
            mapping_hash: Some(profile.hash().to_string()),
            error: None,
        },
        Err(error) => {
            Listed { name, description: None, mode: None, mapping_hash: None, error: Some(error.to_string()) }
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(["source", "mode", "what it is for"]);
        for source in &self.sources {
            let told = source.error.as_ref().map(|error| format!("NOT USABLE: {error}"));
            let told = told.or_else(|| source.description.clone()).unwrap_or_default();
            rows.add_row([source.name.to_string(), or_dash(source.mode), told]);
        }
        write!(f, "{rows}\n\nProfiles lie in {}; its README.md says how to write one.", self.folder)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}: {}", self.name, self.description)?;
        writeln!(f, "# hash {}", self.mapping_hash)?;
        writeln!(f, "# looks for the columns {}", self.columns_looked_for.join(", "))?;
        match &self.toml {
            Some(text) => write!(f, "\n{text}"),
            None => write!(f, "# built in; a default.toml in the folder of profiles takes its place"),
        }
    }
}
