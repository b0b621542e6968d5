//! The facets of events, each as its schema of OpenLineage has it.

use serde_json::{Map, Value, json};
use shared::{
    file::columns::{self, ColumnKind},
    message::{
        failure::{ErrorCode, Failure},
        job::Job,
        receipt::Receipt,
    },
};

use super::facts::Facts;
use crate::settlement::events::audit_message;

/// Who tells it.
pub(super) const PRODUCER: &str = concat!("urn:aura:worker:", env!("CARGO_PKG_VERSION"));
/// The schema of the facet that is Aura's own.
const OWN: &str = "urn:aura:schema:lineage-run-facet:1";

/// An object with a further field, if there is a value for it.
pub(super) fn with(mut object: Value, name: &str, value: Option<impl Into<Value>>) -> Value {
    if let (Value::Object(fields), Some(value)) = (&mut object, value) {
        fields.insert(name.to_owned(), value.into());
    }
    object
}

fn facet(schema: String, fields: Value) -> Value {
    let mut facet = json!({"_producer": PRODUCER, "_schemaURL": schema});
    if let (Value::Object(facet), Value::Object(fields)) = (&mut facet, fields) {
        facet.extend(fields);
    }
    facet
}

/// A facet of OpenLineage's, by the version and name of its schema.
fn standard(version: &str, name: &str, fields: Value) -> Value {
    facet(format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"), fields)
}

/// The batch, as the run that this one is part of.
pub(super) fn parent(namespace: &str, job: &Job) -> Option<Value> {
    let run = json!({"runId": job.batch_id?});
    let parent = json!({"run": run, "job": {"namespace": namespace, "name": "batch"}});
    Some(standard("1-2-0", "ParentRunFacet", parent))
}

/// The program.
pub(super) fn processing_engine() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let fields = json!({"version": version, "name": "Aura", "openlineageAdapterVersion": version});
    standard("1-1-1", "ProcessingEngineRunFacet", fields)
}

/// Why an attempt failed, without the cells that a result may show.
pub(super) fn error_message(failure: &Failure) -> Value {
    let message = format!("{} ({}): {}", failure.code, failure.stage, audit_message(failure));
    standard("1-0-1", "ErrorMessageRunFacet", json!({"message": message, "programmingLanguage": "Rust"}))
}

/// What Aura knows of the run beside that, by the receipt's names.
pub(super) fn own(job: &Job, receipt: Option<&Receipt>) -> Value {
    let mut fields = json!({
        "job_id": job.job_id,
        "entity": job.slice.entity.as_str(),
        "period": job.slice.period.as_str(),
        "attempt": job.attempt,
        "replays": job.replays,
    });
    if let Some(receipt) = receipt {
        let ended = json!({
            "attempt": receipt.attempt,
            "status": receipt.status,
            "reason": receipt.reason,
            "fingerprint": receipt.fingerprint,
            "rows": receipt.rows,
            "rows_other_slices": receipt.rows_other_slices,
            "inserted": receipt.inserted,
            "updated": receipt.updated,
            "unchanged": receipt.unchanged,
            "deleted": receipt.deleted,
            "absent": receipt.absent,
            "failed": receipt.failed,
            "balance_sum": receipt.balance_sum,
            "error_code": receipt.error.as_ref().map(|error| error.code),
        });
        if let (Value::Object(fields), Value::Object(ended)) = (&mut fields, ended) {
            fields.extend(ended);
        }
    }
    facet(OWN.to_owned(), fields)
}

/// What the job is.
pub(super) fn of_job() -> Value {
    let description = "Loads the trial balance of one legal entity and period from an ERP's file into the ledger.";
    json!({
        "documentation": standard("1-1-0", "DocumentationJobFacet", json!({"description": description})),
        "jobType": standard(
            "2-0-4",
            "JobTypeJobFacet",
            json!({"processingType": "BATCH", "integration": "AURA", "jobType": "JOB"}),
        ),
    })
}

