//! The topology: exchanges and queues, declared alike by producer and worker.

use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use crate::broker::{amqp::AmqpError, retry::Delay};

/// The routing key of jobs.
pub const JOB_KEY: &str = "job";

/// The broker's codes of what a user may not, and of what is not there.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;

/// Far above any number of redeliveries. Without it RabbitMQ 4 drops a message after 20 returns.
const DELIVERY_LIMIT: i32 = i32::MAX;

/// The names of one installation's exchanges and queues.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The exchange to which jobs are published.
    pub jobs_exchange: String,
    /// The queue from which workers take jobs.
    pub jobs: String,
    /// The queues in which failed jobs wait, shortest first.
    pub retries: [RetryQueue; Delay::ALL.len()],
    /// The queue of dead letters.
    pub dead: String,
    /// The queue of jobs that are only to be tried. Workers of before this one do not know it.
    pub dry_runs: String,
    /// The exchange to which receipts go.
    pub events: String,
}

/// A queue that gives its messages back to the jobs queue after a while.
#[derive(Debug, Clone)]
pub struct RetryQueue {
    /// Its name.
    pub name: String,
    /// How long a message waits.
    pub delay: Delay,
}

/// Queues that are there with the arguments of an earlier version.
#[derive(Debug, Default)]
pub struct Outdated(Vec<String>);

impl Outdated {
    /// Returns whether a queue is one of them.
    pub fn contains(&self, queue: &str) -> bool {
        self.0.iter().any(|name| name == queue)
    }
}

/// The broker could not be given the topology.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// It is there with other arguments.
    #[error(
        "{kind} {name} is there with other arguments ({detail}); delete it once it is empty, or use another AURA_NAMESPACE"
    )]
    Mismatch {
        /// `queue` or `exchange`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the broker said: the argument, what it is and what was asked for.
        detail: String,
    },
    /// It is not there, and this user may not declare it.
    #[error(
        "{kind} {name} is not there, and this user may not declare it; have one that may run `aura-producer topology`, \
         or start a worker"
    )]
    Missing {
        /// `queue` or `exchange`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What lapin said.
        source: lapin::Error,
    },
    /// The broker was not reached.
    #[error("the topology cannot be declared")]
    Unreached {
        /// Why.
        source: AmqpError,
    },
    /// The broker went away, or refused.
    #[error("cannot declare {kind} {name}")]
    Broker {
        /// `queue` or `exchange`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What lapin said.
        source: lapin::Error,
    },
}

impl Topology {
    /// The names below a namespace, `aura` unless set otherwise.
    pub fn new(namespace: &str) -> Self {
        let retry =
            |delay: Delay| RetryQueue { name: format!("{namespace}.retry.{}s", delay.duration().as_secs()), delay };
        Self {
            jobs_exchange: format!("{namespace}.jobs"),
            jobs: format!("{namespace}.jobs"),
            retries: Delay::ALL.map(retry),
            dead: format!("{namespace}.dead"),
            dry_runs: format!("{namespace}.dry_runs"),
            events: format!("{namespace}.events"),
        }
    }

    /// The queue in which a job waits for that long.
    #[expect(clippy::indexing_slicing, reason = "there is a queue for each delay, in their order")]
    pub fn retry_queue(&self, delay: Delay) -> &str {
        &self.retries[delay.place()].name
    }

