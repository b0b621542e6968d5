//! Dry runs: jobs that are only tried, asked for over a queue of their own and answered to whoever asked.
//!
//! A question is acknowledged before it is tried: a file that ends its worker must not come to the next one.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::Utc;
use futures_util::{FutureExt, StreamExt};
use lapin::{
    BasicProperties, Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use shared::{
    broker::amqp::{AmqpError, connect_within, properties::Bounds, within},
    message::{
        dry_run::{ANSWER_TYPE, DryRun, Would},
        envelope::{self, Envelope},
        job::Job,
        outgoing::Outgoing,
        receive::receive,
    },
    settings::Settings,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::give_up;
use crate::{
    ingest::dry_run::{dry_run, untold},
    services::Services,
};

/// How long the broker may take for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(2);
/// Bytes of a question's name: what a short string can hold.
const MAX_NAME: usize = 255;
/// How often an answer is sent that the broker does not take, each time over a connection of its own if it must be.
const SENDINGS: u32 = 10;
const TAG: &str = "aura-worker-dry-runs";

/// Tries jobs, one at a time, while there is a place for it.
pub(crate) struct DryRuns {
    pub(crate) services: Arc<Services>,
    pub(crate) settings: Settings,
    pub(crate) permits: Arc<Semaphore>,
}

/// What was asked, and where the answer goes. Once it is acknowledged, nobody else answers it.
struct Question {
    /// The job, or what is wrong with it.
    job: Result<Box<Job>, Box<DryRun>>,
    reply_to: ShortString,
    /// What whoever asked calls it. The correlation_id of a job is its batch.
    name: Option<ShortString>,
}

impl DryRuns {
    /// Runs until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut silent = false;
        while !stop.is_cancelled() {
            match self.open().await {
                Ok((connection, _channel, mut consumer)) => {
                    silent = false;
                    if let Err(error) = self.serve(&mut consumer, &stop).await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the broker is lost for dry runs; connecting again"
                        );
                    }
                    // The channel is held until then: one that is dropped is closed, and what it delivered comes again.
                    let _ = within(REQUEST_TIMEOUT, "close", connection.close(200, "stopped".into())).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut silent, true) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "no dry runs are taken; trying again");
                    }
                }
            }
            tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RECONNECT) => {} }
        }
    }

    async fn open(&self) -> Result<(Connection, Channel, Consumer), AmqpError> {
        let name = format!("{} dry runs", self.services.worker);
        let connection = connect_within(&self.settings.amqp_url, &name, Bounds::default()).await?;
        // The queue may be declared by nobody yet. What is wrong with the topology is the intake's to tell.
        let declare = self.services.topology.declare(&connection);
        let _ = tokio::time::timeout(REQUEST_TIMEOUT * 2, declare).await;
        match self.consume(&connection).await {
            Ok((channel, consumer)) => Ok((connection, channel, consumer)),
            Err(error) => {
                give_up(connection, None);
                Err(error)
            }
        }
    }

    async fn consume(&self, connection: &Connection) -> Result<(Channel, Consumer), AmqpError> {
        let channel = within(REQUEST_TIMEOUT, "open a channel", connection.create_channel()).await?;
        within(REQUEST_TIMEOUT, "set the prefetch", channel.basic_qos(1, BasicQosOptions::default())).await?;
        let queue = self.services.topology.dry_runs.as_str();
        let options = BasicConsumeOptions::default();
        let consume = channel.basic_consume(queue.into(), TAG.into(), options, FieldTable::default());
        let consumer = within(REQUEST_TIMEOUT, "consume dry runs", consume).await?;
        Ok((channel, consumer))
    }

    /// Takes questions until told to stop, or the connection is lost. Each that was taken is answered, whatever
    /// becomes of the connection.
    async fn serve(&self, consumer: &mut Consumer, stop: &CancellationToken) -> Result<(), AmqpError> {
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                delivery = consumer.next() => delivery,
            };
            let Some(delivery) = delivery else {
                tracing::warn!("the broker cancelled the consumer of dry runs; declaring the topology again");
                return Ok(());
            };
            let delivery = delivery.map_err(|source| AmqpError::Broker { what: "deliver a dry run", source })?;
            let permit = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                permit = self.permits.acquire() => permit,
            };
            let question = self.read(&delivery);
            let acknowledged = delivery.ack(BasicAckOptions::default());
            let acknowledged = within(REQUEST_TIMEOUT, "take an acknowledgement", acknowledged).await;
            let Some(question) = question else {
                acknowledged?;
                continue;
            };
            if let Err(error) = acknowledged {
                drop(permit);
                // It may come to another worker, or be gone.
                let told = question.unknown("the worker lost its connection to the broker; ask again");
                self.answer(&question, &told, stop).await;
                return Err(error);
            }
            let told = tokio::select! {
                () = self.services.abort.cancelled() => question.unknown("the worker was stopped; ask again"),
                told = AssertUnwindSafe(self.tell(&question)).catch_unwind() => {
                    told.unwrap_or_else(|_| question.unknown("the dry run broke off; the worker's log says where"))
                }
            };
            drop(permit);
            self.answer(&question, &told, stop).await;
        }
    }

    /// Reads a question; none if nobody waits for its answer.
    fn read(&self, delivery: &Delivery) -> Option<Question> {
        let reply_to = delivery.properties.reply_to().clone()?;
        let envelope = Envelope::read(&delivery.properties);
        let envelope = envelope.from_first_publisher(|user| self.services.publishers.is_worker(user));
        let job = receive(&delivery.data, &envelope, Utc::now()).map(Box::new).map_err(|refusal| {
            Box::new(DryRun {
                job_id: refusal.job_id,
                would: Would::Fail,
                error: Some(refusal.failure()),
                reason: None,
                fingerprint: None,
                receipt: None,
                effect: None,
            })
        });
        let headers = delivery.properties.headers().as_ref();
        let name = headers.and_then(|headers| envelope::text(headers, envelope::DRY_RUN));
        let name = name.filter(|name| name.len() <= MAX_NAME).map(|name| name.as_str().into());
        Some(Question { job, reply_to, name })
    }

    async fn tell(&self, question: &Question) -> DryRun {
        match &question.job {
            Ok(job) => self.tried(job).await,
            Err(refused) => DryRun::clone(refused),
        }
    }

    /// Sends an answer until the broker has confirmed it. Over the publisher, whose connection is not that of the
    /// question, and opened again where it is lost.
    async fn answer(&self, question: &Question, told: &DryRun, stop: &CancellationToken) {
        let properties =
            BasicProperties::default().with_type(ANSWER_TYPE.into()).with_content_type("application/json".into());
        let answer = Outgoing {
            exchange: String::new(),
            key: question.reply_to.to_string(),
            body: serde_json::to_vec(told).unwrap_or_default(),
            properties: match &question.name {
                Some(name) => properties.with_correlation_id(name.clone()),
                None => properties,
            },
            headers: FieldTable::default(),
            user_id: None,
            // Whoever asked may have gone, and then nobody misses it.
            mandatory: false,
        };
        for sending in 1..=SENDINGS {
            let Err(error) = self.services.publisher.publish(&answer).await else { return };
            let job_id = told.job_id;
            tracing::warn!(error = &error as &dyn std::error::Error, %job_id, sending, "a dry run's answer was not sent");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RECONNECT) => {}
            }
        }
    }

    async fn tried(&self, job: &Job) -> DryRun {
        let span = tracing::info_span!(
            "dry_run",
            job_id = %job.job_id,
            entity = job.slice.entity.as_str(),
            period = job.slice.period.as_str(),
        );
        let limit = self.settings.job_timeout;
        let tried = tokio::time::timeout(limit, dry_run(&self.services, job)).instrument(span);
        let told = tried.await;
        told.unwrap_or_else(|_| untold(job, format!("the dry run took longer than {} s", limit.as_secs())))
    }
}

impl Question {
    /// That it cannot be told now, and why.
    fn unknown(&self, reason: &str) -> DryRun {
        match &self.job {
            Ok(job) => untold(job, reason.to_owned()),
            Err(refused) => DryRun::clone(refused),
        }
    }
}
