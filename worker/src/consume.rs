//! Consuming: a supervised connection, a permit for each job before it begins, and a drain at the end.

pub(crate) mod clock;
pub(crate) mod dry_runs;
mod horizon;
mod isolation;
mod taken;
mod work;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use shared::{
    broker::{
        amqp::{AmqpError, connect_within, properties::Bounds, within},
        topology::TopologyError,
    },
    settings::Settings,
    telemetry,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::{
    horizon::Horizon,
    isolation::Isolation,
    taken::{Taken, return_unbegun},
    work::Work,
};
use crate::services::Services;

/// How long the broker may take for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_millis(500);
const TAG: &str = "aura-worker";

/// What comes of jobs in the queue at present, for readiness.
pub(crate) type Consuming = tokio::sync::watch::Sender<Intaking>;

/// Whether jobs are being taken, and what stands against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intaking {
    /// The broker has not been asked yet: the schema comes first.
    NotBegun,
    /// Jobs are being taken.
    Taking,
    /// The broker is there, and no jobs are taken for another reason, which another check tells.
    Waiting,
    /// The broker is away, or refuses this worker; what it said, without passwords.
    Away(String),
}

impl Intaking {
    /// Whether the broker is what jobs wait for.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

/// Takes jobs until told to stop, then lets those that run finish within the drain time.
pub(crate) struct Intake {
    pub(crate) services: Arc<Services>,
    pub(crate) settings: Settings,
    pub(crate) consuming: Arc<Consuming>,
    /// The places of jobs, which dry runs share.
    pub(crate) permits: Arc<Semaphore>,
}

/// Why jobs are no longer taken over a connection.
enum Pause {
    Stop,
    Postgres,
    Isolation,
    Cancelled,
}

#[derive(Debug, thiserror::Error)]
enum IntakeError {
    #[error("the broker is not reached")]
    Amqp(#[from] AmqpError),
    #[error("the topology cannot be declared")]
    Topology(#[from] TopologyError),
    #[error(
        "the broker does not take this worker's own user_id, without which jobs that are given back lose their \
         publisher; AURA_PUBLISHERS_PATH needs a user whose name stands in AURA_AMQP_URL"
    )]
    NotVouchedFor,
    #[error("the connection to the broker is lost")]
    Lost(#[from] lapin::Error),
}

impl Intake {
    /// Runs until `stop`, and returns once every job has ended or been given back.
    ///
    /// # Errors
    /// If the broker has the topology with other arguments, which waiting does not mend.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), TopologyError> {
        let permits = Arc::clone(&self.permits);
        let isolation = Isolation::new();
        let abort = self.services.abort.clone();
        let mut silent = false;
        while !stop.is_cancelled() {
            let connection = match self.open().await {
                Ok(connection) => connection,
                Err(IntakeError::Topology(mismatch @ TopologyError::Mismatch { .. })) => {
                    self.drain(&permits, &abort).await;
                    return Err(mismatch);
                }
                Err(error) => {
                    self.consuming.send_replace(Intaking::Away(telemetry::chain(&error)));
                    if !std::mem::replace(&mut silent, true) {
                        tracing::error!(error = &error as &dyn std::error::Error, "no jobs are taken; trying again");
                    }
                    tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RECONNECT) => {} }
                    continue;
                }
            };
            silent = false;
            // Held until the running jobs have acknowledged: a channel that is dropped is closed, and what it
            // delivered comes again.
            let channel = within(REQUEST_TIMEOUT, "open a channel", connection.create_channel()).await;
            let taken = match &channel {
                Ok(channel) => self.take_jobs(channel, &permits, &isolation, &stop).await,
                Err(_) => Ok(()),
            };
            let lost = channel.as_ref().err().map(|error| error as &dyn std::error::Error);
            if let Some(error) = lost.or(taken.as_ref().err().map(|error| error as &dyn std::error::Error)) {
                tracing::warn!(error, "the broker is lost; connecting again");
                self.consuming.send_replace(Intaking::Away(telemetry::chain(error)));
                give_up(connection, channel.ok());
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RECONNECT) => {} }
                continue;
            }
            if stop.is_cancelled() {
                self.drain(&permits, &abort).await;
                let _ = within(REQUEST_TIMEOUT, "close", connection.close(200, "stopped".into())).await;
                return Ok(());
            }
            tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RECONNECT) => {} }
        }
        self.drain(&permits, &abort).await;
        Ok(())
    }

    async fn open(&self) -> Result<Connection, IntakeError> {
        let name = format!("{} consume", self.services.worker);
        let url = &self.settings.amqp_url;
        let mut connection = connect_within(url, &name, Bounds::default()).await?;
        // A queue that broke with its broker never answers.
        let declare = self.services.topology.declare(&connection);
        let limit = REQUEST_TIMEOUT * 2;
        let timeout = AmqpError::Timeout { what: "declare the topology", limit };
        let outdated = tokio::time::timeout(limit, declare).await.map_err(|_| timeout)??;
        if outdated.contains(&self.services.topology.jobs) {
            // A queue of an earlier version drops what is rejected, so bodies of any size are taken.
            let bounds = Bounds { body_bytes: u64::MAX, ..Bounds::default() };
            connection = connect_within(url, &name, bounds).await?;
        }
        self.services.publisher.ensure_connected().await?;
        if self.services.publishers.are_restricted() && !self.services.publisher.is_vouched_for().await? {
            return Err(IntakeError::NotVouchedFor);
        }
        Ok(connection)
    }

    /// Takes jobs over one channel, pausing while PostgreSQL is away or a job runs alone.
    async fn take_jobs(
        &self,
        channel: &Channel,
        permits: &Arc<Semaphore>,
        isolation: &Isolation,
        stop: &CancellationToken,
    ) -> Result<(), IntakeError> {
        let prefetch = u16::try_from(self.settings.concurrency).unwrap_or(u16::MAX);
        within(REQUEST_TIMEOUT, "set the prefetch", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.services.outages.until_postgres_up() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = isolation.over() => {}
            }
            // The reading that there is goes on to hold, should PostgreSQL not answer just now.
            let _ = self.services.clock.read(&self.services.pool).await;
            self.services.clock.none_is_left_from_before(Instant::now());
            let queue = self.services.topology.jobs.as_str();
            let consume =
                channel.basic_consume(queue.into(), TAG.into(), BasicConsumeOptions::default(), FieldTable::default());
            let mut consumer = within(REQUEST_TIMEOUT, "let jobs be consumed", consume).await?;
            self.consuming.send_replace(Intaking::Taking);
            tracing::info!(queue, concurrency = self.settings.concurrency, "taking jobs");
            let pause = self.consume_until_paused(channel, &mut consumer, permits, isolation, stop).await?;
            self.consuming.send_replace(Intaking::Waiting);
            if let Pause::Cancelled = pause {
                tracing::warn!(queue, "the broker cancelled the consumer; declaring the topology again");
                return Ok(());
            }
            let cancel = channel.basic_cancel(TAG.into(), BasicCancelOptions::default());
            within(REQUEST_TIMEOUT, "end the consumer", cancel).await?;
            // What was prefetched and not begun goes to whoever can do it.
            while let Some(delivery) = consumer.next().await {
                return_unbegun(&self.services, &self.stamp(delivery?)).await;
            }
            if let Pause::Stop = pause {
                return Ok(());
            }
        }
    }

    async fn consume_until_paused(
        &self,
        channel: &Channel,
        consumer: &mut Consumer,
        permits: &Arc<Semaphore>,
        isolation: &Isolation,
        stop: &CancellationToken,
    ) -> Result<Pause, IntakeError> {
        let mut horizon = Horizon::new(channel);
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(Pause::Stop),
                () = self.services.outages.until_postgres_down() => return Ok(Pause::Postgres),
                () = isolation.wanted() => return Ok(Pause::Isolation),
                delivery = self.next(consumer, &mut horizon) => delivery,
            };
            horizon.delivered();
            let Some(delivery) = delivery else { return Ok(Pause::Cancelled) };
            let taken = self.stamp(delivery?);
            let begin = async {
                let permit = Arc::clone(permits).acquire_owned().await;
                self.services.publisher.unblocked().await;
                permit
            };
            let permit = tokio::select! {
                () = stop.cancelled() => Err(Pause::Stop),
                () = self.services.outages.until_postgres_down() => Err(Pause::Postgres),
                () = isolation.wanted() => Err(Pause::Isolation),
                permit = begin => permit.map_err(|_| Pause::Stop),
            };
            let permit = match permit {
                Ok(permit) => permit,
                Err(pause) => {
                    return_unbegun(&self.services, &taken).await;
                    return Ok(pause);
                }
            };
            let work = Work {
                services: Arc::clone(&self.services),
                permits: Arc::clone(permits),
                isolation: isolation.clone(),
                timeout: self.settings.job_timeout,
            };
            tokio::spawn(work.process(taken, permit));
        }
    }

    /// The next delivery. As long as there is none, the horizon moves on.
    async fn next(&self, consumer: &mut Consumer, horizon: &mut Horizon) -> Option<lapin::Result<Delivery>> {
        loop {
            // What came before an answer is taken before the answer counts.
            if let Some(delivery) = consumer.next().now_or_never() {
                return delivery;
            }
            if let Some(asked) = horizon.take_answer() {
                self.services.clock.none_is_left_from_before(asked);
            }
            tokio::select! {
                biased;
                delivery = consumer.next() => return delivery,
                () = horizon.answered() => {}
            }
        }
    }

    fn stamp(&self, delivery: Delivery) -> Taken {
        self.services.progress.taken();
        Taken { stamp: self.services.clock.stamp(delivery.redelivered), delivery }
    }

    /// Waits for the jobs that run; those that take too long are given back.
    async fn drain(&self, permits: &Arc<Semaphore>, abort: &CancellationToken) {
        let all = u32::try_from(self.settings.concurrency).unwrap_or(u32::MAX);
        tracing::info!(seconds = self.settings.drain.as_secs(), "draining: running jobs may finish");
        if tokio::time::timeout(self.settings.drain, permits.acquire_many(all)).await.is_err() {
            tracing::warn!("the drain time is over; the jobs still running go back to the queue");
            abort.cancel();
            if tokio::time::timeout(REQUEST_TIMEOUT * 2, permits.acquire_many(all)).await.is_err() {
                tracing::warn!("some jobs could not be given back; the broker does it when the connection ends");
            }
        }
    }
}

/// Closes a connection on which a request was not answered in time. It would live on otherwise, and a consumer that comes
/// to be late would keep what it is given from everybody.
fn give_up(connection: Connection, channel: Option<Channel>) {
    tokio::spawn(async move {
        let _ = within(REQUEST_TIMEOUT, "close", connection.close(200, "given up".into())).await;
        drop(channel);
    });
}
