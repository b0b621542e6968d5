//! `gl_metadata`: what PostgreSQL holds as JSON becomes a document with decimals and dates.

use std::collections::BTreeSet;

use bson::{Bson, Decimal128, Document};
use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use serde_json::{Value, json};
use shared::{
    amount::Amount,
    stores::{
        mongo::{Mongo, insert},
        postgres::{PostgresError, transaction},
        storable::Storable,
    },
};
use uuid::Uuid;

use super::{
    progress::{Progress, SinkError},
    sink::{Resources, Sink, Success, Task, Work},
    statements::{execute, read},
    wake::Wake,
};
use crate::run::durable;

/// `gl_metadata`, as the list of sinks has it.
pub(super) const SINK: Sink = Sink {
    name: "gl_metadata",
    enqueue: |tx, success| Box::pin(enqueue(tx, success)),
    at_once: None,
    tasks: |resources| vec![Box::new(Delivering { resources: resources.clone(), unusable: BTreeSet::new() })],
    backlog: include_str!("metadata/backlog.sql"),
};

const PUT: &str = "INSERT INTO metadata_outbox (job_id, document) VALUES ($1, $2)";
const TAKE: &str = include_str!("metadata/take.sql");
const DELETE: &str = "DELETE FROM metadata_outbox WHERE job_id = ANY($1)";
/// Documents that are delivered in one transaction.
const DELIVERED: i64 = 200;
/// Digits that a Decimal128 holds.
const DIGITS: usize = 34;

/// Decimals that are amounts, or sums of them.
const EXACT: [&[&str]; 6] = [
    &["data_profile", "balance_stats", "sum"],
    &["data_profile", "balance_stats", "min"],
    &["data_profile", "balance_stats", "max"],
    &["data_profile", "nil_check", "sum"],
    &["data_profile", "nil_check", "tolerance"],
    &["ingestion_result", "balance_sum"],
];
/// Decimals that can have more digits than an amount, since they were divided.
const ROUNDED: [&[&str]; 3] = [
    &["data_profile", "balance_stats", "mean"],
    &["data_profile", "balance_stats", "median"],
    &["data_profile", "balance_stats", "std"],
];
const TIMES: [&[&str]; 2] = [&["created_at"], &["ingestion_result", "finished_at"]];

/// A document cannot become one of `gl_metadata`. The value is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {reason}")]
pub(crate) struct InvalidMetadata {
    path: String,
    reason: &'static str,
}

async fn enqueue(tx: &Transaction<'_>, success: &Success<'_>) -> Result<(), PostgresError> {
    let Success { job, receipt, profile, export, .. } = success;
    let document = Storable::of(&json!({
        "_id": job.job_id,
        "entity": job.slice.entity,
        "period": job.slice.period,
        "file_fingerprint": export.fingerprint,
        "data_profile": profile,
        "ingestion_result": receipt,
        "created_at": receipt.finished_at,
    }));
    execute(tx, PUT, "write metadata", &[&job.job_id, &document]).await.map(|_| ())
}

struct Delivering {
    resources: Resources,
    unusable: BTreeSet<Uuid>,
}

impl Task for Delivering {
    fn what(&self) -> &'static str {
        "delivering metadata to MongoDB"
    }

    fn step(&mut self) -> Work<'_, Result<Progress, SinkError>> {
        Box::pin(async move {
            let Resources { pool, mongo, .. } = &self.resources;
            let step = async { deliver(pool, &mongo.reach().await?, &mut self.unusable).await };
            mongo.note(step.await).await
        })
    }

    fn woken_by(&self) -> Option<&Wake> {
        Some(&self.resources.committed)
    }
}

/// Delivers documents, except those known to be unusable, to which it adds.
///
/// # Errors
/// If PostgreSQL or MongoDB fails.
async fn deliver(pool: &Pool, mongo: &Mongo, unusable: &mut BTreeSet<Uuid>) -> Result<Progress, SinkError> {
    let known: Vec<Uuid> = unusable.iter().copied().collect();
    let known = known.as_slice();
    let (progress, invalid) =
        transaction(pool, "deliver_metadata", |transaction, _| Box::pin(hand_over(pool, transaction, mongo, known)))
            .await?;
    for (job_id, error) in invalid {
        let error = &error as &dyn std::error::Error;
        tracing::error!(%job_id, error, "the metadata of a job cannot be delivered; they stay in metadata_outbox");
        unusable.insert(job_id);
    }
    Ok(progress)
}

