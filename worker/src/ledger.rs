//! The ledger: a slice's rows go into `gl_accounts`, within the transaction of the job.
//!
//! A slice without rows is copied directly into the table, where the key itself finds repeated keys. One that has rows
//! is read once and compared with the file's, and only what differs is written. What is too large for that, has
//! repeated keys or adds them up goes through the connection's staging table, and what differs is merged there; the
//! staging table also tells the lines of repeated keys.

mod copy_in;
mod copying;
mod rejected;
mod reload;
mod staged;
mod statements;

use std::sync::Arc;

use deadpool_postgres::Transaction;
use futures_util::future::try_join;
use shared::{
    file::{
        mapping_profile::{MappingProfile, RepeatedKeys},
        trial_balance::{self, Assumptions, CheckedSlice, Request, RowSink, Stopped},
    },
    message::{
        failure::{ErrorCode, Failure, Stage},
        job::{Job, Mode},
    },
    stores::{cache::CacheStore, postgres::PostgresError},
};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_postgres::types::ToSql;

pub(crate) use self::statements::SESSION;
use self::{copy_in::Rejected, copying::Target};
use crate::{
    cache::ahead::{Ahead, Writing},
    interruption::Interrupted,
    services::JobLimits,
    source::Loaded,
};

const FORGET_ABSENT: &str = "DELETE FROM gl_absent_accounts WHERE entity = $1 AND period = $2";
/// In the order of the key, so that it is looked up there however few entities there are.
const EXISTS: &str = "SELECT count(*) > 0 FROM (SELECT FROM gl_accounts WHERE entity = $1 AND period = $2 \
                      ORDER BY entity, period, company_code, account_code LIMIT 1) AS row";

/// What is to be loaded, and how.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) job: &'a Job,
    pub(crate) mode: Mode,
    pub(crate) profile: &'a Arc<MappingProfile>,
    pub(crate) loaded: &'a Loaded,
    pub(crate) limits: &'a JobLimits,
    /// Whether the ledger has rows of the slice.
    pub(crate) has_rows: bool,
    /// Where the slice's cache file may be written ahead, if it may.
    pub(crate) cache: Option<&'a CacheStore>,
}

/// What a job changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) deleted: u64,
    pub(crate) absent: u64,
    /// Rows of the whole slice afterwards.
    pub(crate) slice_rows: i64,
    /// The sum of their balances, a decimal.
    pub(crate) slice_sum: String,
}

/// A slice whose rows the ledger holds once the job commits.
pub(crate) struct Taken {
    pub(crate) checked: CheckedSlice,
    pub(crate) applied: Applied,
    /// The slice's cache file, if it could be written ahead.
    pub(crate) ahead: Option<Ahead>,
    /// Bad rows that are not written down yet.
    rejected: Option<Rejected>,
}

/// How the rows of one reading are taken in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LoadPath {
    /// Into a slice that has no rows.
    Direct,
    /// Into one that has some.
    Reload,
    /// Into any, by way of the staging table.
    Staged,
}

/// Why rows were not taken in.
enum Broken {
    Interrupted(Interrupted),
    /// The file is to be read again with other assumptions.
    Again(Assumptions),
    /// This needs the staging table.
    NeedsStaging,
}

impl From<PostgresError> for Broken {
    fn from(error: PostgresError) -> Self {
        Self::Interrupted(error.into())
    }
}

impl From<Interrupted> for Broken {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl From<Stopped> for Broken {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Again(others) => Self::Again(others),
            Stopped::Failed(failure) => Self::Interrupted(Interrupted::Failed(failure)),
        }
    }
}

impl<'a> Load<'a> {
    fn slice(&self) -> [&'a str; 2] {
        [self.job.slice.entity.as_str(), self.job.slice.period.as_str()]
    }

    /// The cache file, to be written ahead.
    fn begin_cache_file(&self) -> Option<Writing> {
        let (job, fingerprint) = (self.job, self.loaded.fingerprint.to_string());
        Some(Writing::begin(self.cache?, &job.slice, job.job_id, fingerprint))
    }

    /// Parses on a thread of its own, and lets the sink end where that succeeds.
    fn parse<S: RowSink + Send + 'static, T: Send + 'static>(
        &self,
        assumptions: Assumptions,
        mut sink: S,
        end: impl FnOnce(S) -> Result<T, Failure> + Send + 'static,
    ) -> JoinHandle<Result<(CheckedSlice, T), Stopped>> {
        let (job, profile) = (self.job.clone(), Arc::clone(self.profile));
        let (loaded, limits) = (self.loaded.clone(), *self.limits);
        spawn_blocking(move || {
            let request = Request {
                slice: &job.slice,
                profile: &profile,
                on_error: job.on_error,
                max_rejected: limits.max_rejected,
                limits: limits.file,
                control: job.control,
                require_balanced: job.require_balanced,
                nil_tolerance: limits.nil_tolerance,
            };
            let checked = loaded.read_with(|input| trial_balance::read(input, &request, assumptions, &mut sink))?;
            Ok((checked, end(sink)?))
        })
    }
}

