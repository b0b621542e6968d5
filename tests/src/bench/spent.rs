//! What a stretch of work has used: processor time by process, transactions, write-ahead log and statements.
#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Bench, figures::Figure, machine::Used};
use crate::worker::Worker;

/// How long an idle session of PostgreSQL keeps to itself what it has counted, and a little more.
const FLUSH: Duration = Duration::from_secs(11);
/// Statements that are shown, those with the most time.
const STATEMENTS: usize = 10;

/// Something that is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Count {
    /// A process's time on a processor, in seconds.
    Processor(String),
    /// Something of PostgreSQL's own statistics, with its unit.
    Postgres(&'static str, &'static str),
    /// A worker's transactions of a name, in seconds.
    TransactionTime(String),
    /// How many they were.
    Transactions(String),
    /// A statement's executions, in seconds.
    StatementTime(String),
    /// How many they were.
    Statements(String),
}

type Counts = BTreeMap<Count, f64>;

/// What has been counted up to a moment.
#[derive(Debug, Clone)]
pub struct Moment {
    at: Instant,
    counts: Counts,
}

impl Moment {
    /// Waits until everything is done and counted, and notes the counts.
    ///
    /// # Panics
    /// If PostgreSQL or a worker does not answer.
    pub async fn now(bench: &Bench, workers: &[Worker]) -> Self {
        tokio::time::sleep(FLUSH).await;
        bench.settled().await;
        let at = Instant::now();
        let used = bench.machine.used(workers).since(&Used::default());
        let mut counts: Counts =
            used.into_iter().map(|(process, seconds)| (Count::Processor(process), seconds)).collect();
        counts.extend(postgres(bench).await);
        for worker in workers {
            for (count, value) in transactions(&worker.get("/metrics").await.expect("the worker's metrics").1) {
                *counts.entry(count).or_default() += value;
            }
        }
        if has_statements(bench).await {
            counts.extend(statements(bench).await);
        }
        Self { at, counts }
    }
}

/// What was used between two moments.
#[derive(Debug, Clone)]
pub struct Spent {
    seconds: f64,
    counts: Counts,
}

impl Spent {
    /// What was used between these.
    pub fn between(before: &Moment, after: &Moment) -> Self {
        let used = after.counts.iter().map(|(count, value)| {
            let earlier = before.counts.get(count).copied().unwrap_or_default();
            (count.clone(), (value - earlier).max(0.0))
        });
        Self { seconds: (after.at - before.at).as_secs_f64(), counts: used.collect() }
    }

    /// The same without what an idle system uses in that time.
    #[must_use]
    pub fn without(mut self, idle: &Self) -> Self {
        let share = self.seconds / idle.seconds;
        for (count, value) in &mut self.counts {
            let background = idle.counts.get(count).copied().unwrap_or_default() * share;
            *value = (*value - background).max(0.0);
        }
        self
    }

    /// A share of it: that of one job, if there were so many.
    #[must_use]
    pub fn of_one(mut self, jobs: f64) -> Self {
        self.counts.values_mut().for_each(|value| *value /= jobs);
        self
    }

    /// The figures, below a line that says of what they are.
    pub fn figures(&self, of: &str) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (count, value) in &self.counts {
            let (what, unit, value) = match count {
                Count::Processor(process) => (format!("processor time, {process}"), "ms", value * 1e3),
                Count::Postgres(what, unit) => ((*what).to_owned(), *unit, *value),
                Count::TransactionTime(name) => {
                    let number = self.number(&Count::Transactions(name.clone()));
                    (format!("{number:.2} x {name}"), "ms", value * 1e3)
                }
                Count::Transactions(_) | Count::StatementTime(_) | Count::Statements(_) => continue,
            };
            if value > 0.0 {
                figures.push(Figure::of(format!("{of}: {what}"), unit, [value]));
            }
        }
        figures.extend(
            self.slowest().into_iter().map(|(text, number, seconds)| {
                Figure::of(format!("{of}: {number:.2} x {text}"), "ms", [seconds * 1e3])
            }),
        );
        figures
    }

    /// The statements with the most time: how many there were, and their seconds.
    fn slowest(&self) -> Vec<(&str, f64, f64)> {
        let all = self.counts.iter().filter_map(|(count, seconds)| match count {
            Count::StatementTime(text) => {
                Some((text.as_str(), self.number(&Count::Statements(text.clone())), *seconds))
            }
            Count::Processor(_)
            | Count::Postgres(..)
            | Count::TransactionTime(_)
            | Count::Transactions(_)
            | Count::Statements(_) => None,
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|one, other| other.2.total_cmp(&one.2));
        all.truncate(STATEMENTS);
        all
    }

    fn number(&self, count: &Count) -> f64 {
        self.counts.get(count).copied().unwrap_or_default()
    }
}

