//! `anchor`: the heads of all audit chains, signed, for a place that the stores' administrators do not reach.

pub(crate) mod document;

use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{file_modes, settings::Settings, signature::SigningKey};

use crate::{
    db,
    errors::{CommandError, ExitStatus},
    output,
};
use document::{Anchor, Head};

const HEADS: &str = include_str!("anchor/heads.sql");

/// Signs the heads of all audit chains, for verify --anchor
///
/// Whoever may write to PostgreSQL and to MongoDB can rewrite the books and the audit trail together, so that each
/// agrees with the other. An anchor from before finds that, as long as it, and the key, are kept where they cannot
/// reach: on another machine, in an object store that keeps what it was given, printed in the minutes.
///
/// It has a line for each chain with its length and the hash of its last event. What is added to a chain later changes
/// none of that.
#[derive(clap::Args)]
#[command(
    after_help = "The keys are openssl's:\n  openssl genpkey -algorithm ed25519 -out anchor.key\n  openssl pkey -in \
                        anchor.key -pubout -out anchor.pub\n\nExamples:\n  aura-producer anchor --key anchor.key --to \
                        anchor-2026-11-28\n  aura-producer verify --anchor anchor-2026-11-28 --public-key anchor.pub"
)]
pub(crate) struct Args {
    /// The private key, in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The file that is written, which must not be there yet; - for standard output
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// What was anchored.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Anchored {
    taken_at: DateTime<Utc>,
    chains: usize,
    events: i64,
    /// SHA-256 of the anchor: short enough to be written down elsewhere.
    sha256: String,
}

impl fmt::Display for Anchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = usize::try_from(self.events).unwrap_or_default();
        let (chains, events) = (output::count(self.chains, "chain"), output::count(events, "event"));
        writeln!(f, "anchored {chains} with {events}\nsha256 {}", self.sha256)
    }
}

/// Reads the heads, signs them and writes them down.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let unusable = |error: &dyn std::error::Error| CommandError::Input(error.to_string());
    let key = SigningKey::read(&args.key).map_err(|error| unusable(&error))?;
    let pool = db::connect(settings).await?;
    let rows = db::query(&pool, "read the heads of the chains", HEADS, &[]).await;
    let rows = rows.map_err(CommandError::postgres(settings))?;
    let taken_at: DateTime<Utc> = match rows.first() {
        Some(row) => row.get("now"),
        None => return Err(CommandError::Input("there is no audit chain to anchor yet".to_owned())),
    };
    let heads: Vec<Head> = rows
        .iter()
        .map(|row| Head {
            entity: row.get("entity"),
            period: row.get("period"),
            seq: row.get("seq"),
            hash: row.get("hash"),
        })
        .collect();
    let anchor = Anchor { taken_at, heads };
    let text = anchor.signed(&key).map_err(|error| unusable(&error))?;
    let answer = Anchored {
        taken_at,
        chains: anchor.heads.len(),
        events: anchor.heads.iter().map(|head| head.seq).sum(),
        sha256: shared::fingerprint::Fingerprint::of(text.as_bytes()).to_string(),
    };
    if args.to == Path::new("-") {
        output::write(&text)?;
        return Ok(ExitStatus::Done);
    }
    write_new(&args.to, &text).map_err(|error| {
        CommandError::Input(format!("the anchor cannot be written to {}: {error}", args.to.display()))
    })?;
    output::print(json, &answer)?;
    Ok(ExitStatus::Done)
}

/// Writes a file that is not there yet, whole and on the disk, or none.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    file_modes::limit();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    std::fs::File::open(folder)?.sync_all()
}
