//! `anchor`: the heads of all audit chains, signed, for a place that the stores' administrators do not reach.

pub(crate) mod document;
pub(crate) mod place;

use std::{fmt, path::PathBuf};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{settings::Settings, signature::SigningKey};

use crate::{
    db,
    errors::{CommandError, ExitStatus},
    output,
};
use document::{Anchor, Head};
use place::Place;

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
    /// The file or object (s3://BUCKET/KEY, gs://…, az://…) that is written, which must not be there yet; - for standard
    /// output
    #[arg(long, value_name = "PLACE")]
    to: Place,
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
    args.to.write_new(&text, settings).await?;
    if args.to != Place::Output {
        output::print(json, &answer)?;
    }
    Ok(ExitStatus::Done)
}
