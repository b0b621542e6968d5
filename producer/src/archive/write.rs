//! `archive write`: reads a closed year at one moment, verifies it on the way, and writes it down.

mod error;
mod tables;

use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    fingerprint::Fingerprint,
    message::event::{Event, EventType},
    settings::Settings,
    signature::{KeyError, SigningKey},
    slice::Entity,
    stores::{
        mongo::Mongo,
        outbox,
        postgres::{PostgresError, transaction},
    },
    telemetry::chain as causes,
};
use tokio::time::{Instant, sleep};
use tokio_postgres::IsolationLevel;

use super::{
    folder::Place,
    manifest::{FORMAT, MANIFEST, Manifest, README, SIGNATURE, Totals, VERSION, signature},
    slices::{self, Year},
};
use crate::{
    actor_event, db,
    errors::{CommandError, ExitStatus},
    output,
    verify::stores::StoreError,
};
use error::ArchiveError;
use tables::Files;

const EXPLAINED: &str = include_str!("README.txt");
/// How long one statement may take: the rows of one slice.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long events may take to reach MongoDB, and how often they are looked for.
const ARRIVAL: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(500);

/// Writes a closed year to a folder of Parquet files, with its audit chains
///
/// Everything is read at one moment and verified while it is written: each audit event by its hash and the one
/// before, the rows of each slice by its job and by what the audit trail says of them. What does not agree is
/// not archived. All periods of the year must be locked; its special periods (13 to 16) belong to it.
///
/// The folder is made beside its place and moved there once it is whole. An event in the audit trail then tells of it,
/// with the SHA-256 of its manifest. The files are plain Parquet and JSON: what reads them needs no Aura.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 there is nothing to archive, or the stores do not agree; 2 usage, an open period, \
                        or the folder cannot be written; 3 a service is unreachable, or the event could not be \
                        written (the archive stays then).\n\nExamples:\n  aura-producer archive write --year 2022 --to \
                        /archive/2022\n  aura-producer archive write --year 2022 --entity ABEX --to abex-2022 --key \
                        archive.key"
)]
pub(crate) struct Args {
    /// The year, YYYY
    #[arg(long, value_name = "YYYY", value_parser = clap::value_parser!(u16).range(..=9999))]
    year: u16,
    /// Only this legal entity
    #[arg(long)]
    entity: Option<Entity>,
    /// The folder that is made, which must not be there yet
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Signs the manifest with this private key, in PEM, as `anchor` does
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// What was archived.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ArchiveWritten")]
pub(crate) struct Written {
    folder: String,
    year: String,
    /// The moment of which everything is, by the clock of PostgreSQL.
    taken_at: DateTime<Utc>,
    entities: usize,
    #[serde(flatten)]
    totals: Totals,
    /// Bytes of all files.
    bytes: u64,
    /// SHA-256 of the manifest: short enough to be written down elsewhere.
    manifest_sha256: Fingerprint,
    signed: bool,
    /// Whether the audit trail has the event that tells of the archive.
    recorded: bool,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { slices, counts } = &self.totals;
        let entities = if self.entities == 1 { "entity" } else { "entities" };
        writeln!(
            f,
            "archived {} to {}: {} of {} {entities} with {} and {}, {} bytes",
            self.year,
            self.folder,
            number(*slices, "slice"),
            self.entities,
            number(counts.rows, "row"),
            number(counts.events, "audit event"),
            self.bytes
        )?;
        let signed = if self.signed { "signed" } else { "not signed" };
        writeln!(f, "sha256 of the manifest {} ({signed})", self.manifest_sha256)
    }
}

/// So many of something.
pub(super) fn number(count: u64, what: &str) -> String {
    output::count(usize::try_from(count).unwrap_or(usize::MAX), what)
}

/// Writes the archive, and then that there is one.
pub(super) async fn run(args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let unusable = |error: KeyError| CommandError::Input(causes(&error));
    let key = args.key.as_deref().map(SigningKey::read).transpose().map_err(unusable)?;
    let place = Place::new(&args.to).map_err(CommandError::Input)?;
    let pool = db::open(settings, 2, STATEMENT_TIMEOUT)?;
    db::check(&pool, settings).await?;
    let mongo = Mongo::open(&settings.mongodb_url, "aura-producer").await.map_err(CommandError::mongo(settings))?;
    let year = format!("{:04}", args.year);
    let wanted = Wanted { year, entity: args.entity, actor: &settings.actor, key: key.as_ref() };
    let written = async {
        mongo.ping().await.map_err(StoreError::from)?;
        tokio::select! {
            written = write(&pool, &mongo, &wanted, &place) => written,
            _ = tokio::signal::ctrl_c() => Err(ArchiveError::Interrupted),
        }
    };
    let written = written.await;
    mongo.close().await;
    let mut written = written.map_err(|error| error.at(&place, settings))?;
    let event = event(&written, &wanted, settings);
    let recorded = record(&pool, &event).await.map_err(CommandError::postgres(settings));
    written.recorded = recorded.is_ok();
    output::print(json, &written)?;
    match recorded {
        Ok(()) => {
            actor_event::note(&event);
            Ok(ExitStatus::Done)
        }
        Err(error) => {
            tracing::warn!(error = error.line(), "the audit trail does not tell of an archive");
            output::remark(&format!(
                "the archive is whole and stays, but the audit trail does not tell of it: {}. Write the sha256 of the \
                 manifest down",
                error.line()
            ));
            Ok(ExitStatus::Undone)
        }
    }
}

