//! The ledger: a slice's rows go into `gl_accounts`, within the transaction of the job.
//!
//! A slice without rows is copied directly into the table. Any other goes through the connection's
//! staging table, and what differs is merged. The key itself finds repeated keys on the straight
//! path; the staging table then tells their lines.

mod copy_in;
mod statements;

use std::sync::Arc;

use deadpool_postgres::{GenericClient, Transaction};
use futures_util::SinkExt;
use shared::{
    file::{
        mapping_profile::{MappingProfile, RepeatedKeys},
        trial_balance::{self, Assumptions, CheckedSlice, Request, Stopped},
    },
    message::{
        failure::{BadRow, ErrorCode, Failure, LISTED_ROWS, Stage},
        job::{Job, Mode},
    },
    stores::postgres::PostgresError,
};
use tokio::sync::mpsc;

use crate::{
    interruption::{Interrupted, is_exhaustion},
    ledger::{
        copy_in::{JOB_COLUMNS, REJECTED_COLUMNS, Rejected, RowCopy},
        statements::{INSERT, OVERFLOWN, ROW, SUM, WrittenColumns},
    },
    services::JobLimits,
    source::Loaded,
};

pub(crate) use statements::SESSION;

const DUPLICATES: &str = include_str!("ledger/duplicates.sql");
const COLLAPSE: &str = include_str!("ledger/collapse.sql");
const CHANGES: &str = include_str!("ledger/changes.sql");
const DELETE: &str = include_str!("ledger/delete.sql");
const ABSENT: &str = include_str!("ledger/absent.sql");
const FORGET_ABSENT: &str = "DELETE FROM gl_absent_accounts WHERE entity = $1 AND period = $2";
const TOTALS: &str =
    "SELECT count(*), coalesce(sum(balance), 0)::text FROM gl_accounts WHERE entity = $1 AND period = $2";
const EXISTS: &str = "SELECT EXISTS (SELECT FROM gl_accounts WHERE entity = $1 AND period = $2)";

/// Rows past which the staging table's statistics are worth their time.
const ANALYSED: u64 = 5_000;
/// Chunks of rows that wait between the parser and PostgreSQL.
const CHUNKS: usize = 4;

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

/// Where the rows of one reading go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LoadPath {
    Direct,
    Staged,
}

