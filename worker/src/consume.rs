//! Consuming: a supervised connection, a permit for each job before it begins, and a drain at the end.

pub(crate) mod clock;
mod horizon;
mod isolation;

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
    message::{
        envelope::Envelope,
        failure::{ErrorCode, Failure},
        job::Job,
        receive::{Refusal, receive},
    },
    settings::Settings,
    stores::lease::Statements,
    telemetry::continue_trace,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use self::horizon::Horizon;
use crate::{
    attempt::{Attempt, CurrentStage},
    consume::{
        clock::Stamp,
        isolation::{Exclusive, Isolation},
    },
    ingest::{self, diagnosis::failed},
    outcome::{Outage, Outcome},
    run::{claim::Claimant, finish, ownership},
    services::Services,
    settlement::{
        self, delivery,
        policy::{Next, settle},
    },
};

/// How long the broker may take for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_millis(500);
/// How long a busy slice is waited for, and how often is looked.
const BUSY_WAIT: Duration = Duration::from_secs(1);
const BUSY_INTERVAL: Duration = Duration::from_millis(20);
/// How long an attempt whose time is over may take to end, once its statements are cancelled.
const CANCELLED: Duration = Duration::from_secs(5);
const TAG: &str = "aura-worker";

/// Whether jobs are being taken, for readiness.
pub(crate) type Consuming = tokio::sync::watch::Sender<bool>;

/// Takes jobs until told to stop, then lets those that run finish within the drain time.
pub(crate) struct Intake {
    pub(crate) services: Arc<Services>,
    pub(crate) settings: Settings,
    pub(crate) consuming: Arc<Consuming>,
}

/// Why jobs are no longer taken over a connection.
enum Pause {
    Stop,
    Postgres,
    Isolation,
    Cancelled,
}

/// A delivery, and when it was taken.
struct Taken {
    delivery: Delivery,
    stamp: Stamp,
}

impl Taken {
    /// The job that it is, at its place among the exports.
    fn read(&self, envelope: &Envelope) -> Result<Job, Box<Refusal>> {
        let mut job = receive(&self.delivery.data, envelope, self.stamp.at)?;
        if job.is_stamped {
            job.arrival = Some(self.stamp.arrival);
        }
        Ok(job)
    }
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
        let permits = Arc::new(Semaphore::new(self.settings.concurrency));
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
            }
            self.consuming.send_replace(false);
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
        let url = self.settings.amqp_url.expose();
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
            self.consuming.send_replace(true);
            tracing::info!(queue, concurrency = self.settings.concurrency, "taking jobs");
            let pause = self.consume_until_paused(channel, &mut consumer, permits, isolation, stop).await?;
            self.consuming.send_replace(false);
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

/// Gives back what was not begun. Where its place among the exports is that of this delivery, it takes that along.
async fn return_unbegun(services: &Services, taken: &Taken) {
    let job = taken.read(&envelope_of(services, taken)).ok();
    return_job(services, taken, job.as_ref()).await;
}

fn envelope_of(services: &Services, taken: &Taken) -> Envelope {
    Envelope::read(&taken.delivery.properties).from_first_publisher(|user| services.publishers.is_worker(user))
}

async fn return_job(services: &Services, taken: &Taken, job: Option<&Job>) {
    delivery::return_unbegun(services, &taken.delivery, job.filter(|job| job.is_stamped)).await;
}

/// One delivery's work.
struct Work {
    services: Arc<Services>,
    permits: Arc<Semaphore>,
    isolation: Isolation,
    timeout: Duration,
}

impl Work {
    async fn process(self, taken: Taken, permit: OwnedSemaphorePermit) {
        let envelope = envelope_of(&self.services, &taken);
        let traceparent = envelope.traceparent.clone();
        // Anyone can write that header; what the guard left out is not there.
        if envelope.is_withheld && taken.delivery.data.is_empty() {
            let reason = envelope.malformed.as_deref().unwrap_or("its body is not there");
            return settlement::reject(&taken.delivery, reason).await;
        }
        match taken.read(&envelope) {
            Ok(job) => {
                let span = tracing::info_span!(
                    "job",
                    job_id = %job.job_id,
                    batch_id = job.batch_id.map(tracing::field::display),
                    entity = job.slice.entity.as_str(),
                    period = job.slice.period.as_str(),
                    attempt = job.attempt,
                );
                continue_trace(&span, traceparent.as_deref());
                self.run(taken, job, permit).instrument(span).await;
            }
            Err(refusal) => {
                let span = tracing::info_span!(
                    "refused",
                    job_id = %refusal.job_id,
                    entity = refusal.slice.as_ref().map(|slice| slice.entity.as_str()),
                    period = refusal.slice.as_ref().map(|slice| slice.period.as_str()),
                );
                continue_trace(&span, traceparent.as_deref());
                settlement::refuse(&self.services, &taken.delivery, &refusal).instrument(span).await;
                drop(permit);
            }
        }
    }