/// What is to be archived, and for whom.
struct Wanted<'a> {
    year: String,
    entity: Option<Entity>,
    actor: &'a str,
    key: Option<&'a SigningKey>,
}

impl Wanted<'_> {
    fn entity(&self) -> Option<&str> {
        self.entity.as_ref().map(Entity::as_str)
    }

    /// The year and whose it is, in words.
    fn name(&self) -> String {
        self.entity().map_or_else(|| self.year.clone(), |entity| format!("{} of {entity}", self.year))
    }
}

/// Waits until MongoDB has everything that PostgreSQL knows at one moment, and writes the archive of that moment.
async fn write(pool: &Pool, mongo: &Mongo, wanted: &Wanted<'_>, place: &Place) -> Result<Written, ArchiveError> {
    let mut client = pool.get().await.map_err(PostgresError::from)?;
    let deadline = Instant::now() + ARRIVAL;
    let mut has_said = false;
    loop {
        let moment = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let tx = moment.start().await.map_err(PostgresError::in_("begin to read a year"))?;
        let year = slices::read(&tx, &wanted.year, wanted.entity()).await?;
        let year =
            year.ok_or_else(|| ArchiveError::Nothing(format!("no slice of {} has been loaded", wanted.name())))?;
        if let Some(open) = year.open() {
            let what = format!("{} is not closed: {open}; lock the periods first (period lock)", wanted.name());
            return Err(ArchiveError::Open(what));
        }
        if let Some(halted) = year.halted() {
            let what = format!("the audit chain of {halted} stands still; aura-producer verify says why");
            return Err(ArchiveError::Doubtful(what));
        }
        let waiting = year.waiting();
        if waiting == 0 {
            let written = copied(&tx, mongo, wanted, year, place).await?;
            tx.commit().await.map_err(PostgresError::in_("end reading a year"))?;
            return Ok(written);
        }
        if Instant::now() >= deadline {
            return Err(ArchiveError::Late(format!(
                "{} of {} did not reach MongoDB within {} s; check that a worker runs and MongoDB \
                 answers, then try again",
                output::count(usize::try_from(waiting).unwrap_or_default(), "audit event"),
                wanted.name(),
                ARRIVAL.as_secs()
            )));
        }
        if !has_said {
            has_said = true;
            let events = output::count(usize::try_from(waiting).unwrap_or_default(), "audit event");
            output::remark(&format!("waiting for {events} on the way to MongoDB"));
        }
        tx.rollback().await.map_err(PostgresError::in_("end reading a year"))?;
        sleep(LOOK).await;
    }
}

/// Copies everything, and moves the folder to its place.
async fn copied(
    tx: &Transaction<'_>,
    mongo: &Mongo,
    wanted: &Wanted<'_>,
    year: Year,
    place: &Place,
) -> Result<Written, ArchiveError> {
    let folder = place.begin()?;
    let mut files = Files::begin(&folder, &wanted.year)?;
    let bar = progress(year.slices.len() as u64);
    let mut entries = Vec::with_capacity(year.slices.len());
    for slice in &year.slices {
        entries.push(files.take(tx, mongo, slice).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut listed = files.finish()?;
    listed.push(folder.write(README, EXPLAINED.as_bytes())?);
    let entities: BTreeSet<&str> = entries.iter().map(|entry| entry.entity.as_str()).collect();
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        year: wanted.year.clone(),
        entities: entities.into_iter().map(str::to_owned).collect(),
        taken_at: year.taken_at,
        actor: wanted.actor.to_owned(),
        aura: env!("CARGO_PKG_VERSION").to_owned(),
        totals: Totals::of(&entries),
        files: listed,
        slices: entries,
    };
    let bytes = manifest.bytes()?;
    let written = folder.write(MANIFEST, &bytes)?;
    let mut all = manifest.files.iter().map(|file| file.bytes).sum::<u64>() + written.bytes;
    if let Some(key) = wanted.key {
        all += folder.write(SIGNATURE, signature::text(&key.sign(&bytes)).as_bytes())?.bytes;
    }
    place.finish(folder)?;
    Ok(Written {
        folder: place.path().display().to_string(),
        year: manifest.year,
        taken_at: manifest.taken_at,
        entities: manifest.entities.len(),
        totals: manifest.totals,
        bytes: all,
        manifest_sha256: written.sha256,
        signed: wanted.key.is_some(),
        recorded: false,
    })
}

fn progress(slices: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(slices), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} slices") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// The event is about no one slice: it must not change the chains that were just archived.
fn event(written: &Written, wanted: &Wanted<'_>, settings: &Settings) -> Event {
    actor_event::event(EventType::Archived, settings)
        .with("year", written.year.as_str())
        .with("entity", wanted.entity().unwrap_or("*"))
        .with("slices", written.totals.slices)
        .with("rows", written.totals.counts.rows)
        .with("manifest_sha256", written.manifest_sha256.to_string())
        .with("signed", written.signed)
}

async fn record(pool: &Pool, event: &Event) -> Result<(), PostgresError> {
    transaction(pool, "record_archive", move |transaction, _| {
        Box::pin(async move { outbox::record(transaction, std::slice::from_ref(event)).await })
    })
    .await
}
