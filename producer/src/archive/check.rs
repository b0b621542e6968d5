//! `archive check`: whether an archive is what was written, from its files alone.

mod files;
mod signed;
mod slices;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    fingerprint::Fingerprint,
    printable,
    signature::{KeyError, PublicKey},
};

use super::{
    manifest::{LONGEST, MANIFEST, Manifest, ManifestError, Totals},
    write::number,
};
use crate::{
    errors::{CommandError, ExitStatus},
    output,
};
use signed::Signature;

/// Findings that are told one by one.
const TOLD: usize = 1_000;

/// Checks an archive from its files alone: no service, no settings
///
/// Checks every file against its size and SHA-256, follows every audit chain from its first event to the head that the
/// manifest names, adds the rows of each slice up and checks them against the manifest, their job and what the audit
/// trail tells of them. With --public-key it makes sure that the manifest is the one that was signed. Without, whoever
/// could change all files could change the manifest, too: compare the SHA-256 of the manifest with the one that was
/// written down, or that the audit trail's event `archived` has.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing was found; 1 something was found; 2 usage, or it cannot be read at all.\n\n\
                        Examples:\n  aura-producer archive check /archive/2022\n  aura-producer archive check \
                        /archive/2022 --public-key archive.pub"
)]
pub(crate) struct Args {
    /// The archive
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The public key of the key that it was signed with, in PEM
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

/// What a check found.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ArchiveChecked")]
pub(crate) struct Checked {
    folder: String,
    /// What the manifest says; none if it cannot be read.
    archive: Option<Said>,
    /// SHA-256 of the manifest.
    manifest_sha256: Option<Fingerprint>,
    signature: Signature,
    findings: Vec<Finding>,
    /// Findings beyond those.
    more_findings: usize,
}

/// What an archive says of itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ArchiveSaid")]
struct Said {
    year: String,
    entities: Vec<String>,
    taken_at: DateTime<Utc>,
    actor: String,
    #[serde(flatten)]
    totals: Totals,
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ArchiveFinding")]
pub(super) struct Finding {
    /// A file, or a slice.
    pub(super) about: String,
    pub(super) detail: String,
}

/// What is found, one after the other.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    more: usize,
}

impl Findings {
    pub(super) fn add(&mut self, about: &str, detail: impl Into<String>) {
        if self.list.len() < TOLD {
            self.list.push(Finding { about: about.to_owned(), detail: detail.into() });
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(said) = &self.archive {
            writeln!(
                f,
                "{}, taken at {} by {}: {} with {} and {}",
                said.year,
                output::time(said.taken_at),
                printable::line(&said.actor),
                number(said.totals.slices, "slice"),
                number(said.totals.counts.rows, "row"),
                number(said.totals.counts.events, "audit event")
            )?;
        }
        if let Some(sha256) = &self.manifest_sha256 {
            writeln!(f, "sha256 of the manifest {sha256}")?;
        }
        writeln!(f, "{}", self.signature)?;
        for Finding { about, detail } in &self.findings {
            writeln!(f, "FOUND {}: {}", printable::line(about), printable::line(detail))?;
        }
        match self.findings.len() + self.more_findings {
            0 => writeln!(f, "nothing was found"),
            _ if self.more_findings > 0 => writeln!(f, "and {} more", self.more_findings),
            _ => Ok(()),
        }
    }
}

/// Looks at an archive.
pub(crate) fn run(args: &Args, json: bool) -> Result<ExitStatus, CommandError> {
    let unusable = |error: KeyError| CommandError::Input(shared::telemetry::chain(&error));
    let key = args.public_key.as_deref().map(PublicKey::read).transpose().map_err(unusable)?;
    let folder = &args.folder;
    if !folder.is_dir() {
        return Err(CommandError::Input(format!("{} is not a folder that can be read", folder.display())));
    }
    let checked = look(folder, key.as_ref())?;
    output::print(json, &checked)?;
    Ok(if checked.findings.is_empty() { ExitStatus::Done } else { ExitStatus::Failed })
}

fn look(folder: &Path, key: Option<&PublicKey>) -> Result<Checked, CommandError> {
    let mut findings = Findings::default();
    let bytes = files::bytes(&folder.join(MANIFEST), LONGEST);
    let bytes = bytes.map_err(|reason| findings.add(MANIFEST, format!("cannot be read: {reason}"))).ok();
    let signature = signed::check(folder, bytes.as_deref(), key, &mut findings);
    let mut archive = None;
    if let Some(bytes) = &bytes {
        match Manifest::read(bytes) {
            Ok(manifest) => {
                manifest.contradictions().into_iter().for_each(|detail| findings.add(MANIFEST, detail));
                files::check(folder, &manifest, &mut findings);
                slices::check(folder, &manifest, &mut findings);
                let Manifest { year, entities, taken_at, actor, totals, .. } = manifest;
                archive = Some(Said { year, entities, taken_at, actor, totals });
            }
            Err(error @ ManifestError::Version { .. }) => {
                let shown = folder.display();
                return Err(CommandError::Input(format!("{shown}: {MANIFEST} {error}")));
            }
            Err(error @ ManifestError::Form(_)) => findings.add(MANIFEST, error.to_string()),
        }
    }
    Ok(Checked {
        folder: folder.display().to_string(),
        archive,
        manifest_sha256: bytes.as_deref().map(Fingerprint::of),
        signature,
        findings: findings.list,
        more_findings: findings.more,
    })
}