/// Whether PostgreSQL counts statements: if pg_stat_statements is loaded, which takes a setting and a restart.
///
/// # Panics
/// If PostgreSQL does not answer.
pub async fn has_statements(bench: &Bench) -> bool {
    let loaded: String = bench.world.one("SELECT current_setting('shared_preload_libraries')", &[]).await;
    let create = "SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
    loaded.contains("pg_stat_statements") && bench.world.postgres.batch_execute(create).await.is_ok()
}

/// What PostgreSQL counts: this database's transactions, and the whole server's log and transaction numbers, of which
/// one that wrote takes one, and each of its savepoints that did.
async fn postgres(bench: &Bench) -> Counts {
    // A later PostgreSQL counts flushes elsewhere: there is no such column then.
    let query = "SELECT d.xact_commit::float8, pg_snapshot_xmax(pg_current_snapshot())::text::float8, \
                 w.wal_bytes::float8 / 1024, w.wal_fpi::float8, coalesce((to_jsonb(w)->>'wal_sync')::float8, 0) \
                 FROM pg_stat_database d, pg_stat_wal w WHERE d.datname = current_database()";
    let row = bench.world.postgres.query_one(query, &[]).await.expect("PostgreSQL's statistics");
    let names = [
        ("transactions committed", "/job"),
        ("transactions that wrote", "/job"),
        ("WAL", "KiB"),
        ("WAL, whole pages", "/job"),
        ("WAL, flushes", "/job"),
    ];
    let counted = |(place, (what, unit))| (Count::Postgres(what, unit), row.get::<usize, f64>(place));
    names.into_iter().enumerate().map(counted).collect()
}

/// What pg_stat_statements has counted in this database.
async fn statements(bench: &Bench) -> Counts {
    let query = "SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 70) AS text, sum(calls)::float8, \
                 sum(total_exec_time)::float8 / 1000 FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
                 WHERE d.datname = current_database() GROUP BY text";
    let rows = bench.world.postgres.query(query, &[]).await.expect("pg_stat_statements");
    let both = rows.iter().flat_map(|row| {
        let text: String = row.get(0);
        [(Count::Statements(text.clone()), row.get::<_, f64>(1)), (Count::StatementTime(text), row.get(2))]
    });
    both.collect()
}

/// What a worker's metrics say of its transactions.
fn transactions(metrics: &str) -> Vec<(Count, f64)> {
    let read = |line: &str| {
        let (kind, rest) = line.strip_prefix("db_client_operation_duration_seconds_")?.split_once('{')?;
        let (labels, value) = rest.split_once("} ")?;
        let (_, name) = labels.split_once("db_operation_name=\"")?;
        let (name, _) = name.split_once('"')?;
        let count = match kind {
            "sum" => Count::TransactionTime(name.to_owned()),
            "count" => Count::Transactions(name.to_owned()),
            _ => return None,
        };
        Some((count, value.trim().parse::<f64>().ok()?))
    };
    metrics.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: Instant, seconds: f64, number: f64) -> Moment {
        let metrics = format!(
            "# HELP db_client_operation_duration_seconds Time\n\
             db_client_operation_duration_seconds_sum{{db_system_name=\"postgresql\",db_operation_name=\"claim\"}} {seconds}\n\
             db_client_operation_duration_seconds_count{{db_operation_name=\"claim\",db_system_name=\"postgresql\"}} {number}\n\
             db_client_operation_duration_seconds_bucket{{db_operation_name=\"claim\",le=\"0.001\"}} 3\n"
        );
        Moment { at, counts: transactions(&metrics).into_iter().collect() }
    }

    #[test]
    fn what_a_job_used_is_without_what_an_idle_system_uses_in_the_same_time() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let idle = Spent::between(&moment(start, 0.0, 0.0), &moment(later, 0.5, 5.0));
        let both = Spent::between(&moment(start, 1.0, 10.0), &moment(later + Duration::from_secs(10), 4.0, 40.0));
        let one = both.without(&idle).of_one(10.0);
        let lines: Vec<_> = one.figures("x").iter().map(Figure::line).collect();
        assert!(matches!(lines.as_slice(), [line] if line.starts_with("x: 2.00 x claim")), "{lines:?}");
        assert!(lines.concat().contains("200.0 ms"), "{lines:?}");
    }
}
