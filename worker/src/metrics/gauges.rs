//! What is looked up when somebody asks: states and what waits.

use std::time::Instant;

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

use super::{Metrics, process};
use crate::{
    health::Health,
    probes,
    relay::backlog::{CACHE, OUTBOX},
};

/// The pools of connections to PostgreSQL: that of the jobs.
const POOL: &str = "jobs";

/// Has the states of a worker looked up whenever its metrics are read.
pub(crate) fn register(metrics: &Metrics, health: &Health) {
    let on = Gauges { meter: &metrics.meter, health };
    build_info(&metrics.meter);
    on.paused();
    on.places();
    on.relay();
    on.broker();
    on.pool();
    on.whole("aura.jobs.running", "Jobs at work", |health| count(health.services.metrics.running()));
    on.whole("aura.concurrency", "Jobs that may be at work", |health| count(health.services.places));
    on.whole("aura.safe_to_stop", "1 while no job is at work and no outcome is being settled", |health| {
        u64::from(health.services.metrics.running() == 0 && health.services.progress.is_idle())
    });
    on.whole("aura.outcomes.stuck", "Outcomes that could not be settled for a minute", |health| {
        count(health.services.progress.stuck())
    });
    on.whole("aura.jobs.neglected", "1 while jobs wait in the queue and none was taken for a minute", |health| {
        u64::from(health.services.progress.is_neglecting())
    });
    on.whole("aura.receipts.refused", "1 while a queue that is bound to the receipts takes none", |health| {
        u64::from(health.services.progress.receipts_are_refused())
    });
    on.process();
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn build_info(meter: &Meter) {
    let labels = [KeyValue::new("version", env!("CARGO_PKG_VERSION"))];
    let gauge = meter.u64_observable_gauge("aura.build.info").with_description("1, with the version of this program");
    let _ = gauge.with_callback(move |observer| observer.observe(1, &labels)).build();
}

/// Gauges of one worker, as they are set up.
struct Gauges<'a> {
    meter: &'a Meter,
    health: &'a Health,
}