async fn hand_over(
    pool: &Pool,
    transaction: &Transaction<'_>,
    mongo: &Mongo,
    known: &[Uuid],
) -> Result<(Progress, Vec<(Uuid, InvalidMetadata)>), SinkError> {
    let (rows, more) = read(transaction, TAKE, "take metadata", &[&known], DELIVERED).await?;
    let (mut taken, mut documents, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let job_id: Uuid = row.get("job_id");
        match document(job_id, row.get("document")) {
            Ok(document) => {
                taken.push(job_id);
                documents.push(document);
            }
            Err(error) => invalid.push((job_id, error)),
        }
    }
    if !documents.is_empty() {
        // What a primary that is lost takes with it must not be known elsewhere.
        durable::settle(pool).await?;
    }
    // A document whose job has one already was delivered by somebody who died before saying so.
    let refused = insert(&mongo.gl_metadata, documents, "take metadata").await?;
    let fault = refused.iter().find_map(|one| one.fault.clone());
    let kept: BTreeSet<usize> = refused.iter().filter(|one| one.fault.is_some()).map(|one| one.index).collect();
    let delivered = taken.iter().enumerate().filter(|(index, _)| !kept.contains(index));
    let delivered: Vec<Uuid> = delivered.map(|(_, job_id)| *job_id).collect();
    execute(transaction, DELETE, "delete delivered metadata", &[&delivered]).await?;
    Ok((Progress { done: delivered.len(), more: more && !delivered.is_empty(), refused: fault }, invalid))
}

fn document(job_id: Uuid, json: Value) -> Result<Document, InvalidMetadata> {
    let invalid = |path: &[&str], reason| InvalidMetadata { path: path.join("."), reason };
    let mut document = bson::serialize_to_document(&json).map_err(|_| invalid(&["document"], "is not an object"))?;
    for path in EXACT {
        convert(&mut document, path, |text| amount(text).ok_or("is not an amount"))?;
    }
    for path in ROUNDED {
        convert(&mut document, path, |text| rounded(text).ok_or("is not a decimal"))?;
    }
    for path in TIMES {
        convert(&mut document, path, |text| time(text).ok_or("is not a time"))?;
    }
    let mut whole = Document::new();
    whole.insert("_id", job_id.to_string());
    whole.extend(document);
    Ok(whole)
}

/// Converts the text at a path. What is null or not there stays so.
fn convert(
    document: &mut Document,
    path: &[&str],
    read: impl Fn(&str) -> Result<Bson, &'static str>,
) -> Result<(), InvalidMetadata> {
    let invalid = |reason| InvalidMetadata { path: path.join("."), reason };
    let [parents @ .., name] = path else { return Ok(()) };
    let mut within = document;
    for parent in parents {
        match within.get_mut(parent) {
            Some(Bson::Document(inner)) => within = inner,
            None | Some(Bson::Null) => return Ok(()),
            Some(_) => return Err(invalid("lies within what is not an object")),
        }
    }
    match within.get_mut(name) {
        None | Some(Bson::Null) => Ok(()),
        Some(value) => {
            let Some(text) = value.as_str() else { return Err(invalid("is not text")) };
            *value = read(text).map_err(invalid)?;
            Ok(())
        }
    }
}

fn amount(text: &str) -> Option<Bson> {
    // Not every Decimal128 is an amount: NaN is one, and 1E5.
    text.parse::<Amount>().ok()?;
    text.parse().ok().map(Bson::Decimal128)
}

fn time(text: &str) -> Option<Bson> {
    let at: DateTime<Utc> = text.parse().ok()?;
    Some(Bson::DateTime(bson::DateTime::from_millis(at.timestamp_millis())))
}

