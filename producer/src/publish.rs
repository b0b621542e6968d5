//! `publish`: files become messages.

mod manifest;
mod message;
mod scan;
mod send;

use std::{fmt, path::PathBuf, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ArgGroup;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::{
    amount::Amount,
    amqp::Publisher,
    envelope::time_text,
    fingerprint::Fingerprint,
    job::{Mode, OnError, SourceName},
    settings::Settings,
    slice::{Entity, Period},
    topology::Topology,
};
use uuid::Uuid;

use crate::{
    answer::{self, count, remark},
    error::{CommandError, Verdict},
    receipts::Inbox,
    summary::{self, Summary},
    topology,
};
use message::{Batch, Prepared};
use send::Outcome;

/// Publishes files as jobs
///
/// One call is one batch. Every message is checked as the worker will check it, and nothing is
/// published if one of them is faulty. A message counts as published once the broker has confirmed it.
///
/// What could not be published is written to stdout as JSON lines, which `publish --manifest -` takes
/// as they are: the same job_id with the same body is the same job, so doing so is always safe.
#[derive(clap::Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["file", "manifest", "scan"]),
    after_help = "Examples:
  aura-producer publish --file /data/in/ABEX.csv --entity ABEX --period 2022-06 --wait
  aura-producer publish --scan /data/in --pattern '{entity}_{period}.csv' --mode replace --wait --timeout 900
  aura-producer publish --manifest jobs.csv
  echo '{\"file\": \"/data/in/ABEX.csv\", \"entity\": \"ABEX\", \"period\": \"2022-06\"}' | aura-producer publish --manifest -"
)]
pub(crate) struct Args {
    /// One file: a path, made absolute, or a URL that the workers read
    #[arg(long, requires = "entity", requires = "period")]
    file: Option<String>,
    /// A list of jobs: CSV whose header names message fields, or JSON lines; `-` reads stdin
    #[arg(long, value_name = "FILE|-")]
    manifest: Option<PathBuf>,
    /// Every file of a folder whose whole name fits --pattern, sorted by name
    #[arg(long, value_name = "DIR", requires = "pattern")]
    scan: Option<PathBuf>,
    /// What the file names of --scan look like: text with {entity} and {period}
    #[arg(long, conflicts_with_all = ["file", "manifest"])]
    pattern: Option<String>,
    /// Follows the batch until every job has ended, and prints its summary
    #[arg(long)]
    wait: bool,
    /// Seconds after which --wait gives up; the jobs go on
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "wait")]
    timeout: u64,
    #[command(flatten)]
    fields: Fields,
}

/// Message fields. With --manifest and --scan they hold for every job that does not say otherwise.
#[derive(clap::Args)]
#[command(next_help_heading = "Message fields (for each job that a manifest or file name does not tell otherwise)")]
struct Fields {
    /// The legal entity
    #[arg(long)]
    entity: Option<Entity>,
    /// The period, YYYY-MM
    #[arg(long)]
    period: Option<Period>,
    /// The mapping profile; otherwise `default`
    #[arg(long)]
    source: Option<SourceName>,
    /// `upsert` or `replace`; otherwise the profile's, else upsert
    #[arg(long)]
    mode: Option<Mode>,
    /// `abort` or `quarantine`; otherwise abort
    #[arg(long)]
    on_error: Option<OnError>,
    /// The SHA-256 that the file must have
    #[arg(long, requires = "file")]
    sha256: Option<Fingerprint>,
    /// When the ERP wrote the file, RFC 3339; otherwise now. It orders the exports of a slice
    #[arg(long, value_name = "TIME")]
    exported_at: Option<DateTime<Utc>>,
    /// Loads a file even if the slice already holds it
    #[arg(long)]
    no_skip_duplicates: bool,
    /// Overrides the guard against stale exports; needs --reason and is audited
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why the job is forced
    #[arg(long)]
    reason: Option<String>,
    /// Fails the job unless the slice sums to nil
    #[arg(long)]
    require_balanced: bool,
    /// How many rows the slice must have
    #[arg(long, value_name = "N", requires = "file")]
    control_rows: Option<u64>,
    /// What the slice's balances must sum to
    #[arg(long, value_name = "AMOUNT", requires = "file", allow_hyphen_values = true)]
    control_balance_sum: Option<Amount>,
    /// The identity of the job; otherwise a new one
    #[arg(long, value_name = "UUID", requires = "file")]
    job_id: Option<Uuid>,
    /// The identity of the batch; otherwise a new one
    #[arg(long, value_name = "UUID")]
    batch_id: Option<Uuid>,
}