fn schema(fields: impl Iterator<Item = (String, &'static str)>) -> Value {
    let fields =
        fields.zip(1_u32..).map(|((name, kind), place)| json!({"name": name, "type": kind, "ordinal_position": place}));
    standard("1-2-0", "SchemaDatasetFacet", json!({"fields": fields.collect::<Vec<_>>()}))
}

fn dataset_type(kind: &str) -> Value {
    standard("1-0-1", "DatasetTypeDatasetFacet", json!({"datasetType": kind}))
}

/// What the file is.
pub(super) fn of_file(fingerprint: Option<&str>, facts: Option<&Facts>) -> Value {
    let mut facets = Map::from_iter([("datasetType".to_owned(), dataset_type("FILE"))]);
    if let Some(fingerprint) = fingerprint {
        let version = standard("1-0-1", "DatasetVersionDatasetFacet", json!({"datasetVersion": fingerprint}));
        facets.insert("version".to_owned(), version);
    }
    if let Some(facts) = facts {
        facets.insert("schema".to_owned(), schema(facts.columns.iter().cloned()));
    }
    Value::Object(facets)
}

/// What the ledger's table is.
pub(super) fn of_table(namespace: &str) -> Value {
    let kind = |kind| match kind {
        ColumnKind::Text => "text",
        ColumnKind::Amount => "numeric",
        ColumnKind::Line => "bigint",
        ColumnKind::Json => "jsonb",
    };
    let of_job = columns::OF_JOB.map(|name| (name.to_owned(), if name == "job_id" { "uuid" } else { "text" }));
    let rows = columns::row_columns().map(|(name, of)| (name.to_owned(), kind(of)));
    let source = json!({"name": namespace, "uri": namespace});
    json!({
        "datasetType": dataset_type("TABLE"),
        "dataSource": standard("1-0-1", "DatasourceDatasetFacet", source),
        "schema": schema(of_job.into_iter().chain(rows)),
    })
}

/// What was read, and how good it was. Amounts are exact texts, so sums stand in the assertions.
pub(super) fn of_input(job: &Job, facts: &Facts) -> Value {
    let mut columns: Map<String, Value> =
        facts.distinct.iter().map(|(name, count)| ((*name).to_owned(), json!({"distinctCount": count}))).collect();
    columns.insert("balance".to_owned(), json!({"nullCount": facts.blank_balances}));
    let metrics = json!({"rowCount": facts.rows, "fileCount": 1, "columnMetrics": columns});
    let statistics = json!({"rowCount": facts.rows, "fileCount": 1});
    let (metrics, statistics) = (with(metrics, "bytes", facts.bytes), with(statistics, "size", facts.bytes));
    json!({
        "dataQualityMetrics": standard("1-0-3", "DataQualityMetricsInputDatasetFacet", metrics),
        "dataQualityAssertions": assertions(held(job, facts)),
        "inputStatistics": standard("1-0-0", "InputStatisticsInputDatasetFacet", statistics),
    })
}

/// How many rows were written.
pub(super) fn of_output(receipt: &Receipt) -> Value {
    let rows = json!({"rowCount": receipt.inserted + receipt.updated});
    json!({"outputStatistics": standard("1-0-2", "OutputStatisticsOutputDatasetFacet", rows)})
}

fn assertions(assertions: Vec<Value>) -> Value {
    standard("1-1-0", "DataQualityAssertionsDatasetFacet", json!({"assertions": assertions}))
}

/// The rules that a file which was loaded has kept, or may break.
fn held(job: &Job, facts: &Facts) -> Vec<Value> {
    let nil = &facts.nil;
    let weight = |is_required: bool| if is_required { "error" } else { "warn" };
    let mut held = vec![
        json!({"assertion": "required_columns", "success": true, "severity": "error"}),
        json!({"assertion": "unique", "success": true, "severity": "error", "column": "account_code"}),
        json!({
            "assertion": "valid_rows", "success": facts.bad_rows == 0, "severity": "warn",
            "expected": "0", "actual": facts.bad_rows.to_string(),
        }),
        json!({
            "assertion": "balanced", "success": nil.balanced, "severity": weight(job.require_balanced),
            "column": "balance", "expected": format!("0, within {}", nil.tolerance), "actual": nil.sum.to_string(),
        }),
    ];
    if let Some(rows) = job.control.rows {
        held.push(json!({
            "assertion": "control_rows", "success": true, "severity": "error", "expected": rows.to_string(),
        }));
    }
    if let Some(sum) = job.control.balance_sum {
        held.push(json!({
            "assertion": "control_balance_sum", "success": true, "severity": "error", "column": "balance",
            "expected": sum.to_string(), "actual": facts.balance_sum.to_string(),
        }));
    }
    held
}

/// The rule that a file has broken, if it failed by one.
pub(super) fn of_broken_input(failure: &Failure) -> Option<Value> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other codes are not about what the file holds")]
    let assertion = match failure.code {
        ErrorCode::SchemaInvalid => "required_columns",
        ErrorCode::DuplicateKey => "unique",
        ErrorCode::RowInvalid => "valid_rows",
        ErrorCode::OutOfBalance => "balanced",
        ErrorCode::ControlTotalMismatch => "control",
        _ => return None,
    };
    let broken = assertions(vec![json!({"assertion": assertion, "success": false, "severity": "error"})]);
    Some(json!({"dataQualityAssertions": broken}))
}