impl Gauges<'_> {
    /// A gauge of a whole number.
    fn whole(&self, name: &'static str, help: &'static str, read: fn(&Health) -> u64) {
        self.labelled(name, help, "", move |health, observer| observer.observe(read(health), &[]));
    }

    /// A gauge whose labels are known when it is read.
    fn labelled(
        &self,
        name: &'static str,
        help: &'static str,
        unit: &'static str,
        read: impl Fn(&Health, &dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        let health = self.health.clone();
        let gauge = self.meter.u64_observable_gauge(name).with_description(help).with_unit(unit);
        let _ = gauge.with_callback(move |observer| read(&health, observer)).build();
    }

    fn paused(&self) {
        self.labelled("aura.paused", "1 while jobs wait for this dependency", "", |health, observer| {
            let outages = &health.services.outages;
            let observe = |dependency: String, is_away: bool| {
                observer.observe(u64::from(is_away), &[KeyValue::new("dependency", dependency)]);
            };
            observe("postgresql".to_owned(), outages.postgres_is_away());
            observe("local".to_owned(), outages.is_exhausted());
            let takes_no_messages = health.services.publisher.is_blocked();
            observe("rabbitmq".to_owned(), health.consuming.borrow().is_away() || takes_no_messages);
            observe("mongodb".to_owned(), health.relay.snapshot().mongodb_away.is_some());
            let away = outages.roots_away();
            for root in health.services.roots.all() {
                observe(format!("input_root {root}"), away.contains_key(root));
            }
        });
    }

    fn places(&self) {
        self.labelled("aura.place.unusable", "1 while a place cannot be used", "", |health, observer| {
            let faults = health.services.faults.all();
            for (place, label) in [(probes::CACHE, "parquet_cache"), (probes::PROFILES, "mapping_profiles")] {
                observer.observe(u64::from(faults.contains_key(place)), &[KeyValue::new("place", label)]);
            }
        });
    }

    fn relay(&self) {
        self.whole(
            "aura.outbox.events",
            "Audit events and metadata on their way to MongoDB; past 10,000 an estimate",
            |health| health.relay.snapshot().of(&OUTBOX).number,
        );
        self.labelled("aura.outbox.age", "Age of the oldest of them", "s", |health, observer| {
            observer.observe(health.relay.snapshot().of(&OUTBOX).oldest_seconds, &[]);
        });
        self.whole(
            "aura.cache.tasks",
            "Commits whose Parquet file is not written yet; past 10,000 an estimate",
            |health| health.relay.snapshot().of(&CACHE).number,
        );
        self.whole("aura.cache.failing", "1 while the Parquet cache cannot be written", |health| {
            u64::from(health.relay.snapshot().cache_away.is_some() || health.services.cache_trouble.is_recent())
        });
        self.whole("aura.halted_chains", "Audit chains that MongoDB contradicts", |health| {
            health.relay.snapshot().halted_chains
        });
        let help = "Commits and events that a derived store does not have yet; past 10,000 an estimate";
        self.labelled("aura.sink.waiting", help, "", |health, observer| {
            for (sink, waiting) in &health.relay.snapshot().waiting {
                observer.observe(waiting.number, &[KeyValue::new("sink", *sink)]);
            }
        });
        self.labelled("aura.sink.age", "Age of the oldest of them", "s", |health, observer| {
            for (sink, waiting) in &health.relay.snapshot().waiting {
                observer.observe(waiting.oldest_seconds, &[KeyValue::new("sink", *sink)]);
            }
        });
        let help = "Dead letters by code and group, as PostgreSQL has them; past 10,000 of a group no more are counted";
        self.labelled("aura.dead_letters", help, "", |health, observer| {
            for group in &health.relay.snapshot().dead_letters {
                let labels =
                    [KeyValue::new("code", group.code.clone()), KeyValue::new("group", group.group_id.clone())];
                observer.observe(group.letters, &labels);
            }
        });
    }

    fn broker(&self) {
        self.labelled(
            "aura.queue.messages",
            "Messages that lie in a queue, as RabbitMQ counts them",
            "",
            |health, observer| {
                for (queue, messages) in health.services.progress.depths() {
                    observer.observe(messages, &[KeyValue::new("queue", queue)]);
                }
            },
        );
    }

    fn pool(&self) {
        let pool = |state: &'static str| {
            [KeyValue::new("db.client.connection.pool.name", POOL), KeyValue::new("db.client.connection.state", state)]
        };
        let help = "Connections to PostgreSQL that this worker has for jobs, by their state";
        self.labelled("db.client.connection.count", help, "", move |health, observer| {
            let status = health.services.pool.status();
            observer.observe(count(status.available), &pool("idle"));
            observer.observe(count(status.size.saturating_sub(status.available)), &pool("used"));
        });
        self.labelled("db.client.connection.max", "Connections that it may have", "", |health, observer| {
            let name = [KeyValue::new("db.client.connection.pool.name", POOL)];
            observer.observe(count(health.services.pool.status().max_size), &name);
        });
        let help = "Requests that wait for one of them";
        self.labelled("db.client.connection.pending_requests", help, "", |health, observer| {
            let name = [KeyValue::new("db.client.connection.pool.name", POOL)];
            observer.observe(count(health.services.pool.status().waiting), &name);
        });
    }

    fn process(&self) {
        let memory = self.meter.u64_observable_gauge("process.memory.usage").with_unit("By");
        let _ = memory
            .with_description("Memory that this process has of the machine's")
            .with_callback(|observer| _ = process::resident_bytes().map(|bytes| observer.observe(bytes, &[])))
            .build();
        let _ = self
            .meter
            .f64_observable_counter("process.cpu.time")
            .with_unit("s")
            .with_description("Processor time that this process has used")
            .with_callback(|observer| _ = process::cpu_time().map(|used| observer.observe(used.as_secs_f64(), &[])))
            .build();
        let began = Instant::now();
        let _ = self
            .meter
            .f64_observable_gauge("process.uptime")
            .with_unit("s")
            .with_description("Time since this process began")
            .with_callback(move |observer| observer.observe(began.elapsed().as_secs_f64(), &[]))
            .build();
        let _ = self
            .meter
            .u64_observable_gauge("process.unix.file_descriptor.count")
            .with_description("File descriptors that this process has open")
            .with_callback(|observer| _ = process::descriptors().map(|open| observer.observe(open, &[])))
            .build();
    }
}