impl Fields {
    /// The fields as they stand in a message, those that were given.
    fn given(&self) -> Map<String, Value> {
        let mut control = Map::new();
        set(&mut control, "rows", self.control_rows);
        set(&mut control, "balance_sum", self.control_balance_sum);
        let mut fields = Map::new();
        set(&mut fields, "entity", self.entity.as_ref());
        set(&mut fields, "period", self.period.as_ref());
        set(&mut fields, "source", self.source.as_ref());
        set(&mut fields, "mode", self.mode);
        set(&mut fields, "on_error", self.on_error);
        set(&mut fields, "sha256", self.sha256);
        set(&mut fields, "exported_at", self.exported_at.map(time_text));
        set(&mut fields, "skip_duplicates", self.no_skip_duplicates.then_some(false));
        set(&mut fields, "force", self.force.then_some(true));
        set(&mut fields, "reason", self.reason.as_ref());
        set(&mut fields, "require_balanced", self.require_balanced.then_some(true));
        set(&mut fields, "control", (!control.is_empty()).then_some(control));
        set(&mut fields, "job_id", self.job_id);
        fields
    }
}

fn set(fields: &mut Map<String, Value>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), json!(value));
    }
}

/// A job to be, with the place that faults are told at.
struct Draft {
    place: String,
    fields: Map<String, Value>,
}

/// The drafts that a folder or manifest gives, with what could not be understood.
#[derive(Default)]
struct Drafts {
    drafts: Vec<Draft>,
    faults: Vec<String>,
    unmatched: Vec<String>,
}

/// Publishes, and follows the batch if that is asked for.
pub(crate) async fn run(args: Args, settings: &Settings, json: bool) -> Result<Verdict, CommandError> {
    let Drafts { drafts, mut faults, unmatched } = read(&args)?;
    let topology = Topology::new(&settings.namespace);
    let id = args.fields.batch_id.or_else(|| drafts.iter().find_map(|draft| manifest::batch_id(&draft.fields)));
    let batch = Batch::new(id.unwrap_or_else(Uuid::now_v7), args.fields.given(), &topology)?;
    let jobs = message::prepare_all(drafts, &batch, &mut faults);
    if !faults.is_empty() {
        let what = format!("nothing was published: {} in the input", count(faults.len(), "fault"));
        return Err(CommandError::Faults { what, faults });
    }
    for name in &unmatched {
        remark(&format!("left aside: {name}"));
    }
    message::warn_of_absent_files(&jobs);

    let connection = topology::declare(settings, &topology).await?;
    let inbox = args.wait.then(|| Inbox::of_batch(batch.id, settings, &topology));
    if let Some(inbox) = &inbox {
        inbox.open(&connection).await.map_err(CommandError::broker(settings))?;
    }
    topology::hang_up(connection).await;
    let publisher = Publisher::new(settings.amqp_url.expose(), "aura-producer publish");
    let outcomes = send::send(&publisher, &jobs).await;
    publisher.close().await;

    let mut published = Published::new(batch.id, &jobs, &outcomes, unmatched);
    if !published.unpublished.is_empty() {
        if let Some(inbox) = &inbox {
            inbox.close().await;
        }
        return published.lament(json, settings);
    }
    let Some(inbox) = inbox else {
        answer::give(json, &published)?;
        return Ok(Verdict::Done);
    };
    let expected = published.jobs.iter().map(|job| job.job_id).collect();
    let summary = summary::follow(&inbox, batch.id, expected, Duration::from_secs(args.timeout)).await;
    inbox.close().await;
    let verdict = summary.verdict();
    published.summary = Some(summary);
    answer::give(json, &published)?;
    Ok(verdict)
}