    /// Every queue with its arguments, and with those that it had in earlier versions, if they were others.
    ///
    /// What RabbitMQ would drop from the queue of jobs (a message that its publisher lets expire) becomes a
    /// dead letter. A limit that a policy sets makes a queue refuse messages, never drop them.
    fn queues(&self) -> Vec<(&str, FieldTable, Option<FieldTable>)> {
        let jobs = dead_lettering(quorum(), "", &self.dead);
        let mut dead = quorum();
        dead.insert("x-overflow".into(), text("reject-publish"));
        let mut queues = vec![
            (self.dead.as_str(), dead, Some(quorum())),
            (self.jobs.as_str(), jobs, Some(quorum())),
            (self.dry_runs.as_str(), quorum(), None),
        ];
        for retry in &self.retries {
            let mut arguments = dead_lettering(quorum(), &self.jobs_exchange, JOB_KEY);
            let ttl = i32::try_from(retry.delay.duration().as_millis()).unwrap_or(i32::MAX);
            arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(ttl));
            queues.push((retry.name.as_str(), arguments, None));
        }
        queues
    }

    /// Declares everything that is not there yet, and returns what an earlier version declared otherwise.
    ///
    /// A refused declaration closes its channel, so each has one of its own. Where this user may not declare something,
    /// it is enough that it is there.
    ///
    /// # Errors
    /// If something is there with other arguments, naming it and the argument, or the broker fails.
    pub async fn declare(&self, connection: &Connection) -> Result<Outdated, TopologyError> {
        let mut outdated = Outdated::default();
        for (name, kind) in [(&self.jobs_exchange, ExchangeKind::Direct), (&self.events, ExchangeKind::Topic)] {
            let fail = |source| explain("exchange", name, source);
            let channel = connection.create_channel().await.map_err(fail)?;
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let declared =
                channel.exchange_declare(name.as_str().into(), kind.clone(), durable, FieldTable::default()).await;
            match declared {
                Ok(()) => close(channel).await,
                Err(source) if is_forbidden(&source) => {
                    let channel = connection.create_channel().await.map_err(fail)?;
                    let passive = ExchangeDeclareOptions { passive: true, ..durable };
                    let there = channel.exchange_declare(name.as_str().into(), kind, passive, FieldTable::default());
                    there.await.map_err(|error| forbidden("exchange", name, source, error))?;
                    close(channel).await;
                }
                Err(source) => return Err(fail(source)),
            }
        }
        for (name, arguments, earlier) in self.queues() {
            let fail = |source| explain("queue", name, source);
            let channel = match (declare_queue(connection, name, arguments).await, earlier) {
                (Err(TopologyError::Mismatch { .. }), Some(earlier)) => {
                    let channel = declare_queue(connection, name, earlier).await?;
                    tracing::warn!(
                        queue = name,
                        "the queue has the arguments of an earlier version: what expires in it or exceeds a policy's \
                         limit is lost; delete it once it is empty, and it is declared again"
                    );
                    outdated.0.push(name.to_owned());
                    channel
                }
                (Err(TopologyError::Broker { source, .. }), _) if is_forbidden(&source) => {
                    let channel = connection.create_channel().await.map_err(fail)?;
                    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
                    let there = channel.queue_declare(name.into(), passive, FieldTable::default()).await;
                    there.map_err(|error| forbidden("queue", name, source, error))?;
                    // Who declared it has bound it.
                    close(channel).await;
                    continue;
                }
                (declared, _) => declared?,
            };
            if name == self.jobs {
                let (exchange, key) = (self.jobs_exchange.as_str().into(), JOB_KEY.into());
                let bound = channel
                    .queue_bind(name.into(), exchange, key, QueueBindOptions::default(), FieldTable::default())
                    .await;
                bound.map_err(fail)?;
            }
            close(channel).await;
        }
        Ok(outdated)
    }
}

async fn declare_queue(connection: &Connection, name: &str, arguments: FieldTable) -> Result<Channel, TopologyError> {
    let fail = |source| explain("queue", name, source);
    let channel = connection.create_channel().await.map_err(fail)?;
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await.map_err(fail)?;
    Ok(channel)
}

/// Returns whether the broker refused because this user lacks the right.
fn is_forbidden(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    error.get_id() == ACCESS_REFUSED
}

/// What to say where this user may not declare something: that, if it is not there, else what came in between.
fn forbidden(kind: &'static str, name: &str, refused: lapin::Error, looked: lapin::Error) -> TopologyError {
    let is_missing = matches!(looked.kind(), ErrorKind::ProtocolError(error) if error.get_id() == NOT_FOUND);
    if is_missing {
        TopologyError::Missing { kind, name: name.to_owned(), source: refused }
    } else {
        explain(kind, name, looked)
    }
}

async fn close(channel: Channel) {
    // The declaration stands whether or not the channel closes cleanly.
    let _ = channel.close(200, "declared".into()).await;
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    arguments
}

fn dead_lettering(mut arguments: FieldTable, exchange: &str, key: &str) -> FieldTable {
    arguments.insert("x-dead-letter-exchange".into(), text(exchange));
    arguments.insert("x-dead-letter-routing-key".into(), text(key));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn explain(kind: &'static str, name: &str, source: lapin::Error) -> TopologyError {
    let detail = source.to_string();
    let name = name.to_owned();
    if detail.contains("PRECONDITION_FAILED") || detail.contains("PRECONDITION-FAILED") {
        TopologyError::Mismatch { kind, name, detail }
    } else {
        TopologyError::Broker { kind, name, source }
    }
}
