//! What is counted, in Prometheus' terms.

use std::collections::BTreeMap;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use shared::{
    message::{failure::ErrorCode, receipt::Status},
    stores::postgres::transaction,
};

use crate::relay::backlog::Waiting;

/// The status with which a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StatusLabel {
    status: &'static str,
}

/// The code with which an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CodeLabel {
    code: &'static str,
}

/// What is away, or up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DependencyLabel {
    dependency: String,
}

/// The transaction that took its time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TransactionLabel {
    transaction: &'static str,
}

/// The derived store that something waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SinkLabel {
    sink: &'static str,
}

/// The counters of one worker.
pub(crate) struct Metrics {
    registry: Registry,
    jobs: Family<StatusLabel, Counter>,
    failures: Family<CodeLabel, Counter>,
    retries: Counter,
    parked: Counter,
    rows: Counter,
    duration: Histogram,
    running: Gauge,
    paused: Family<DependencyLabel, Gauge>,
    outbox: Gauge,
    outbox_age: Gauge,
    cache_tasks: Gauge,
    halted_chains: Gauge,
    stuck: Gauge,
    neglecting: Gauge,
    sink_waiting: Family<SinkLabel, Gauge>,
    sink_age: Family<SinkLabel, Gauge>,
    transactions: Family<TransactionLabel, Histogram>,
    transaction_retries: Family<TransactionLabel, Counter>,
}

impl Metrics {
    /// Counters that start at zero.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("aura"),
            jobs: Family::default(),
            failures: Family::default(),
            retries: Counter::default(),
            parked: Counter::default(),
            rows: Counter::default(),
            duration: Histogram::new(exponential_buckets(0.005, 2.0, 18)),
            running: Gauge::default(),
            paused: Family::default(),
            outbox: Gauge::default(),
            outbox_age: Gauge::default(),
            cache_tasks: Gauge::default(),
            halted_chains: Gauge::default(),
            stuck: Gauge::default(),
            neglecting: Gauge::default(),
            transactions: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 8))),
            transaction_retries: Family::default(),
            sink_waiting: Family::default(),
            sink_age: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("jobs", "Jobs that ended, by status", metrics.jobs.clone());
        registry.register("attempt_failures", "Attempts that failed, by error code", metrics.failures.clone());
        registry.register("retries", "Attempts that will be made again", metrics.retries.clone());
        registry.register("parked", "Jobs given back without spending an attempt", metrics.parked.clone());
        registry.register("rows", "Good rows of jobs that succeeded", metrics.rows.clone());
        registry.register_with_unit(
            "job_duration",
            "Time of the attempts that ended a job",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register("jobs_running", "Jobs at work", metrics.running.clone());
        registry.register("paused", "1 while jobs wait for this dependency", metrics.paused.clone());
        registry.register(
            "outbox_events",
            "Audit events and metadata on their way to MongoDB; past 10,000 an estimate",
            metrics.outbox.clone(),
        );
        registry.register_with_unit(
            "outbox_age",
            "Age of the oldest of them",
            Unit::Seconds,
            metrics.outbox_age.clone(),
        );
        registry.register(
            "cache_tasks",
            "Commits whose Parquet file is not written yet; past 10,000 an estimate",
            metrics.cache_tasks.clone(),
        );
        registry.register("halted_chains", "Audit chains that MongoDB contradicts", metrics.halted_chains.clone());
        let help = "Outcomes that could not be settled for a minute";
        registry.register("outcomes_stuck", help, metrics.stuck.clone());
        let help = "1 while jobs wait in the queue and none was taken for a minute";
        registry.register("jobs_neglected", help, metrics.neglecting.clone());
        let help = "Commits and events that a derived store does not have yet; past 10,000 an estimate";
        registry.register("sink_waiting", help, metrics.sink_waiting.clone());
        let help = "Age of the oldest of them";
        registry.register_with_unit("sink_age", help, Unit::Seconds, metrics.sink_age.clone());
        let help = "Time of transactions with PostgreSQL, by their name";
        registry.register_with_unit("transaction_duration", help, Unit::Seconds, metrics.transactions.clone());
        let help = "Transactions run again because another was in their way, by their name";
        registry.register("transaction_retries", help, metrics.transaction_retries.clone());
        metrics
    }

    /// Counts a job's end.
    pub(crate) fn ended(&self, status: Status, rows: u64, seconds: f64) {
        self.jobs.get_or_create(&StatusLabel { status: status.as_str() }).inc();
        self.rows.inc_by(rows);
        self.duration.observe(seconds);
    }

    /// Counts a failed attempt.
    pub(crate) fn failed(&self, code: ErrorCode) {
        self.failures.get_or_create(&CodeLabel { code: code.as_str() }).inc();
    }

    /// Counts an attempt that will be made again.
    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    /// Counts a job that was given back.
    pub(crate) fn parked(&self) {
        self.parked.inc();
    }

    /// Counts a job as running as long as the guard lives.
    pub(crate) fn run(&self) -> Running {
        self.running.inc();
        Running(self.running.clone())
    }

    /// How many jobs are at work.
    pub(crate) fn running(&self) -> usize {
        usize::try_from(self.running.get()).unwrap_or(0)
    }

    /// Notes whether jobs wait for a dependency.
    pub(crate) fn pause(&self, dependency: &str, away: bool) {
        self.paused.get_or_create(&DependencyLabel { dependency: dependency.to_owned() }).set(i64::from(away));
    }

    /// Notes what is on its way to the derived stores.
    pub(crate) fn backlog(&self, outbox: Waiting, cache: Waiting, halted_chains: u64) {
        self.outbox.set(whole(outbox.number));
        self.outbox_age.set(whole(outbox.oldest_seconds));
        self.cache_tasks.set(whole(cache.number));
        self.halted_chains.set(whole(halted_chains));
    }

    /// Notes what waits for each sink.
    pub(crate) fn sinks(&self, waiting: &BTreeMap<&'static str, Waiting>) {
        for (sink, waiting) in waiting {
            let label = SinkLabel { sink };
            self.sink_waiting.get_or_create(&label).set(whole(waiting.number));
            self.sink_age.get_or_create(&label).set(whole(waiting.oldest_seconds));
        }
    }

    /// Has the transactions of this process counted here from now on.
    pub(crate) fn count_transactions(&self) {
        let (durations, retries) = (self.transactions.clone(), self.transaction_retries.clone());
        transaction::observe(move |ended| {
            let label = TransactionLabel { transaction: ended.name };
            durations.get_or_create(&label).observe(ended.duration.as_secs_f64());
            retries.get_or_create(&label).inc_by(u64::from(ended.retries));
        });
    }

    /// Notes whether the worker gets on.
    pub(crate) fn progress(&self, stuck: usize, is_neglecting: bool) {
        self.stuck.set(i64::try_from(stuck).unwrap_or(i64::MAX));
        self.neglecting.set(i64::from(is_neglecting));
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A job at work.
pub(crate) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
