//! What is counted and timed, once for Prometheus and for OTLP, under OpenTelemetry's names where it has some.

pub(crate) mod gauges;
mod process;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, MeterProvider},
};
use opentelemetry_prometheus_text_exporter::PrometheusExporter;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use shared::{
    broker::topology::Topology,
    message::{
        failure::{ErrorCode, Stage},
        receipt::{Receipt, Status},
    },
    stores::postgres::transaction,
    telemetry::{self, Identity, TelemetryError},
};

/// Bounds of what takes from a millisecond to minutes, in seconds.
const SECONDS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1200.0];
/// What comes of a row that a job has.
const ROWS: [&str; 5] = ["inserted", "updated", "unchanged", "deleted", "rejected"];

/// What comes of an event of OpenLineage: it arrived, it did not, or it found no room to wait.
const LINEAGE: [&str; 3] = ["sent", "lost", "dropped"];

/// What one worker counts and times.
pub(crate) struct Metrics {
    provider: SdkMeterProvider,
    prometheus: PrometheusExporter,
    meter: Meter,
    jobs: Counter<u64>,
    failures: Counter<u64>,
    retries: Counter<u64>,
    parked: Counter<u64>,
    rows: Counter<u64>,
    input: Counter<u64>,
    consumed: Counter<u64>,
    sent: Counter<u64>,
    transaction_retries: Counter<u64>,
    lineage: Counter<u64>,
    job_duration: Histogram<f64>,
    stage_duration: Histogram<f64>,
    queue_wait: Histogram<f64>,
    process_duration: Histogram<f64>,
    transaction_duration: Histogram<f64>,
    at_work: Arc<AtomicUsize>,
}

impl Metrics {
    /// Counters that start at zero, which also go to a collector where OpenTelemetry's variables name one.
    ///
    /// It must not be called within a runtime: what sends has one of its own.
    ///
    /// # Errors
    /// If the exporter cannot be set up.
    pub(crate) fn start(identity: &Identity) -> Result<Self, TelemetryError> {
        // Nobody needs the name of the library in every line.
        let prometheus = PrometheusExporter::builder().without_scope_info().build();
        let provider = telemetry::meter_provider(identity, prometheus.clone())?;
        let meter = provider.meter("aura-worker");
        let counter = |name: &'static str, help: &'static str| meter.u64_counter(name).with_description(help);
        let timer = |name: &'static str, help: &'static str| {
            meter.f64_histogram(name).with_description(help).with_unit("s").with_boundaries(SECONDS.to_vec()).build()
        };
        let metrics = Self {
            jobs: counter("aura.jobs", "Jobs that ended, by status").build(),
            failures: counter("aura.attempt.failures", "Attempts that failed, by error code").build(),
            retries: counter("aura.retries", "Attempts that will be made again").build(),
            parked: counter("aura.parked", "Jobs given back without spending an attempt").build(),
            rows: counter("aura.rows", "Rows of jobs that ended, by what came of them").build(),
            input: counter("aura.input", "Bytes of the files that were read, as stored").with_unit("By").build(),
            consumed: counter("messaging.client.consumed.messages", "Deliveries that this worker took").build(),
            sent: counter("messaging.client.sent.messages", "Messages that the broker confirmed").build(),
            transaction_retries: counter(
                "aura.transaction.retries",
                "Transactions run again, as another was in their way",
            )
            .build(),
            lineage: counter("aura.lineage.events", "Events of OpenLineage, by what came of them").build(),
            job_duration: timer("aura.job.duration", "Time of the attempts that ended a job, by status"),
            stage_duration: timer("aura.stage.duration", "Time of an attempt in each stage"),
            queue_wait: timer(
                "aura.queue.wait",
                "Time from publish, which AMQP knows in whole seconds, to first attempt",
            ),
            process_duration: timer("messaging.process.duration", "Time from taking a delivery to what came of it"),
            transaction_duration: timer("db.client.operation.duration", "Time of transactions, by their name"),
            at_work: Arc::default(),
            meter,
            provider,
            prometheus,
        };
        metrics.begin_at_zero();
        Ok(metrics)
    }

    /// Gives every series whose labels are known its first value: a rate sees only what rises from one.
    fn begin_at_zero(&self) {
        for status in Status::ALL {
            self.jobs.add(0, &[KeyValue::new("status", status.as_str())]);
        }
        for code in ErrorCode::ALL {
            self.failures.add(0, &[KeyValue::new("code", code.as_str())]);
        }
        for outcome in ROWS {
            self.rows.add(0, &[KeyValue::new("outcome", outcome)]);
        }
        for outcome in LINEAGE {
            self.lineage.add(0, &[KeyValue::new("outcome", outcome)]);
        }
        for counter in [&self.retries, &self.parked, &self.input] {
            counter.add(0, &[]);
        }
    }