/// What a thread that parses came to.
async fn parsed<T>(parsing: JoinHandle<Result<(CheckedSlice, T), Stopped>>) -> Result<(CheckedSlice, T), Stopped> {
    parsing.await.unwrap_or_else(|panic| {
        let reason = format!("reading the file broke off: {panic}");
        Err(Failure::new(ErrorCode::CrashSuspect, Stage::Parse, reason).into())
    })
}

/// Whether the ledger has rows of a job's slice.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn has_rows(tx: &Transaction<'_>, job: &Job) -> Result<bool, PostgresError> {
    let slice = [job.slice.entity.as_str(), job.slice.period.as_str()];
    Ok(query_one(tx, EXISTS, &slice).await?.get(0))
}

/// Notes where [`roll_back`] leads. One savepoint serves all readings of a job: each nested one would take a
/// transaction id of its own.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn set_savepoint(tx: &Transaction<'_>) -> Result<(), PostgresError> {
    tx.batch_execute("SAVEPOINT rows").await.map_err(PostgresError::in_("set a savepoint"))
}

/// Takes back everything since [`set_savepoint`].
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn roll_back(tx: &Transaction<'_>) -> Result<(), PostgresError> {
    tx.batch_execute("ROLLBACK TO SAVEPOINT rows").await.map_err(PostgresError::in_("roll back"))
}

/// Reads the slice out of the file and makes the ledger hold it. The savepoint is set.
///
/// # Errors
/// The job's failure, or PostgreSQL's.
pub(crate) async fn apply(tx: &Transaction<'_>, load: Load<'_>) -> Result<Taken, Interrupted> {
    let mut path = match load.has_rows {
        _ if load.profile.repeated_keys != RepeatedKeys::Refuse => LoadPath::Staged,
        true => LoadPath::Reload,
        false => LoadPath::Direct,
    };
    let mut assumptions = Assumptions::default();
    loop {
        match take(tx, &load, path, assumptions).await {
            Ok(mut taken) => {
                rejected::write(tx, taken.rejected.take()).await?;
                return Ok(taken);
            }
            Err(Broken::Interrupted(interrupted)) => return Err(interrupted),
            Err(Broken::Again(others)) => assumptions = others,
            Err(Broken::NeedsStaging) => path = LoadPath::Staged,
        }
        roll_back(tx).await?;
    }
}

async fn take(
    tx: &Transaction<'_>,
    load: &Load<'_>,
    path: LoadPath,
    assumptions: Assumptions,
) -> Result<Taken, Broken> {
    match path {
        LoadPath::Reload => reload::reload(tx, load, assumptions).await,
        LoadPath::Direct => {
            let [entity, period] = load.slice();
            let slice: [&(dyn ToSql + Sync); 2] = [&entity, &period];
            let forgotten = async { execute(tx, FORGET_ABSENT, &slice).await.map_err(Broken::from) };
            let copying = copying::copy(tx, load, Target::Ledger(load.begin_cache_file()), assumptions);
            let (_, copied) = try_join(forgotten, copying).await?;
            let applied = Applied {
                inserted: copied.checked.rows,
                slice_rows: copied.checked.rows as i64,
                slice_sum: copied.checked.balance_sum.to_string(),
                ..Applied::default()
            };
            Ok(Taken { checked: copied.checked, applied, ahead: copied.ahead, rejected: Some(copied.rejected) })
        }
        LoadPath::Staged => {
            let copied = copying::copy(tx, load, Target::Staging, assumptions).await?;
            let applied = staged::merge(tx, load, &copied.checked).await?;
            Ok(Taken { checked: copied.checked, applied, ahead: None, rejected: Some(copied.rejected) })
        }
    }
}

async fn execute(tx: &Transaction<'_>, statement: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PostgresError> {
    let prepared = tx.prepare_cached(statement).await.map_err(PostgresError::in_("prepare a merge"))?;
    tx.execute(&prepared, params).await.map_err(PostgresError::in_("merge rows"))
}

async fn query_one(
    tx: &Transaction<'_>,
    statement: &str,
    slice: &[&str; 2],
) -> Result<tokio_postgres::Row, PostgresError> {
    let prepared = tx.prepare_cached(statement).await.map_err(PostgresError::in_("prepare a look-up"))?;
    tx.query_one(&prepared, &[&slice[0], &slice[1]]).await.map_err(PostgresError::in_("look the slice up"))
}
