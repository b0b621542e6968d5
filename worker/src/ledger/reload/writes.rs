//! What differs, written. No statement needs what another one writes, so that all are sent at once.

use bytes::BytesMut;
use deadpool_postgres::{GenericClient, Transaction};
use futures_util::future::{BoxFuture, try_join_all};
use shared::{message::job::Mode, stores::postgres::PostgresError};
use tokio_postgres::{
    Statement,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use super::{
    comparison::{Changed, Comparison, KEPT, place_of},
    whole_row::{ACCOUNT_CODE, COMPANY_CODE, SOURCE_LINE, WholeRow},
};
use crate::ledger::{FORGET_ABSENT, Load, execute, statements::WrittenColumns};

const CHANGES: &str = include_str!("changes.sql");
const DELETE: &str = include_str!("delete.sql");
const ABSENT: &str = include_str!("absent.sql");

/// A value as PostgreSQL has it in binary form, of whatever type.
#[derive(Debug, Clone, Copy)]
struct Raw<'a>(&'a [u8]);

impl ToSql for Raw<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The values of a column, a row each.
type Values<'a> = Vec<Option<Raw<'a>>>;

/// A statement, the values that follow entity, period and job, and how many rows it must write, if that is known.
struct Write<'a> {
    statement: Statement,
    has_job: bool,
    values: Vec<Values<'a>>,
    rows: Option<usize>,
}

/// Forgets which accounts the newest export lacked.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn forget_absent(tx: &Transaction<'_>, load: &Load<'_>) -> Result<(), PostgresError> {
    let [entity, period] = load.slice();
    execute(tx, FORGET_ABSENT, &[&entity, &period]).await.map(|_| ())
}

/// Writes what differs; returns whether every row was where it was found.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn write(
    tx: &Transaction<'_>,
    load: &Load<'_>,
    comparison: &Comparison<'_>,
    written: &WrittenColumns,
) -> Result<bool, PostgresError> {
    let writes = prepare(tx, load, comparison, written).await?;
    let ([entity, period], job_id) = (load.slice(), load.job.job_id);
    let sent = writes.iter().map(|write| -> BoxFuture<'_, Result<bool, PostgresError>> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&entity, &period];
        if write.has_job {
            params.push(&job_id);
        }
        params.extend(write.values.iter().map(|values| values as &(dyn ToSql + Sync)));
        Box::pin(async move {
            let rows = tx.execute(&write.statement, &params).await.map_err(PostgresError::in_("merge rows"))?;
            Ok(write.rows.is_none_or(|expected| rows == expected as u64))
        })
    });
    let in_place = try_join_all(sent.collect::<Vec<_>>()).await?;
    Ok(in_place.into_iter().all(|in_place| in_place))
}

/// The statements that there is something to write for.
async fn prepare<'a>(
    tx: &Transaction<'_>,
    load: &Load<'_>,
    comparison: &'a Comparison<'_>,
    written: &WrittenColumns,
) -> Result<Vec<Write<'a>>, PostgresError> {
    let Comparison { changed, missing, .. } = comparison;
    let prepared = async |sql: &str| tx.prepare_cached(sql).await.map_err(PostgresError::in_("prepare a merge"));
    let mut writes = Vec::new();
    if !changed.is_empty() {
        let statement = prepared(&written.update_found()).await?;
        let values = updated_values(comparison, written);
        writes.push(Write { statement, has_job: true, values, rows: Some(changed.len()) });
    }
    let replaces = load.mode == Mode::Replace;
    let changes = changes(comparison, replaces);
    if changes.first().is_some_and(|column| !column.is_empty()) {
        writes.push(Write { statement: prepared(CHANGES).await?, has_job: true, values: changes, rows: None });
    }
    if !missing.is_empty() {
        let company_codes = missing.iter().map(|row| Some(Raw(&row.company_code))).collect();
        let account_codes = missing.iter().map(|row| Some(Raw(&row.account_code))).collect();
        writes.push(if replaces {
            let places = missing.iter().map(|row| Some(Raw(&row.place))).collect();
            let values = vec![places, company_codes, account_codes];
            Write { statement: prepared(DELETE).await?, has_job: false, values, rows: Some(missing.len()) }
        } else {
            let values = vec![company_codes, account_codes];
            Write { statement: prepared(ABSENT).await?, has_job: true, values, rows: Some(missing.len()) }
        });
    }
    Ok(writes)
}

/// The values of `update.sql`: where, which key and line, and the columns that are written.
fn updated_values<'a>(comparison: &'a Comparison<'_>, written: &WrittenColumns) -> Vec<Values<'a>> {
    let changed = &comparison.changed;
    let places = changed.iter().map(|row| Some(Raw(&row.place))).collect();
    let columns = [COMPANY_CODE, ACCOUNT_CODE, SOURCE_LINE].into_iter().chain(written.written().map(place_of));
    let values = columns.map(|column| changed.iter().map(|row| comparison.new_value(row, column).map(Raw)).collect());
    std::iter::once(places).chain(values).collect()
}

/// The values of `changes.sql`: key and line, then each kept column before and after, and the kind of change.
fn changes<'a>(comparison: &'a Comparison<'_>, replaces: bool) -> Vec<Values<'a>> {
    let of_changed: Vec<_> = comparison.changed.iter().filter_map(|row| Some((row, row.old.as_ref()?))).collect();
    let deleted = if replaces { comparison.missing.as_slice() } else { &[] };
    let new: Vec<WholeRow<'_>> = comparison.new_rows().collect();
    let after = |row: &'a Changed, column| comparison.new_value(row, column).map(Raw);
    let of_new = |column: usize| new.iter().map(move |row| row.value(column).map(Raw));
    let code = |column: usize, of_deleted: fn(&super::comparison::Missing) -> &Vec<u8>| -> Values<'a> {
        let updated = of_changed.iter().map(|(row, _)| after(row, column));
        updated.chain(deleted.iter().map(|row| Some(Raw(of_deleted(row))))).chain(of_new(column)).collect()
    };
    let mut values = vec![code(COMPANY_CODE, |row| &row.company_code), code(ACCOUNT_CODE, |row| &row.account_code)];
    let none = || deleted.iter().map(|_| None);
    values.push(
        of_changed.iter().map(|(row, _)| after(row, SOURCE_LINE)).chain(none()).chain(of_new(SOURCE_LINE)).collect(),
    );
    for (place, name) in KEPT.into_iter().enumerate() {
        let old = of_changed.iter().map(|(_, (old, _))| old).chain(deleted.iter().map(|row| &row.old));
        let old = old.map(|old| old.get(place).and_then(|value| value.as_deref()).map(Raw));
        values.push(old.chain(new.iter().map(|_| None)).collect());
        let column = place_of(name);
        values.push(of_changed.iter().map(|(row, _)| after(row, column)).chain(none()).chain(of_new(column)).collect());
    }
    let kind = |text: &'static str| Some(Raw(text.as_bytes()));
    let kinds = of_changed.iter().map(|(_, (_, is_balance))| kind(if *is_balance { "updated" } else { "relabelled" }));
    let kinds = kinds.chain(deleted.iter().map(|_| kind("deleted")));
    values.push(kinds.chain(new.iter().map(|_| kind("inserted"))).collect());
    values
}