    /// Gives those of the queues and exchanges theirs.
    pub(crate) fn begin_with(&self, topology: &Topology) {
        self.consumed.add(0, &destination(&topology.jobs));
        let retries = topology.retries.iter().map(|queue| &queue.name);
        for sent_to in retries.chain([&topology.dead, &topology.events]) {
            self.sent.add(0, &destination(sent_to));
        }
    }

    /// Counts events of OpenLineage: `sent`, `lost` or `dropped`.
    pub(crate) fn lineage(&self, outcome: &'static str, events: u64) {
        self.lineage.add(events, &[KeyValue::new("outcome", outcome)]);
    }

    /// Counts a job's end.
    pub(crate) fn ended(&self, receipt: &Receipt) {
        let status = [KeyValue::new("status", receipt.status.as_str())];
        self.jobs.add(1, &status);
        self.job_duration.record(receipt.duration_seconds, &status);
        let Receipt { inserted, updated, unchanged, deleted, failed, .. } = receipt;
        for (outcome, rows) in ROWS.into_iter().zip([inserted, updated, unchanged, deleted, failed]) {
            self.rows.add(*rows, &[KeyValue::new("outcome", outcome)]);
        }
    }

    /// Counts a failed attempt.
    pub(crate) fn failed(&self, code: ErrorCode) {
        self.failures.add(1, &[KeyValue::new("code", code.as_str())]);
    }

    /// Counts an attempt that will be made again.
    pub(crate) fn retried(&self) {
        self.retries.add(1, &[]);
    }

    /// Counts a job that was given back.
    pub(crate) fn parked(&self) {
        self.parked.add(1, &[]);
    }

    /// Counts the bytes of a file.
    pub(crate) fn read(&self, bytes: u64) {
        self.input.add(bytes, &[]);
    }

    /// Counts a delivery from a queue.
    pub(crate) fn consumed(&self, queue: &str) {
        self.consumed.add(1, &destination(queue));
    }

    /// Counts a message that the broker confirmed, by the queue or the exchange that it went to.
    pub(crate) fn sent(&self, destination: &str) {
        self.sent.add(1, &self::destination(destination));
    }

    /// Notes how long a message lay in the queue before its first attempt.
    pub(crate) fn waited(&self, waited: Duration) {
        self.queue_wait.record(waited.as_secs_f64(), &[]);
    }

    /// Notes how long a delivery took, and the code with which its attempt failed.
    pub(crate) fn processed(&self, queue: &str, took: Duration, failed_with: Option<ErrorCode>) {
        let mut labels = destination(queue).to_vec();
        labels.push(KeyValue::new("messaging.operation.name", "process"));
        labels.extend(failed_with.map(|code| KeyValue::new("error.type", code.as_str())));
        self.process_duration.record(took.as_secs_f64(), &labels);
    }

    /// Notes how long an attempt was in each of its stages.
    pub(crate) fn stages(&self, stages: &BTreeMap<Stage, Duration>) {
        stages.iter().for_each(|(stage, took)| self.stage(stage.as_str(), *took));
    }

    /// Notes how long a stage took, of those of an attempt, or of what follows it: `commit`, `parquet`, `receipt`.
    pub(crate) fn stage(&self, stage: &'static str, took: Duration) {
        self.stage_duration.record(took.as_secs_f64(), &[KeyValue::new("stage", stage)]);
    }

    /// Counts a job as running as long as the guard lives.
    pub(crate) fn run(&self) -> Running {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.at_work))
    }

    /// How many jobs are at work.
    pub(crate) fn running(&self) -> usize {
        self.at_work.load(Ordering::Relaxed)
    }

    /// Has the transactions of this process timed here from now on.
    pub(crate) fn time_transactions(&self) {
        let (durations, retries) = (self.transaction_duration.clone(), self.transaction_retries.clone());
        transaction::observe(move |ended| {
            let name = KeyValue::new("db.operation.name", ended.name);
            durations.record(ended.duration.as_secs_f64(), &[KeyValue::new("db.system.name", "postgresql"), name]);
            retries.add(u64::from(ended.retries), &[KeyValue::new("transaction", ended.name)]);
        });
    }

    /// The text that Prometheus reads, in its format 0.0.4, which OpenMetrics readers read, too.
    ///
    /// # Errors
    /// If the provider has ended.
    pub(crate) fn text(&self) -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.prometheus.export(&mut text)?;
        Ok(text)
    }

    /// Sends what a collector does not have yet. It must not be called within a runtime.
    pub(crate) fn shut_down(&self) {
        telemetry::end_metrics(&self.provider);
    }
}

/// The labels of a queue or an exchange.
fn destination(name: &str) -> [KeyValue; 2] {
    [KeyValue::new("messaging.system", "rabbitmq"), KeyValue::new("messaging.destination.name", name.to_owned())]
}

/// A job at work.
pub(crate) struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
