//! The ledger of one slice against its runs, and the cache file against the ledger.

use std::{collections::BTreeSet, error::Error, pin::pin};

use deadpool_postgres::Transaction;
use futures_util::{StreamExt, TryStreamExt};
use shared::{
    amount::{SCALE, decimal_text},
    slice::Slice,
    stores::{cache, numeric, postgres::PostgresError},
};
use tokio_postgres::{
    Row,
    types::{FromSql, Type},
};
use uuid::Uuid;

use super::{
    cache_file::{BALANCE, CacheFile, Cell, KEYS, Kind, Unreadable, compared},
    finding::{Code, Findings},
    snapshot::{Current, Snapshot},
    stores::{StoreError, Stores, query},
};

const TOTALS: &str = include_str!("totals.sql");
const ROWS: &str = include_str!("rows.sql");

/// What the ledger holds of a slice.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) rows: i64,
    sum: String,
    absent: i64,
    present_sum: String,
    of_no_run: i64,
}

/// A cell as PostgreSQL sends it.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// How a cache file differs from the ledger.
#[derive(Debug, Default)]
struct Difference {
    ledger_rows: i64,
    file_rows: i64,
    /// None once it is past all bounds.
    file_sum: Option<i128>,
    rows: i64,
    columns: BTreeSet<&'static str>,
    /// The first row that is another account's.
    parted_at: Option<i64>,
}

/// Reads the totals of the slice and holds them against its runs.
pub(super) async fn check_rows(
    tx: &Transaction<'_>,
    snapshot: &Snapshot,
    findings: &mut Findings,
) -> Result<Totals, PostgresError> {
    let name = findings.name.clone();
    let rows = query(tx, "sum up a slice", TOTALS, &[&name.entity, &name.period]).await?;
    let totals = &rows[0];
    let totals = Totals {
        rows: totals.get("rows"),
        sum: totals.get("sum"),
        absent: totals.get("absent"),
        present_sum: totals.get("present_sum"),
        of_no_run: totals.get("of_no_run"),
    };
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
            if let Some((code, detail)) = difference.judged(totals) {
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

async fn compare(
    tx: &Transaction<'_>,
    slice: &Slice,
    mut file: CacheFile,
) -> Result<Result<Difference, Unreadable>, PostgresError> {
    let failed = || PostgresError::in_("read the rows of a slice");
    let names: Vec<&str> = compared().map(|(name, _)| name).collect();
    let statement = tx.prepare_cached(&ROWS.replace("{columns}", &names.join(", "))).await.map_err(failed())?;
    let key = [slice.entity.as_str(), slice.period.as_str()];
    // The file may go on after the ledger has ended, which must then not be asked again.
    let mut rows = pin!(tx.query_raw(&statement, key).await.map_err(failed())?.fuse());
    let mut difference = Difference { file_sum: Some(0), ..Difference::default() };
    loop {
        let row = rows.try_next().await.map_err(failed())?;
        let has_more = match file.advance().await {
            Ok(has_more) => has_more,
            Err(unreadable) => return Ok(Err(unreadable)),
        };
        difference.ledger_rows += i64::from(row.is_some());
        difference.file_rows += i64::from(has_more);
        if has_more {
            let Cell::Amount(balance) = file.cell(BALANCE, Kind::Amount) else {
                return Ok(Err(Unreadable(format!("row {} has no balance", difference.file_rows))));
            };
            difference.file_sum = difference.file_sum.and_then(|sum| sum.checked_add(balance));
        }
        match row {
            Some(row) if has_more => difference.take(&row, &file),
            None if !has_more => return Ok(Ok(difference)),
            Some(_) | None => {}
        }
    }
}

impl Difference {
    /// Compares a row of the ledger with the file's row in the same place.
    fn take(&mut self, row: &Row, file: &CacheFile) {
        if self.parted_at.is_some() {
            return;
        }
        let mut differs = false;
        for (place, (column, kind)) in compared().enumerate() {
            if !is_same(row.get::<_, Option<Raw<'_>>>(place), file.cell(place, kind), kind) {
                differs = true;
                self.columns.insert(column);
                if place < KEYS {
                    self.parted_at = Some(self.ledger_rows);
                    return;
                }
            }
        }
        self.rows += i64::from(differs);
    }

    /// What it comes to. The ledger is what its run left; a file that sums up to the same and still
    /// differs may as well be right.
    fn judged(&self, totals: &Totals) -> Option<(Code, String)> {
        let mut told = Vec::new();
        if self.file_rows != self.ledger_rows {
            told.push(format!("{} rows where the ledger has {}", self.file_rows, self.ledger_rows));
        }
        let sum = self.file_sum.map(|sum| decimal_text(sum, SCALE));
        if sum.as_ref() != Some(&totals.present_sum) {
            told.push(format!("a sum of {} where the ledger has {}", or_none(sum), totals.present_sum));
        }
        let is_disputed = told.is_empty() && self.parted_at.is_none();
        if self.rows > 0 {
            let columns: Vec<&str> = self.columns.iter().copied().collect();
            told.push(format!("{} rows that differ in {}", self.rows, columns.join(", ")));
        }
        if let Some(row) = self.parted_at {
            told.push(format!("other accounts than the ledger from row {row} on"));
        }
        let code = if is_disputed { Code::ParquetDisputed } else { Code::ParquetWrong };
        (!told.is_empty()).then(|| (code, format!("the Parquet file has {}", told.join(", "))))
    }
}

fn is_same(ledger: Option<Raw<'_>>, cached: Cell<'_>, kind: Kind) -> bool {
    let Some(Raw(ledger)) = ledger else { return cached == Cell::Null };
    match (kind, cached) {
        (Kind::Text, Cell::Text(cached)) => ledger == cached.as_bytes(),
        // The binary form of jsonb is its version and its text.
        (Kind::Json, Cell::Text(cached)) => ledger.strip_prefix(&[1]) == Some(cached.as_bytes()),
        (Kind::Uuid, Cell::Text(cached)) => {
            Uuid::from_slice(ledger).is_ok_and(|uuid| cached == uuid.hyphenated().to_string())
        }
        (Kind::Amount, Cell::Amount(cached)) => numeric::read(ledger).is_some_and(|amount| amount.units() == cached),
        (Kind::Integer, Cell::Integer(cached)) => ledger == cached.to_be_bytes(),
        (Kind::Text | Kind::Json | Kind::Uuid | Kind::Amount | Kind::Integer, _) => false,
    }
}
