//! The events of a run. Its id is the job's; each replay is a run of its own.

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use shared::{
    message::{
        failure::Failure,
        job::Job,
        receipt::{Receipt, Status},
    },
    settings::Settings,
};
use uuid::Uuid;

use super::{
    facets::{self, PRODUCER},
    facts::Facts,
};

const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
/// The port of PostgreSQL where its URL has none.
const POSTGRES_PORT: u16 = 5432;

/// The names by which a catalogue knows what this worker works with.
pub(super) struct Names {
    /// The namespace of jobs.
    jobs: String,
    /// The namespace of PostgreSQL's tables.
    postgres: String,
    /// The ledger's table.
    table: String,
}

impl Names {
    /// The names that follow from the settings.
    pub(super) fn of(settings: &Settings) -> Self {
        let url = &settings.postgres_url;
        let database = url.query("dbname").unwrap_or_else(|| url.path().to_owned());
        Self {
            jobs: settings.namespace.clone(),
            postgres: format!("postgres://{}", url.address(POSTGRES_PORT)),
            table: format!("{database}.public.gl_accounts"),
        }
    }
}

/// A run begins, or goes on with its next attempt.
pub(super) fn started(names: &Names, job: &Job) -> Value {
    let state = if job.attempt == 1 { "START" } else { "RUNNING" };
    let output = table(names, None);
    event(names, state, job, run_facets(names, job, None, None), vec![file(job, None, None, None)], vec![output])
}

/// An attempt of a run failed, and another one follows.
pub(super) fn retried(names: &Names, job: &Job, failure: &Failure) -> Value {
    let input = file(job, None, None, facets::of_broken_input(failure));
    event(names, "RUNNING", job, run_facets(names, job, None, Some(failure)), vec![input], Vec::new())
}

/// A run has ended.
pub(super) fn ended(names: &Names, job: &Job, receipt: &Receipt, facts: Option<&Facts>) -> Value {
    let state = match receipt.status {
        Status::Success | Status::Skipped | Status::Superseded => "COMPLETE",
        Status::Cancelled => "ABORT",
        Status::Failed => "FAIL",
    };
    let failure = receipt.error.as_ref();
    let quality = facts.map(|facts| facets::of_input(job, facts));
    let quality = quality.or_else(|| facets::of_broken_input(failure?));
    let input = file(job, receipt.fingerprint.as_deref(), facts, quality);
    // What was not loaded has no effect on the ledger.
    let output = (receipt.status == Status::Success).then(|| table(names, Some(receipt)));
    let run = run_facets(names, job, Some(receipt), failure);
    event(names, state, job, run, vec![input], output.into_iter().collect())
}

fn event(names: &Names, state: &str, job: &Job, run_facets: Value, inputs: Vec<Value>, outputs: Vec<Value>) -> Value {
    let name = format!("ingest.{}", job.slice.entity);
    json!({
        "eventType": state,
        "eventTime": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": {"runId": run_id(job), "facets": run_facets},
        "job": {"namespace": names.jobs, "name": name, "facets": facets::of_job()},
        "inputs": inputs,
        "outputs": outputs,
    })
}

/// A run ends once, and a job may end again after a replay.
fn run_id(job: &Job) -> Uuid {
    match job.replays {
        0 => job.job_id,
        replays => Uuid::new_v5(&job.job_id, format!("replay {replays}").as_bytes()),
    }
}

fn run_facets(names: &Names, job: &Job, receipt: Option<&Receipt>, failure: Option<&Failure>) -> Value {
    let all = [
        ("parent", facets::parent(&names.jobs, job)),
        ("processing_engine", Some(facets::processing_engine())),
        ("errorMessage", failure.map(facets::error_message)),
        ("aura_job", Some(facets::own(job, receipt))),
    ];
    let there: Map<_, _> = all.into_iter().filter_map(|(name, facet)| Some((name.to_owned(), facet?))).collect();
    Value::Object(there)
}

fn file(job: &Job, fingerprint: Option<&str>, facts: Option<&Facts>, quality: Option<Value>) -> Value {
    let (namespace, name) = place(&job.file);
    let dataset = json!({"namespace": namespace, "name": name, "facets": facets::of_file(fingerprint, facts)});
    facets::with(dataset, "inputFacets", quality)
}

fn table(names: &Names, written: Option<&Receipt>) -> Value {
    let facets = facets::of_table(&names.postgres);
    let dataset = json!({"namespace": names.postgres, "name": names.table, "facets": facets});
    facets::with(dataset, "outputFacets", written.map(facets::of_output))
}

/// The namespace and the name of a file, as OpenLineage names files and objects.
fn place(file: &str) -> (String, &str) {
    match file.split_once("://") {
        Some(("file", path)) => ("file".to_owned(), path),
        Some((scheme, rest)) => {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, "/"));
            (format!("{scheme}://{bucket}"), key)
        }
        None => ("file".to_owned(), file),
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn files_and_objects_have_the_names_of_openlineage() {
        assert_eq!(place("/exports/a.csv"), ("file".to_owned(), "/exports/a.csv"));
        assert_eq!(place("file:///exports/a.csv"), ("file".to_owned(), "/exports/a.csv"));
        assert_eq!(place("s3://bucket/in/a b.csv"), ("s3://bucket".to_owned(), "in/a b.csv"));
        assert_eq!(place("gs://bucket"), ("gs://bucket".to_owned(), "/"));
    }
}