    async fn run(self, taken: Taken, mut job: Job, permit: OwnedSemaphorePermit) {
        let _running = self.services.metrics.run();
        let mut shared = self.isolation.shared_guard();
        if shared.is_none() {
            // Another job is to run alone here.
            return return_job(&self.services, &taken, Some(&job)).await;
        }
        let mut exclusive: Option<Exclusive> = None;
        let began = Instant::now();
        loop {
            let claim = Uuid::new_v4();
            let outcome = self.attempt(&job, claim, exclusive.is_some()).await;
            // As long as other jobs find a place, a busy slice is waited for where it is.
            if matches!(outcome, Outcome::Busy) && self.permits.available_permits() > 0 && began.elapsed() < BUSY_WAIT {
                tokio::time::sleep(BUSY_INTERVAL).await;
                continue;
            }
            match settle(outcome, job.attempt, claim) {
                Next::Settle(settlement) => {
                    delivery::apply(&self.services, &taken.delivery, &job, claim, settlement).await;
                    drop(permit);
                    return;
                }
                Next::RunAs(job_id) => {
                    tracing::warn!(%job_id, "the message has no identity; the job takes up the run that its worker left");
                    (job.job_id, job.id_is_made) = (job_id, false);
                    tracing::Span::current().record("job_id", tracing::field::display(job_id));
                }
                Next::RunAt { attempt, replays } => {
                    tracing::warn!(
                        attempt,
                        replays,
                        "the message claims an attempt that nobody made; its own is taken"
                    );
                    (job.attempt, job.replays) = (attempt, replays);
                }
                Next::RunIsolated => {
                    drop(shared.take());
                    // Two such jobs do not wait for each other: the second one goes elsewhere.
                    let Some(mut own) = self.isolation.exclusive_guard() else {
                        return return_job(&self.services, &taken, Some(&job)).await;
                    };
                    tracing::warn!("the job had begun when its worker died; it is tried again alone");
                    tokio::select! {
                        () = own.exclusive() => {}
                        () = self.services.abort.cancelled() => {
                            return return_job(&self.services, &taken, Some(&job)).await;
                        }
                    }
                    exclusive = Some(own);
                }
            }
        }
    }

    async fn attempt(&self, job: &Job, claim: Uuid, is_isolated: bool) -> Outcome {
        let (statements, stage) = (Statements::new(), CurrentStage::new());
        let claimant = Claimant { claim, worker: &self.services.worker, is_isolated };
        let mut attempt = std::pin::pin!(ingest::ingest(&self.services, job, claimant, &statements, &stage));
        let ended = tokio::select! {
            biased;
            () = self.services.abort.cancelled() => return Outcome::Stopped,
            ended = tokio::time::timeout(self.timeout, &mut attempt) => ended,
        };
        if let Ok(outcome) = ended {
            return outcome;
        }
        // What it does in PostgreSQL ends now, and then so does the attempt, with what really came of it.
        statements.cancel().await;
        match tokio::time::timeout(CANCELLED, attempt).await {
            Ok(Outcome::Failed(mut failed)) if failed.failure.code == ErrorCode::Timeout => {
                failed.change(|failure| failure.message = self.too_long());
                Outcome::Failed(failed)
            }
            Ok(outcome) => outcome,
            Err(_) => self.timed_out(job, claim, &stage).await,
        }
    }

    /// An attempt took too long and cannot be ended: for its own sake, or because PostgreSQL is away.
    async fn timed_out(&self, job: &Job, claim: Uuid, stage: &CurrentStage) -> Outcome {
        if self.services.outages.probe_postgres(&self.services.pool).await.is_err() {
            return Outcome::Outage(Outage::Postgres(Some(claim)));
        }
        match finish::settled_end(&self.services.pool, job).await {
            Ok(Some(receipt)) => return Outcome::EndedBefore(receipt),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what came of an attempt that took too long is not known yet"
                );
                return Outcome::Outage(Outage::Postgres(Some(claim)));
            }
        }
        ownership::mark_settling(&self.services.pool, claim).await;
        let failure = Failure::new(ErrorCode::Timeout, stage.get(), self.too_long());
        Outcome::Failed(Box::new(failed(Attempt::begin(job, claim, &self.services.worker, stage), failure)))
    }

    fn too_long(&self) -> String {
        format!("the attempt took longer than {} s", self.timeout.as_secs())
    }
}
