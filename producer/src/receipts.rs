//! Receipts over AMQP: a queue of one's own, read through every reconnect.
//!
//! The queue is of this call alone, so that nobody else takes its receipts, and outlives the node that it was
//! declared on. After the sight of it was lost, and at the end, PostgreSQL is asked, if it can be reached.

pub(crate) mod ended;

use std::{collections::BTreeSet, ops::ControlFlow, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Connection,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use shared::{
    broker::{
        amqp::{self, AmqpError, within},
        topology::Topology,
    },
    message::receipt::Receipt,
    settings::{ServiceUrl, Settings},
    telemetry::chain,
};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use self::ended::EndedRuns;
use crate::{errors::CommandError, output::remark};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the broker keeps the queue while nobody reads it.
const EXPIRES_MS: i32 = 3_600_000;
/// Receipts under way at once.
const PREFETCH: u16 = 256;
/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

/// RabbitMQ 4 drops a message after 20 returns unless told otherwise.
const DELIVERY_LIMIT: i32 = i32::MAX;
/// Batches whose receipts are asked for one by one; for more, all receipts come.
const MOST_KEYS: usize = 50;
/// The longest name of a user, in bytes, that the name of a queue gets: a queue's has 255 at most.
const MOST_USER: usize = 128;
/// Longer than anybody waits.
const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A queue for the receipts of some batches.
pub(crate) struct Inbox {
    url: ServiceUrl,
    queue: String,
    exchange: String,
    keys: Vec<String>,
}

/// Why following receipts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All that was awaited has come.
    Complete,
    /// The time was up.
    TimedOut,
}

/// The end of a time limit. One past what the clock can say counts as years.
pub(crate) fn deadline(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + YEARS)
}

impl Inbox {
    /// The inbox of a batch.
    pub(crate) fn of_batch(batch: Uuid, settings: &Settings, topology: &Topology) -> Self {
        Self::new(&batch.to_string(), &[batch.to_string()], settings, topology)
    }

    /// The inbox of jobs of these batches, for one operation.
    pub(crate) fn of_batches(
        operation: Uuid,
        batches: &BTreeSet<Option<Uuid>>,
        settings: &Settings,
        topology: &Topology,
    ) -> Self {
        let key = |batch: &Option<Uuid>| batch.map_or_else(|| "-".to_owned(), |batch| batch.to_string());
        let keys = if batches.len() > MOST_KEYS { vec!["*".to_owned()] } else { batches.iter().map(key).collect() };
        Self::new(&format!("replay.{operation}"), &keys, settings, topology)
    }

    fn new(name: &str, batches: &[String], settings: &Settings, topology: &Topology) -> Self {
        // A user may be given the right to queues whose names have its own, and to no others.
        let user = amqp::user_of(settings.amqp_url.expose()).filter(|user| user.as_str().len() <= MOST_USER);
        let user = user.map(|user| format!("{user}.")).unwrap_or_default();
        Self {
            url: settings.amqp_url.clone(),
            queue: format!("{}.receipts.{user}{name}.{}", settings.namespace, Uuid::new_v4().simple()),
            exchange: topology.events.clone(),
            keys: batches.iter().map(|batch| format!("job.*.{batch}")).collect(),
        }
    }

    /// Declares and binds the queue. Only receipts sent after this returns are certain to arrive.
    pub(crate) async fn open(&self, connection: &Connection) -> Result<Channel, AmqpError> {
        let channel = within(LIMIT, "open a channel", connection.create_channel()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        arguments.insert("x-expires".into(), AMQPValue::LongInt(EXPIRES_MS));
        let queue = self.queue.as_str();
        let declare = channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments);
        within(LIMIT, "declare the queue of receipts", declare).await?;
        for key in &self.keys {
            let (exchange, key) = (self.exchange.as_str().into(), key.as_str().into());
            let options = QueueBindOptions::default();
            let bind = channel.queue_bind(queue.into(), exchange, key, options, FieldTable::default());
            within(LIMIT, "bind the queue of receipts", bind).await?;
        }
        Ok(channel)
    }