/// The plain decimal with at most 34 significant digits, half away from zero.
fn rounded(text: &str) -> Option<Bson> {
    let (sign, plain) = text.strip_prefix('-').map_or(("", text), |plain| ("-", plain));
    let (integer, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let digits = format!("{integer}{fraction}");
    if integer.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    let exponent = -i64::try_from(fraction.len()).ok()?;
    let (kept, cut) = digits.split_at_checked(DIGITS).unwrap_or((digits, ""));
    let mut coefficient: u128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    coefficient += u128::from(cut.as_bytes().first().is_some_and(|digit| *digit >= b'5'));
    let exponent = exponent + i64::try_from(cut.len()).ok()?;
    // Written with an exponent only where digits were cut.
    let rounded = if cut.is_empty() { text.to_owned() } else { format!("{sign}{coefficient}E{exponent}") };
    rounded.parse::<Decimal128>().ok().map(Bson::Decimal128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(bson: Option<Bson>) -> Option<String> {
        bson.map(|value| value.to_string())
    }

    #[test]
    fn decimals_and_times_change_and_all_else_stays() {
        let job_id = Uuid::nil();
        let json = json!({
            "entity": "ABEX", "created_at": "2022-07-01T06:00:00.120Z",
            "data_profile": {
                "row_count": 501, "columns": ["a.b", "$c"], "null_percentages": {"a.b": 0.5},
                "balance_stats": {"sum": "15883780430.629999993", "mean": "1.5", "median": "-0.25", "min": "-5",
                    "max": "999999999999999999.9999999999999999", "std": null},
                "nil_check": {"sum": "0", "tolerance": "0.05", "balanced": true}
            },
            "ingestion_result": {"status": "success", "balance_sum": "12.50", "finished_at": "2022-07-01T06:00:01Z"}
        });
        let document = document(job_id, json).unwrap();
        assert_eq!(document.get_str("_id").unwrap(), "00000000-0000-0000-0000-000000000000");
        assert_eq!(document.get_datetime("created_at").unwrap().timestamp_millis(), 1_656_655_200_120);
        let profile = document.get_document("data_profile").unwrap();
        assert_eq!(profile.get_i64("row_count").unwrap(), 501);
        assert_eq!(profile.get_document("null_percentages").unwrap().get_f64("a.b").unwrap(), 0.5);
        let stats = profile.get_document("balance_stats").unwrap();
        let text = |name| match stats.get(name) {
            Some(Bson::Decimal128(decimal)) => decimal.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(text("sum"), "15883780430.629999993");
        assert_eq!(text("max"), "999999999999999999.9999999999999999");
        assert_eq!(text("std"), "Some(Null)");
        let result = document.get_document("ingestion_result").unwrap();
        assert!(matches!(result.get("balance_sum"), Some(Bson::Decimal128(_))));
        assert!(result.get_datetime("finished_at").is_ok());
        assert_eq!(result.get_str("status").unwrap(), "success");
    }

    #[test]
    fn what_is_no_decimal_is_named_by_its_path() {
        for bad in [json!("NaN"), json!("1e5"), json!(""), json!("12,5"), json!(1.5), json!({"a": 1})] {
            let error = document(Uuid::nil(), json!({"data_profile": {"nil_check": {"sum": bad}}})).unwrap_err();
            assert!(error.to_string().starts_with("data_profile.nil_check.sum is not "), "{error}");
            assert!(document(Uuid::nil(), json!({"data_profile": {"balance_stats": {"std": bad}}})).is_err());
        }
        let error = document(Uuid::nil(), json!({"data_profile": [1]})).unwrap_err();
        assert_eq!(error.to_string(), "data_profile.balance_stats.sum lies within what is not an object");
    }

    #[test]
    fn only_digits_past_the_34th_are_rounded() {
        let nines = "9".repeat(DIGITS);
        for (given, shown) in [
            ("0", "0"),
            ("-0.000", "-0.000"),
            ("999999999999999999.99999999999999985", "999999999999999999.9999999999999999"),
            ("-123456789012345678.12345678901234565", "-123456789012345678.1234567890123457"),
            ("00.00000000000000000000000000000000000000012", "1.2E-40"),
            (&format!("{nines}5"), "1.000000000000000000000000000000000E+35"),
        ] {
            assert_eq!(decimal(rounded(given)).as_deref(), Some(shown), "{given}");
        }
    }

    proptest! {
        #[test]
        fn what_fits_is_kept_exactly(units in (1 - 10_i128.pow(34))..10_i128.pow(34)) {
            let text = Amount::from_units(units).unwrap().to_string();
            prop_assert_eq!(decimal(rounded(&text)), decimal(amount(&text)));
            let Some(Bson::Decimal128(decimal)) = amount(&text) else { panic!("{text}") };
            prop_assert!(decimal.to_string().contains('E') || decimal.to_string() == text);
        }

        #[test]
        fn reading_never_panics(text in "[-+.0-9eEnaN]{0,60}") {
            let _ = (rounded(&text), amount(&text), time(&text));
        }
    }
}
