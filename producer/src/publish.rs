//! `publish`: files become messages.

mod draft;
mod dry;
mod fields;
mod manifest;
pub(crate) mod message;
pub(crate) mod report;
mod scan;
pub(crate) mod send;
mod split;
mod summary;

use std::{path::PathBuf, time::Duration};

use clap::ArgGroup;
use serde_json::Map;
use shared::{
    broker::{publisher::Publisher, topology::Topology},
    settings::Settings,
};
use uuid::Uuid;

use self::{
    draft::{Draft, Drafts},
    fields::{Fields, set},
    message::Batch,
    report::Published,
};
use crate::{
    errors::{CommandError, ExitStatus},
    output::{self, count, remark},
    receipts::{Inbox, ended::EndedRuns},
    topology,
};

/// Files left aside that people are shown; programs get all.
const SHOWN: usize = 20;

/// Publishes files as jobs
///
/// One call is one batch. Every message is checked as the worker will check it, and nothing is
/// published if one of them is faulty. A message counts as published once the broker has confirmed it.
///
/// What could not be published is written to stdout as JSON lines, which `publish --manifest -` takes
/// as they are: the same job_id with the same body is the same job, so doing so is always safe.
#[derive(clap::Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["file", "manifest", "scan", "split"]),
    after_help = "Examples:
  aura-producer publish --file ABEX.csv --entity ABEX --period 2022-06 --wait
  aura-producer publish --scan /in --pattern '{entity}_{period}.csv' --wait
  aura-producer publish --manifest jobs.csv
  aura-producer publish --split group.csv --source sap-acdoca --wait
  echo '{\"file\": \"/in/A.csv\", \"entity\": \"A\", \"period\": \"2022-06\"}' |
    aura-producer publish --manifest -"
)]
pub(crate) struct Args {
    /// One file: a path, made absolute, or a URL that the workers read
    #[arg(long, requires = "entity", requires = "period")]
    file: Option<String>,
    /// A list of jobs: CSV whose header names message fields, or JSON lines; `-` reads stdin
    #[arg(long, value_name = "FILE|-")]
    manifest: Option<PathBuf>,
    /// Every file of a folder, or object directly below s3://bucket/prefix, whose whole name fits
    /// --pattern, sorted by name
    #[arg(long, value_name = "DIR|URL", requires = "pattern")]
    scan: Option<String>,
    /// What the file names of --scan look like: text with {entity} and {period}
    #[arg(long, conflicts_with_all = ["file", "manifest"])]
    pattern: Option<String>,
    /// One job for each slice that a file holds, which the mapping profile of --source reads
    #[arg(long, value_name = "FILE")]
    split: Option<PathBuf>,
    /// Follows the batch until every job has ended, and prints its summary
    #[arg(long)]
    wait: bool,
    /// Seconds after which --wait gives up; the jobs go on
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "wait")]
    timeout: u64,
    /// Only tells what each job would do to the books
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    #[command(flatten)]
    fields: Fields,
}

/// Publishes, and follows the batch if that is asked for.
pub(crate) async fn run(args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let Drafts { drafts, unmatched } = read(&args, settings).await?;
    let topology = Topology::new(&settings.namespace);
    let id = args.fields.batch_id.or_else(|| drafts.iter().find_map(Draft::batch_id));
    let batch =
        Batch::new(id.unwrap_or_else(Uuid::now_v7), args.fields.given(), &topology, message::publisher(settings))?;
    let jobs = message::prepare_all(drafts, &batch).map_err(|faults| {
        let what = format!("nothing was published: {} in the input", count(faults.len(), "fault"));
        CommandError::Faults { what, faults }
    })?;
    for name in unmatched.iter().take(SHOWN) {
        remark(&format!("left aside: {name}"));
    }
    if unmatched.len() > SHOWN {
        remark(&format!("left aside: {}", count(unmatched.len() - SHOWN, "more file")));
    }
    message::warn_of_absent_files(&jobs);

    if args.dry_run {
        let report = dry::dry_run(&jobs, settings, &topology).await?;
        let exit_status = report.exit_status();
        output::print(json, &report)?;
        return Ok(exit_status);
    }
    let connection = topology::declare(settings, &topology).await?;
    let ended_runs = EndedRuns::from_now(settings);
    let inbox = args.wait.then(|| Inbox::of_batch(batch.id, settings, &topology));
    if let Some(inbox) = &inbox {
        let channel = inbox.open(&connection).await.map_err(CommandError::broker(settings))?;
        topology::close(&channel).await;
    }
    topology::hang_up(connection).await;
    let publisher = Publisher::new(&settings.amqp_url, "aura-producer publish");
    let outcomes = send::send(&publisher, &jobs).await;
    publisher.close().await;

    let mut published = Published::new(batch.id, &jobs, &outcomes, unmatched);
    if !published.unpublished.is_empty() {
        if let Some(inbox) = &inbox {
            inbox.close().await;
        }
        return published.report_unpublished(json, settings);
    }
    let Some(inbox) = inbox else {
        output::print(json, &published)?;
        return Ok(ExitStatus::Done);
    };
    let expected = published.jobs.iter().map(|job| job.job_id).collect();
    let limit = Duration::from_secs(args.timeout);
    let summary = summary::follow(&inbox, &ended_runs, batch.id, expected, limit).await;
    inbox.close().await;
    let exit_status = summary.exit_status();
    published.summary = Some(summary);
    output::print(json, &published)?;
    Ok(exit_status)
}

async fn read(args: &Args, settings: &Settings) -> Result<Drafts, CommandError> {
    if let Some(path) = &args.manifest {
        return manifest::read(path);
    }
    if let Some(path) = &args.split {
        return split::read(path, &args.fields.given(), settings);
    }
    if let (Some(folder), Some(pattern)) = (&args.scan, &args.pattern) {
        return scan::read(folder, pattern, &args.fields.given(), &settings.stores).await;
    }
    let mut fields = Map::new();
    set(&mut fields, "file", args.file.as_ref());
    Ok(Drafts { drafts: vec![Draft { place: String::new(), fields: Ok(fields) }], ..Drafts::default() })
}
