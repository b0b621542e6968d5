//! One slice: its ledger, its runs, its audit chain, its metadata and its cache file.

use std::{collections::BTreeSet, ops::AddAssign, time::Duration};

use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::stores::postgres::PostgresError;
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

use super::{
    finding::{CHAIN, Code, Findings, Name},
    ledger, overdue, runs,
    snapshot::{Snapshot, cache_waits, current},
    stores::{StoreError, Stores},
    trail,
};

/// How long after something was found it is looked at once again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What is found about a slice's cache file.
const FILE: [Code; 6] = [
    Code::ParquetMissing,
    Code::ParquetStale,
    Code::ParquetWrong,
    Code::ParquetUnreadable,
    Code::ParquetDisputed,
    Code::ParquetUnknown,
];

/// How much was looked at.
#[derive(Debug, Default, Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "Verified")]
pub(crate) struct Checked {
    pub(crate) slices: u64,
    pub(crate) rows: u64,
    pub(crate) runs: u64,
    pub(crate) audit_events: u64,
    pub(crate) metadata: u64,
    pub(crate) parquet_files: u64,
    pub(crate) dead_letters: u64,
}

impl AddAssign for Checked {
    fn add_assign(&mut self, other: Self) {
        self.slices += other.slices;
        self.rows += other.rows;
        self.runs += other.runs;
        self.audit_events += other.audit_events;
        self.metadata += other.metadata;
        self.parquet_files += other.parquet_files;
        self.dead_letters += other.dead_letters;
    }
}

/// What was seen of a slice.
pub(super) struct Seen {
    pub(super) checked: Checked,
    pub(super) findings: Findings,
    /// Jobs whose runs retention took away.
    pub(super) pruned: BTreeSet<Uuid>,
}

/// Looks at a slice, and once again before anything is said against it.
pub(super) async fn check(stores: &Stores<'_>, name: &Name) -> Result<Seen, StoreError> {
    let seen = look(stores, name).await?;
    if seen.findings.list.is_empty() {
        return Ok(seen);
    }
    tokio::time::sleep(RETRY_DELAY).await;
    look(stores, name).await
}

/// PostgreSQL is read first, at one moment, and MongoDB after it: what leaves the outbox meanwhile has
/// reached MongoDB before.
async fn look(stores: &Stores<'_>, name: &Name) -> Result<Seen, StoreError> {
    let mut findings = Findings::about(name);
    let slice = name.slice();
    let mut client = stores.pool.get().await.map_err(PostgresError::from)?;
    let moment = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let tx = moment.start().await.map_err(PostgresError::in_("begin to read a slice"))?;
    let mut snapshot = Snapshot::read(&tx, name).await?;
    overdue::check(&tx, &snapshot, stores.settings, &mut findings).await?;
    let totals = ledger::check_rows(&tx, &snapshot, &mut findings).await?;
    let has_file = match &slice {
        Some(slice) => ledger::check_file(&tx, stores, &snapshot, &totals, slice, &mut findings).await?,
        None => false,
    };
    tx.commit().await.map_err(PostgresError::in_("end reading a slice"))?;
    drop(client);
    if findings.has(&FILE) && has_moved_on(&stores.pool, name, &snapshot).await? {
        findings.list.retain(|finding| !FILE.contains(&finding.code));
    }
    let audit_events = trail::check(stores, name, &mut snapshot, &mut findings).await?;
    runs::check(&snapshot, !findings.has(&CHAIN), &mut findings);
    let metadata = runs::check_metadata(stores, &snapshot, &mut findings).await?;
    let checked = Checked {
        slices: u64::from(slice.is_some()),
        rows: u64::try_from(totals.rows).unwrap_or(0),
        runs: snapshot.runs.len() as u64,
        audit_events,
        metadata,
        parquet_files: u64::from(has_file),
        dead_letters: 0,
    };
    Ok(Seen { checked, findings, pruned: snapshot.events.pruned })
}

/// Whether a job has committed since PostgreSQL was read, so that the file may be that job's.
async fn has_moved_on(pool: &Pool, name: &Name, snapshot: &Snapshot) -> Result<bool, PostgresError> {
    let client = pool.get().await?;
    Ok(cache_waits(&client, name).await? || current(&client, name).await? != snapshot.current)
}