fn read(args: &Args) -> Result<Drafts, CommandError> {
    if let Some(path) = &args.manifest {
        return manifest::read(path);
    }
    if let (Some(folder), Some(pattern)) = (&args.scan, &args.pattern) {
        return scan::read(folder, pattern, &args.fields.given());
    }
    let mut fields = Map::new();
    set(&mut fields, "file", args.file.as_ref());
    Ok(Drafts { drafts: vec![Draft { place: String::new(), fields }], ..Drafts::default() })
}

/// A job that the broker has.
#[derive(Serialize)]
struct PublishedJob {
    job_id: Uuid,
    entity: String,
    period: String,
    file: String,
}

/// A job that the broker may not have.
#[derive(Serialize)]
struct UnpublishedJob {
    #[serde(flatten)]
    job: PublishedJob,
    /// Whether it may have arrived all the same.
    uncertain: bool,
    error: String,
    /// The message, to be published again.
    message: Value,
}

/// What became of a publish call.
#[derive(Serialize)]
struct Published {
    batch_id: Uuid,
    published: usize,
    jobs: Vec<PublishedJob>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unpublished: Vec<UnpublishedJob>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmatched: Vec<String>,
    #[serde(flatten)]
    summary: Option<Summary>,
}

impl Published {
    fn new(batch_id: Uuid, jobs: &[Prepared], outcomes: &[Outcome], unmatched: Vec<String>) -> Self {
        let mut all = Self { batch_id, published: 0, jobs: vec![], unpublished: vec![], unmatched, summary: None };
        for (prepared, outcome) in jobs.iter().zip(outcomes) {
            let job = PublishedJob {
                job_id: prepared.job.job_id,
                entity: prepared.job.slice.entity.to_string(),
                period: prepared.job.slice.period.to_string(),
                file: prepared.job.file.clone(),
            };
            let (uncertain, error) = match outcome {
                Outcome::Confirmed => {
                    all.jobs.push(job);
                    continue;
                }
                Outcome::Uncertain(error) => (true, error.clone()),
                Outcome::Refused(error) => (false, error.clone()),
                Outcome::NotTried => (false, "not tried after the others failed".to_owned()),
            };
            let message = Value::Object(prepared.fields.clone());
            all.unpublished.push(UnpublishedJob { job, uncertain, error, message });
        }
        all.published = all.jobs.len();
        all
    }

    /// Tells what was not published, and gives the messages back so that they can be.
    fn lament(&self, json: bool, settings: &Settings) -> Result<Verdict, CommandError> {
        remark(&format!(
            "error: RabbitMQ at {} did not take {} of batch {}:",
            settings.amqp_url,
            count(self.unpublished.len(), "message"),
            self.batch_id
        ));
        let mut table = answer::table(["job", "entity", "period", "file", "error"]);
        for UnpublishedJob { job, error, .. } in self.unpublished.iter().take(20) {
            table.add_row([&job.job_id.to_string(), &job.entity, &job.period, &job.file, error]);
        }
        remark(&table.trim_fmt());
        if self.unpublished.len() > 20 {
            remark(&format!("and {} more", self.unpublished.len() - 20));
        }
        remark(&format!(
            "{} confirmed. Publish the others again with `publish --manifest -` and the lines on stdout; that is safe \
             even for what has arrived: the same job_id is the same job",
            count(self.published, "message")
        ));
        if json {
            answer::give(true, self)?;
        } else {
            answer::give(false, &Again(&self.unpublished))?;
        }
        Ok(Verdict::Undone)
    }
}

/// The messages that are to be published again, as JSON lines.
#[derive(Serialize)]
struct Again<'a>(&'a [UnpublishedJob]);

impl fmt::Display for Again<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|job| writeln!(f, "{}", job.message))
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "batch {}: {} published", self.batch_id, count(self.published, "job"))?;
        match &self.summary {
            Some(summary) => write!(f, "{summary}"),
            None => writeln!(f, "follow it with: aura-producer status {}", self.batch_id),
        }
    }
}

/// A time as the message has it.
fn now_text(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Micros, true)
}
