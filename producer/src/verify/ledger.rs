//! The ledger of one slice against its runs, and the cache file against the ledger.

use std::pin::pin;

use deadpool_postgres::{GenericClient, Transaction};
use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    slice::Slice,
    stores::{cache, postgres::PostgresError},
};

use super::{
    cache_file::{CacheFile, Unreadable},
    difference::Difference,
    finding::{Code, Findings},
    part::Part,
    row::{compared, raw_cells},
    snapshot::{Current, Snapshot},
    stores::{StoreError, Stores, query},
};

const TOTALS: &str = include_str!("totals.sql");
const ROWS: &str = include_str!("rows.sql");

/// What the ledger holds of a slice.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Totals {
    pub(crate) rows: i64,
    /// A decimal.
    pub(crate) sum: String,
    /// Accounts that the newest export lacked and left standing.
    pub(crate) absent: i64,
    #[serde(skip)]
    present_sum: String,
    /// Rows of no run that loaded the slice.
    pub(crate) of_no_run: i64,
}

/// Adds up what the ledger holds of a slice.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn totals(client: &impl GenericClient, entity: &str, period: &str) -> Result<Totals, PostgresError> {
    let rows = query(client, "sum up a slice", TOTALS, &[&entity, &period]).await?;
    let totals = &rows[0];
    Ok(Totals {
        rows: totals.get("rows"),
        sum: totals.get("sum"),
        absent: totals.get("absent"),
        present_sum: totals.get("present_sum"),
        of_no_run: totals.get("of_no_run"),
    })
}

/// Reads the totals of the slice and holds them against its runs.
pub(super) async fn check_rows(
    tx: &Transaction<'_>,
    snapshot: &Snapshot,
    findings: &mut Findings,
) -> Result<Totals, PostgresError> {
    let name = findings.name.clone();
    let totals = totals(tx, &name.entity, &name.period).await?;
    let Some(current) = &snapshot.current else {
        if totals.rows > 0 {
            let detail = format!("{} rows stand in gl_accounts, and no run has loaded the slice", totals.rows);
            findings.add(Code::RowsOfNoRun, detail);
        }
        return Ok(totals);
    };
    if totals.of_no_run > 0 {
        let detail = format!("{} of {} rows are of no run that loaded the slice", totals.of_no_run, totals.rows);
        findings.add(Code::RowsOfNoRun, detail);
    }
    let Some(run) = snapshot.runs.get(&current.job_id).filter(|run| run.status == "success") else {
        let detail = "the slice's rows are of this job, and PostgreSQL has no successful run of it".to_owned();
        findings.add_of(Code::RunMissing, Some(current.job_id), detail);
        return Ok(totals);
    };
    let mut wrong = Vec::new();
    if run.slice_rows != Some(totals.rows) {
        wrong.push(format!("{} rows where the run left {}", totals.rows, or_none(run.slice_rows)));
    }
    if run.slice_sum.as_ref() != Some(&totals.sum) {
        wrong.push(format!("a sum of {} where the run left {}", totals.sum, or_none(run.slice_sum.as_ref())));
    }
    if run.absent != totals.absent {
        wrong.push(format!("{} absent accounts where the run left {}", totals.absent, run.absent));
    }
    if !wrong.is_empty() {
        findings.add_of(Code::RowsChanged, Some(current.job_id), format!("gl_accounts has {}", wrong.join(", ")));
    }
    Ok(totals)
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// Compares the slice's cache file with the ledger; returns whether one was read.
pub(super) async fn check_file(
    tx: &Transaction<'_>,
    stores: &Stores<'_>,
    snapshot: &Snapshot,
    totals: &Totals,
    slice: &Slice,
    findings: &mut Findings,
) -> Result<bool, StoreError> {
    if snapshot.cache_waits {
        return Ok(false);
    }
    let file = CacheFile::open(&stores.cache, slice).await?;
    let (file, current) = match (file, &snapshot.current) {
        (Ok(None), None) => return Ok(false),
        (Ok(None), Some(current)) => {
            findings.add_of(Code::ParquetMissing, Some(current.job_id), "the slice has no Parquet file");
            return Ok(false);
        }
        (Ok(Some(_)) | Err(_), None) => {
            findings.add(Code::ParquetUnknown, "there is a Parquet file, and no run has loaded the slice");
            return Ok(true);
        }
        (Err(Unreadable(reason)), Some(current)) => {
            let detail = format!("the Parquet file cannot be read: {reason}");
            findings.add_of(Code::ParquetUnreadable, Some(current.job_id), detail);
            return Ok(true);
        }
        (Ok(Some(file)), Some(current)) => (file, current),
    };
    if let Some((code, detail)) = labelled(&file, slice, current) {
        findings.add_of(code, Some(current.job_id), detail);
        return Ok(true);
    }
    match compare(tx, slice, file).await? {
        Err(Unreadable(reason)) => {
            let detail = format!("the Parquet file cannot be read: {reason}");
            findings.add_of(Code::ParquetUnreadable, Some(current.job_id), detail);
        }
        Ok(difference) => {
            if let Some((code, detail)) = difference.judged(&totals.present_sum) {
                findings.add_of(code, Some(current.job_id), detail);
            }
        }
    }
    Ok(true)
}

/// What is wrong with a file for what it says of itself.
fn labelled(file: &CacheFile, slice: &Slice, current: &Current) -> Option<(Code, String)> {
    let label = |name: &str| file.labels.get(name).map_or("none", String::as_str);
    let (entity, period) = (label(cache::ENTITY), label(cache::PERIOD));
    if (entity, period) != (slice.entity.as_str(), slice.period.as_str()) {
        return Some((Code::ParquetWrong, format!("the Parquet file is that of {entity} {period}")));
    }
    let job = label(cache::JOB_ID);
    if job != current.job_id.to_string() {
        return Some((Code::ParquetStale, format!("the Parquet file is of job {job}, the slice of a newer one")));
    }
    (label(cache::FINGERPRINT) != current.fingerprint)
        .then(|| (Code::ParquetStale, "the Parquet file is of the slice's job, and of another export".to_owned()))
}

/// Compares a file part by part; all rows of the ledger pass by each, seen at the one moment of the transaction.
async fn compare(
    tx: &Transaction<'_>,
    slice: &Slice,
    mut file: CacheFile,
) -> Result<Result<Difference, Unreadable>, PostgresError> {
    let failed = || PostgresError::in_("read the rows of a slice");
    let names: Vec<&str> = compared().map(|(name, _)| name).collect();
    let statement = tx.prepare_cached(&ROWS.replace("{columns}", &names.join(", "))).await.map_err(failed())?;
    let key = [slice.entity.as_str(), slice.period.as_str()];
    let mut difference = Difference::begin();
    loop {
        let part = match next_part(&mut file, &mut difference).await {
            Ok(part) => part,
            Err(unreadable) => return Ok(Err(unreadable)),
        };
        let mut rows = pin!(tx.query_raw(&statement, key).await.map_err(failed())?);
        let mut place = 0;
        while let Some(row) = rows.try_next().await.map_err(failed())? {
            difference.compare(place, &raw_cells(&row), &part);
            place += 1;
        }
        if !part.is_full() {
            return Ok(Ok(difference));
        }
    }
}

/// As many of a file's next rows as are held at a time; fewer only at its end.
async fn next_part(file: &mut CacheFile, difference: &mut Difference) -> Result<Part, Unreadable> {
    let mut part = Part::default();
    while !part.is_full()
        && let Some(batch) = file.next().await?
    {
        difference.count(&batch)?;
        part.push(batch);
    }
    Ok(part)
}