enum CopyStopped {
    Interrupted(Interrupted),
    Again(Assumptions),
    RepeatedKey,
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
pub(crate) async fn apply(
    tx: &Transaction<'_>,
    job: &Job,
    mode: Mode,
    profile: &Arc<MappingProfile>,
    loaded: &Loaded,
    limits: &JobLimits,
) -> Result<(CheckedSlice, Applied), Interrupted> {
    let slice = [job.slice.entity.as_str(), job.slice.period.as_str()];
    let exists = query_one(tx, EXISTS, &slice).await?;
    let adds_up = profile.repeated_keys != RepeatedKeys::Refuse;
    let mut path = if adds_up || exists.get(0) { LoadPath::Staged } else { LoadPath::Direct };
    let mut assumptions = Assumptions::default();
    loop {
        match copy(tx, job, profile, (path, assumptions), loaded, limits).await {
            Ok((checked, rejected)) => {
                let applied = match path {
                    LoadPath::Direct => direct(tx, &slice, &checked).await?,
                    LoadPath::Staged => {
                        let rows = collapse_repeated_keys(tx, profile.repeated_keys, checked.rows).await?;
                        merge(tx, job, &slice, mode, &checked, rows).await?
                    }
                };
                write_rejected(tx, rejected).await?;
                return Ok((checked, applied));
            }
            Err(CopyStopped::Interrupted(interrupted)) => return Err(interrupted),
            Err(CopyStopped::Again(others)) => assumptions = others,
            Err(CopyStopped::RepeatedKey) => path = LoadPath::Staged,
        }
        roll_back(tx).await?;
    }
}

/// Parses on a thread of its own while PostgreSQL takes in what was parsed.
async fn copy(
    tx: &Transaction<'_>,
    job: &Job,
    profile: &Arc<MappingProfile>,
    (path, assumptions): (LoadPath, Assumptions),
    loaded: &Loaded,
    limits: &JobLimits,
) -> Result<(CheckedSlice, Rejected), CopyStopped> {
    let statement = match path {
        LoadPath::Direct => format!("COPY gl_accounts ({JOB_COLUMNS}, {}) FROM STDIN (FORMAT binary)", *ROW),
        LoadPath::Staged => format!("COPY aura_staging ({}) FROM STDIN (FORMAT binary)", *ROW),
    };
    let (sender, mut chunks) = mpsc::channel(CHUNKS);
    let mut rows = RowCopy::new(&job.slice, job.job_id, path == LoadPath::Direct, sender);
    let (job, profile, loaded, limits) = (job.clone(), Arc::clone(profile), loaded.clone(), *limits);
    let parsing = tokio::task::spawn_blocking(move || {
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
        let checked = loaded.read_with(|input| trial_balance::read(input, &request, assumptions, &mut rows))?;
        Ok::<_, Stopped>((checked, rows.finish()?))
    });
    let sent: Result<_, PostgresError> = async {
        let statement = tx.prepare_cached(&statement).await.map_err(PostgresError::in_("prepare a copy"))?;
        let sink = tx.copy_in(&statement).await.map_err(PostgresError::in_("begin a copy"))?;
        let mut sink = Box::pin(sink);
        while let Some(chunk) = chunks.recv().await {
            sink.send(chunk).await.map_err(PostgresError::in_("copy rows"))?;
        }
        Ok(sink)
    }
    .await;
    drop(chunks);
    let parsed = parsing.await.unwrap_or_else(|panic| {
        let reason = format!("reading the file broke off: {panic}");
        Err(Failure::new(ErrorCode::CrashSuspect, Stage::Parse, reason).into())
    });
    let mut sink = match sent {
        Ok(sink) => sink,
        Err(error) => return Err(stopped(path, error)),
    };
    match parsed {
        Ok(read) => {
            sink.as_mut().finish().await.map_err(|source| stopped(path, PostgresError::in_("copy rows")(source)))?;
            Ok(read)
        }
        // The sink is dropped, which breaks the copy off.
        Err(Stopped::Again(others)) => Err(CopyStopped::Again(others)),
        Err(Stopped::Failed(failure)) => Err(CopyStopped::Interrupted(Interrupted::Failed(failure))),
    }
}

fn stopped(path: LoadPath, error: PostgresError) -> CopyStopped {
    if path == LoadPath::Direct && error.is_unique_violation() {
        CopyStopped::RepeatedKey
    } else {
        CopyStopped::Interrupted(Interrupted::Postgres(error))
    }
}

async fn direct(tx: &Transaction<'_>, slice: &[&str; 2], checked: &CheckedSlice) -> Result<Applied, PostgresError> {
    execute(tx, FORGET_ABSENT, &[&slice[0], &slice[1]]).await?;
    Ok(Applied {
        inserted: checked.rows,
        slice_rows: checked.rows as i64,
        slice_sum: checked.balance_sum.to_string(),
        ..Applied::default()
    })
}

/// Makes one row of those that have the same key, as the profile says, and tells how many rows there are.
async fn collapse_repeated_keys(tx: &Transaction<'_>, repeated: RepeatedKeys, rows: u64) -> Result<u64, Interrupted> {
    // PostgreSQL has no statistics of rows that a job has just written: it expects one row and would
    // go through the staging table once for each that it finds.
    let plan = tx.batch_execute("SET LOCAL enable_nestloop = off").await;
    plan.map_err(PostgresError::in_("choose a plan"))?;
    if rows > ANALYSED {
        tx.batch_execute("ANALYZE aura_staging").await.map_err(PostgresError::in_("analyse rows"))?;
    }
    let gone = match repeated {
        RepeatedKeys::Refuse => 0,
        RepeatedKeys::Last => execute(tx, COLLAPSE, &[&false]).await?,
        RepeatedKeys::Sum => {
            execute(tx, &SUM, &[]).await?;
            execute(tx, COLLAPSE, &[&true]).await?
        }
    };
    if repeated == RepeatedKeys::Sum {
        let overflown = tx.query_one(OVERFLOWN.as_str(), &[]).await.map_err(PostgresError::in_("look at sums"))?;
        if let Some(line) = overflown.get::<_, Option<i64>>(0) {
            let reason = format!("the rows of the account on line {line} add up to more than 18 integer digits");
            return Err(Failure::new(ErrorCode::RowInvalid, Stage::Write, reason).into());
        }
    }
    Ok(rows - gone)
}

async fn merge(
    tx: &Transaction<'_>,
    job: &Job,
    slice: &[&str; 2],
    mode: Mode,
    checked: &CheckedSlice,
    rows: u64,
) -> Result<Applied, Interrupted> {
    let duplicates = tx.prepare_cached(DUPLICATES).await.map_err(PostgresError::in_("prepare repeated keys"))?;
    let repeated = tx.query(&duplicates, &[]).await.map_err(PostgresError::in_("find repeated keys"))?;
    if let Some(first) = repeated.first() {
        let lines: Vec<Vec<i64>> = repeated.iter().map(|row| row.get(0)).collect();
        let (keys, rows): (i64, i64) = (first.get(1), first.get(2));
        return Err(repeated_keys(&lines, first.get(3), keys, rows).into());
    }
    let replace = mode == Mode::Replace;
    let update = WrittenColumns::of(&checked.columns, replace).update();
    let (entity, period) = (&slice[0], &slice[1]);
    let applied = async {
        execute(tx, FORGET_ABSENT, &[entity, period]).await?;
        execute(tx, CHANGES, &[entity, period, &job.job_id]).await?;
        let updated = execute(tx, &update, &[entity, period, &job.job_id]).await?;
        let (deleted, absent) = if replace {
            (execute(tx, DELETE, &[entity, period, &job.job_id]).await?, 0)
        } else {
            (0, execute(tx, ABSENT, &[entity, period, &job.job_id]).await?)
        };
        let inserted = execute(tx, &INSERT, &[entity, period, &job.job_id]).await?;
        let totals = query_one(tx, TOTALS, slice).await?;
        Ok::<_, PostgresError>(Applied {
            inserted,
            updated,
            unchanged: rows - inserted - updated,
            deleted,
            absent,
            slice_rows: totals.get(0),
            slice_sum: trimmed(totals.get(1)),
        })
    };
    Ok(applied.await?)
}

/// The failure of rows that have the same key; `account` is the first one's.
fn repeated_keys(lines: &[Vec<i64>], account: &str, total: i64, rows: i64) -> Failure {
    let shown: Vec<_> = lines.iter().take(1).flatten().take(10).map(ToString::to_string).collect();
    let lines_of_first = shown.join(" and ");
    let same = format!("account {account} stands on lines {lines_of_first}");
    let message = match total {
        1 => format!("{same}, {rows} rows of the same company_code and account_code"),
        _ => format!("{rows} rows share {total} keys of company_code and account_code; {same}"),
    };
    let message =
        format!("{message}; repeated_keys of the mapping profile says whether they are added up, or the last counts");
    let mut failure = Failure::new(ErrorCode::DuplicateKey, Stage::Write, message);
    for same in lines {
        for line in same {
            let others: Vec<_> = same.iter().filter(|other| *other != line).take(10).map(ToString::to_string).collect();
            failure.rows.push(BadRow {
                line: line.unsigned_abs(),
                column: Some("account_code".to_owned()),
                reason: format!("has the same company_code and account_code as line {}", others.join(", ")),
            });
        }
    }
    failure.rows_total = rows.unsigned_abs();
    failure.rows.truncate(LISTED_ROWS);
    failure
}

async fn write_rejected(tx: &Transaction<'_>, rejected: Rejected) -> Result<(), Interrupted> {
    if rejected.count == 0 {
        return Ok(());
    }
    let mut spool = rejected.into_stream().map_err(not_read_back)?;
    let statement = format!("COPY gl_rejected_rows ({REJECTED_COLUMNS}) FROM STDIN (FORMAT binary)");
    let sink = tx.copy_in(&statement).await.map_err(PostgresError::in_("begin a copy"))?;
    let mut sink = std::pin::pin!(sink);
    loop {
        let mut chunk = vec![0; 256 * 1024];
        let count = std::io::Read::read(&mut spool, &mut chunk).map_err(not_read_back)?;
        if count == 0 {
            break;
        }
        chunk.truncate(count);
        sink.send(bytes::Bytes::from(chunk)).await.map_err(PostgresError::in_("copy rejected rows"))?;
    }
    sink.finish().await.map_err(PostgresError::in_("copy rejected rows"))?;
    Ok(())
}

/// What it means that the temporary file of rejected rows cannot be read: this worker's disk fails, not PostgreSQL.
fn not_read_back(error: std::io::Error) -> Interrupted {
    if is_exhaustion(&error) {
        return Interrupted::Exhausted(error.to_string());
    }
    let reason = format!("the temporary file of rejected rows cannot be read back: {error}");
    Failure::new(ErrorCode::StorageUnavailable, Stage::Write, reason).into()
}

/// A `numeric` as text without the zeros that a sum may carry behind its point.
fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

async fn execute(
    tx: &Transaction<'_>,
    statement: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<u64, PostgresError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_that_cannot_be_read_back_is_a_failure_of_the_storage_and_not_of_postgresql() {
        let interrupted = not_read_back(std::io::Error::other("disk error"));
        let Interrupted::Failed(failure) = interrupted else { panic!("{interrupted:?}") };
        assert_eq!((failure.code, failure.stage), (ErrorCode::StorageUnavailable, Stage::Write));
        assert!(failure.message.ends_with("cannot be read back: disk error"), "{failure}");
        let full = not_read_back(std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        assert!(matches!(full, Interrupted::Exhausted(_)), "{full:?}");
    }
}
