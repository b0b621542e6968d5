//! Rows that came into the staging table: one of those that have the same key is made, and what differs from the
//! ledger is merged into it.

use deadpool_postgres::{GenericClient, Transaction};
use shared::{
    file::{mapping_profile::RepeatedKeys, trial_balance::CheckedSlice},
    message::{
        failure::{BadRow, ErrorCode, Failure, LISTED_ROWS, Stage},
        job::Mode,
    },
    stores::postgres::PostgresError,
};

use super::{
    Applied, FORGET_ABSENT, Load, execute, query_one,
    statements::{INSERT, OVERFLOWN, SUM, WrittenColumns},
};
use crate::interruption::Interrupted;

const DUPLICATES: &str = include_str!("staged/duplicates.sql");
const COLLAPSE: &str = include_str!("staged/collapse.sql");
const CHANGES: &str = include_str!("staged/changes.sql");
const INSERTED: &str = include_str!("staged/inserted.sql");
const DELETE: &str = include_str!("staged/delete.sql");
const ABSENT: &str = include_str!("staged/absent.sql");
const TOTALS: &str =
    "SELECT count(*), coalesce(sum(balance), 0)::text FROM gl_accounts WHERE entity = $1 AND period = $2";

/// Rows past which the staging table's statistics are worth their time.
const ANALYSED: u64 = 5_000;

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

/// Merges the staging table's rows into the ledger.
///
/// # Errors
/// `duplicate_key`, or PostgreSQL's.
pub(super) async fn merge(
    tx: &Transaction<'_>,
    load: &Load<'_>,
    checked: &CheckedSlice,
) -> Result<Applied, Interrupted> {
    let rows = collapse_repeated_keys(tx, load.profile.repeated_keys, checked.rows).await?;
    let duplicates = tx.prepare_cached(DUPLICATES).await.map_err(PostgresError::in_("prepare repeated keys"))?;
    let repeated = tx.query(&duplicates, &[]).await.map_err(PostgresError::in_("find repeated keys"))?;
    if let Some(first) = repeated.first() {
        let lines: Vec<Vec<i64>> = repeated.iter().map(|row| row.get(0)).collect();
        let (keys, rows): (i64, i64) = (first.get(1), first.get(2));
        return Err(repeated_keys(&lines, first.get(3), keys, rows).into());
    }
    let replace = load.mode == Mode::Replace;
    let update = WrittenColumns::of(&checked.columns, replace).update();
    let (slice, job_id) = (load.slice(), load.job.job_id);
    let (entity, period) = (&slice[0], &slice[1]);
    let applied = async {
        execute(tx, FORGET_ABSENT, &[entity, period]).await?;
        execute(tx, CHANGES, &[entity, period, &job_id]).await?;
        let updated = execute(tx, &update, &[entity, period, &job_id]).await?;
        let (deleted, absent) = if replace {
            (execute(tx, DELETE, &[entity, period, &job_id]).await?, 0)
        } else {
            (0, execute(tx, ABSENT, &[entity, period, &job_id]).await?)
        };
        if load.has_rows {
            // What the first load of a slice inserts is known by that.
            execute(tx, INSERTED, &[entity, period, &job_id]).await?;
        }
        let inserted = execute(tx, &INSERT, &[entity, period, &job_id]).await?;
        let totals = query_one(tx, TOTALS, &slice).await?;
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
                text: None,
            });
        }
    }
    failure.rows_total = rows.unsigned_abs();
    failure.rows.truncate(LISTED_ROWS);
    failure
}

/// A `numeric` as text without the zeros that a sum may carry behind its point.
fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
