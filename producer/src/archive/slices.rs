//! Which slices a year has, what is to hold of each, and whether their books are closed.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use shared::{amount::Amount, stores::postgres::PostgresError};
use tokio_postgres::Row;

use super::agreement::Told;

const SLICES: &str = include_str!("slices.sql");
/// Slices that a message names.
const NAMED: usize = 5;

/// A slice as PostgreSQL knows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) entity: String,
    pub(super) period: String,
    /// Who loaded it last, as `slices` says, with what the run of that job tells of the rows.
    pub(super) told: Told,
    /// The job's file.
    pub(super) file: Option<String>,
    /// Whether `slices` names a job that no run knows to have loaded the slice, or another file than that run does.
    pub(super) is_of_no_run: bool,
    /// The events of the chain, and the hash of the last one.
    pub(super) events: i64,
    pub(super) head: String,
    pub(super) halted_by: Option<String>,
    /// Events that have not left the outbox.
    pub(super) waiting: i64,
    is_locked: bool,
}

impl Known {
    fn read(row: &Row) -> Self {
        let (job_id, fingerprint) = (row.get("job_id"), row.get("fingerprint"));
        let (file, of_run): (Option<String>, Option<String>) = (row.get("file"), row.get("run_fingerprint"));
        let rows = row.get::<_, Option<i64>>("slice_rows").and_then(|rows| u64::try_from(rows).ok());
        let sum = row.get::<_, Option<String>>("slice_sum").and_then(|sum| sum.parse::<Amount>().ok());
        let told = Told { job_id, fingerprint, rows, sum };
        Self {
            entity: row.get("entity"),
            period: row.get("period"),
            is_of_no_run: told.job_id.is_some() && (file.is_none() || of_run != told.fingerprint),
            told,
            file,
            events: row.get("events"),
            head: row.get("head"),
            halted_by: row.get("halted_by"),
            waiting: row.get("waiting"),
            is_locked: row.get("is_locked"),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.entity, self.period)
    }
}

/// The slices of a year at one moment, by PostgreSQL's clock.
#[derive(Debug)]
pub(super) struct Year {
    pub(super) taken_at: DateTime<Utc>,
    pub(super) slices: Vec<Known>,
}

/// Reads which there are; none if no job has loaded any.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn read(
    tx: &Transaction<'_>,
    year: &str,
    entity: Option<&str>,
) -> Result<Option<Year>, PostgresError> {
    let rows = tx.query(SLICES, &[&year, &entity]).await.map_err(PostgresError::in_("list the slices of a year"))?;
    let slices: Vec<Known> = rows.iter().map(Known::read).collect();
    let has_rows = slices.iter().any(|slice| slice.told.job_id.is_some());
    Ok(rows.first().filter(|_| has_rows).map(|row| Year { taken_at: row.get("taken_at"), slices }))
}

impl Year {
    /// Says which periods are open; none if all are closed.
    pub(super) fn open(&self) -> Option<String> {
        named(self.slices.iter().filter(|slice| !slice.is_locked))
    }

    /// Says which chains stand still; none if all go on.
    pub(super) fn halted(&self) -> Option<String> {
        named(self.slices.iter().filter(|slice| slice.halted_by.is_some()))
    }

    /// Events that have not reached MongoDB, or may not have.
    pub(super) fn waiting(&self) -> i64 {
        self.slices.iter().map(|slice| slice.waiting).sum()
    }
}

/// A few slices, and how many more there are.
fn named<'a>(slices: impl Iterator<Item = &'a Known>) -> Option<String> {
    let names: Vec<String> = slices.map(Known::name).collect();
    let (shown, others) = names.split_at(names.len().min(NAMED));
    let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_open_slices_are_named_and_the_others_counted() {
        let slice =
            |number: usize| Known { entity: format!("E{number}"), period: "2022-06".to_owned(), ..Known::default() };
        let year = |count| Year { taken_at: DateTime::UNIX_EPOCH, slices: (0..count).map(slice).collect() };
        assert_eq!(year(0).open(), None);
        assert_eq!(year(2).open().as_deref(), Some("E0 2022-06, E1 2022-06"));
        assert!(year(7).open().unwrap().ends_with("E4 2022-06 and 2 more"));
        assert_eq!(year(7).halted(), None);
    }
}