    /// Hands over every receipt until told to stop or the time is up, connecting again as needed.
    ///
    /// Of the jobs that are awaited still, those that have ended without a receipt that came are looked up.
    pub(crate) async fn follow(
        &self,
        until: Instant,
        ended: &EndedRuns<'_>,
        awaited: impl Fn() -> Vec<Uuid>,
        mut take: impl FnMut(Receipt) -> ControlFlow<()>,
    ) -> Ended {
        let look = async || ended.receipts(&awaited()).await;
        let listening = async {
            let mut lost = false;
            loop {
                match self.listen(&mut take, &look, &mut lost).await {
                    Ok(ControlFlow::Break(())) => break,
                    Ok(ControlFlow::Continue(())) => {}
                    Err(error) if lost => tracing::debug!(error = chain(&error), "still no receipts"),
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "lost sight of the receipts; connecting again");
                        lost = true;
                    }
                }
                sleep(PAUSE).await;
            }
        };
        match timeout_at(until, listening).await {
            Ok(()) => Ended::Complete,
            Err(_) => match look().await.map(|receipts| receipts.into_iter().any(|receipt| take(receipt).is_break())) {
                Ok(true) => Ended::Complete,
                Ok(false) => Ended::TimedOut,
                Err(error) => {
                    remark(&format!("jobs without a receipt could not be looked up: {}", error.line()));
                    Ended::TimedOut
                }
            },
        }
    }

    async fn listen(
        &self,
        take: &mut impl FnMut(Receipt) -> ControlFlow<()>,
        look: &impl AsyncFn() -> Result<Vec<Receipt>, CommandError>,
        lost: &mut bool,
    ) -> Result<ControlFlow<()>, AmqpError> {
        let connection = amqp::connect(&self.url, "aura-producer receipts").await?;
        let channel = self.open(&connection).await?;
        within(LIMIT, "limit the prefetch", channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        let consume = channel.basic_consume(queue, "".into(), options, FieldTable::default());
        let mut consumer = within(LIMIT, "deliver receipts", consume).await?;
        if std::mem::take(lost) {
            tracing::info!("the receipts are in sight again");
            // What ends from now on comes over this queue, be it the old one or a new one.
            match look().await.map(|receipts| receipts.into_iter().any(|receipt| take(receipt).is_break())) {
                Ok(true) => return Ok(ControlFlow::Break(())),
                Ok(false) => {}
                Err(error) => tracing::debug!(error = chain(&error), "jobs that may have ended are not looked up"),
            }
        }
        while let Some(delivery) = consumer.next().await {
            let delivery = delivery.map_err(|source| AmqpError::Broker { what: "deliver receipts", source })?;
            let flow = match serde_json::from_slice::<Receipt>(&delivery.data) {
                Ok(receipt) => take(receipt),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "a receipt cannot be read");
                    ControlFlow::Continue(())
                }
            };
            within(LIMIT, "take an acknowledgement", delivery.ack(BasicAckOptions::default())).await?;
            if flow.is_break() {
                let _ = within(LIMIT, "close", connection.close(200, "done".into())).await;
                return Ok(ControlFlow::Break(()));
            }
        }
        // The broker cancelled the consumer: the queue has gone.
        *lost = true;
        Ok(ControlFlow::Continue(()))
    }

    /// Deletes the queue; the broker would do so itself in an hour.
    pub(crate) async fn close(&self) {
        let delete = async {
            let connection = amqp::connect(&self.url, "aura-producer receipts").await?;
            let channel = within(LIMIT, "open a channel", connection.create_channel()).await?;
            let delete = channel.queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default());
            within(LIMIT, "delete the queue of receipts", delete).await?;
            within(LIMIT, "close", connection.close(200, "done".into())).await
        };
        if let Err(error) = delete.await {
            tracing::debug!(error = chain(&error), queue = self.queue, "the queue of receipts stays for an hour");
        }
    }
}
