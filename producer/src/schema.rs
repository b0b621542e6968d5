//! `schema`: the JSON Schemas of message, receipt and answers, made from the types.

use std::fmt;

use clap::ValueEnum;
use schemars::{
    JsonSchema, Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde::Serialize;
use serde_json::json;
use shared::message::{job::JobMessage, receipt::Receipt};

use crate::{
    anchor, archive, cancel, check, dead, dry_run,
    errors::{CommandError, ErrorAnswer, ExitStatus},
    history, migrate, output, period, prune, publish, sources, status, topology, verify,
};

/// Prints the JSON Schemas of jobs, receipts and --json answers
///
/// They are made from the types that the programs use. Those of job and receipt are checked in below shared/schema,
/// beside an AsyncAPI document of the channels.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer schema job > job.schema.json
  aura-producer schema --of dead-list")]
pub(crate) struct Args {
    /// Which one; otherwise both, in one object
    which: Option<Which>,
    /// What this command answers with --json, or `error`: what each answers if it cannot do what it was asked
    #[arg(long, value_name = "COMMAND", conflicts_with = "which")]
    of: Option<Answer>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    /// The body of a message to the jobs exchange
    Job,
    /// The body of a message from the events exchange
    Receipt,
}

/// Commands, as they stand on the command line.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Answer {
    Error,
    Publish,
    PublishDryRun,
    Check,
    CheckSuggest,
    SourcesList,
    SourcesShow,
    Status,
    StatusJob,
    StatusBatch,
    Cancel,
    DeadList,
    DeadShow,
    DeadReplay,
    DeadReplayDryRun,
    DeadDiscard,
    DeadOperations,
    DeadOperation,
    PeriodList,
    PeriodLock,
    PeriodUnlock,
    History,
    Verify,
    Anchor,
    Prune,
    ArchiveWrite,
    ArchiveCheck,
    Migrate,
    Topology,
}

/// Formats that name types of Rust.
const FOREIGN_FORMATS: [&str; 7] = ["uint8", "uint16", "uint32", "uint64", "uint", "int64", "double"];

#[derive(Serialize)]
#[serde(transparent)]
struct Printed(serde_json::Value);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl Which {
    fn schema(self) -> Schema {
        match self {
            Self::Job => made::<JobMessage>(SchemaSettings::draft2020_12()),
            Self::Receipt => of::<Receipt>(),
        }
    }
}

impl Answer {
    fn schema(self) -> Schema {
        match self {
            Self::Error => of::<ErrorAnswer>(),
            Self::Publish => of::<publish::report::Published>(),
            Self::PublishDryRun | Self::DeadReplayDryRun => of::<dry_run::report::Report>(),
            Self::Check => of::<check::Checked>(),
            Self::CheckSuggest => of::<check::Draft>(),
            Self::SourcesList => of::<sources::List>(),
            Self::SourcesShow => of::<sources::Shown>(),
            Self::Status => of::<status::Overview>(),
            Self::StatusJob => of::<status::run::Run>(),
            Self::StatusBatch => of::<status::batch::Page>(),
            Self::Cancel => of::<cancel::Cancelled>(),
            Self::DeadList => of::<dead::list::List>(),
            Self::DeadShow => of::<dead::show::Letters>(),
            Self::DeadReplay | Self::DeadDiscard => of::<dead::settled::Report>(),
            Self::DeadOperations => of::<dead::operations::List>(),
            Self::DeadOperation => of::<dead::operation::Seen>(),
            Self::PeriodList => of::<period::Locks>(),
            Self::PeriodLock | Self::PeriodUnlock => of::<period::Changed>(),
            Self::History => of::<history::report::Report>(),
            Self::Verify => of::<verify::report::Report>(),
            Self::Anchor => of::<anchor::Anchored>(),
            Self::Prune => of::<prune::report::Report>(),
            Self::ArchiveWrite => of::<archive::Written>(),
            Self::ArchiveCheck => of::<archive::Checked>(),
            Self::Migrate => of::<migrate::Migrated>(),
            Self::Topology => of::<topology::Declared>(),
        }
    }
}

/// The schema of an answer as it is written.
fn of<T: JsonSchema>() -> Schema {
    made::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn made<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    RecursiveTransform(without_foreign_format).transform(&mut schema);
    schema
}

/// Takes away the formats of numbers, which JSON Schema does not know and a strict validator refuses.
fn without_foreign_format(schema: &mut Schema) {
    if schema.get("format").and_then(|format| format.as_str()).is_some_and(|format| FOREIGN_FORMATS.contains(&format)) {
        schema.remove("format");
    }
}

/// Prints a schema; it is JSON whether or not that is asked for.
pub(crate) fn run(args: &Args, json: bool) -> Result<ExitStatus, CommandError> {
    let printed = match (args.which, args.of) {
        (Some(which), _) => json!(which.schema()),
        (None, Some(answer)) => json!(answer.schema()),
        (None, None) => json!({"job": Which::Job.schema(), "receipt": Which::Receipt.schema()}),
    };
    output::print(json, &Printed(printed))?;
    Ok(ExitStatus::Done)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use shared::{
        broker::topology::Topology,
        message::{envelope, receipt::Status},
    };

    use super::*;

    const JOB: &str = include_str!("../../shared/schema/job.schema.json");
    const RECEIPT: &str = include_str!("../../shared/schema/receipt.schema.json");
    const CHANNELS: &str = include_str!("../../shared/schema/asyncapi.yaml");

    #[test]
    fn the_schemas_that_are_checked_in_are_current() {
        for (which, name, text) in [(Which::Job, "job", JOB), (Which::Receipt, "receipt", RECEIPT)] {
            let checked_in: Value = serde_json::from_str(text).unwrap();
            let advice = format!("run: aura-producer schema {name} > shared/schema/{name}.schema.json");
            assert_eq!(checked_in, json!(which.schema()), "{advice}");
        }
    }

    #[test]
    fn the_channels_document_names_every_channel_and_header() {
        let topology = Topology::new("aura");
        let mut names = vec![topology.jobs_exchange, topology.jobs, topology.dead, topology.events];
        names.extend(topology.retries.map(|retry| retry.name));
        names.extend(Status::ALL.iter().map(ToString::to_string));
        for header in [
            envelope::ATTEMPT,
            envelope::JOB_ID,
            envelope::EXPORTED_AT,
            envelope::FORCED_AT,
            envelope::REPLAYS,
            envelope::FIRST_FAILED_AT,
            envelope::FAILED_AT,
            envelope::RETURNED_CLAIM,
            envelope::ERROR_CODE,
            envelope::ERROR_STAGE,
            envelope::ERROR_MESSAGE,
            envelope::WORKER,
            envelope::FINGERPRINT,
            envelope::USER_ID,
            envelope::TRACEPARENT,
        ] {
            names.push(header.to_owned());
        }
        for name in names {
            assert!(CHANNELS.contains(&name), "{name} is not in asyncapi.yaml");
        }
    }
}
