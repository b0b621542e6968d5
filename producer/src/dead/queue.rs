//! Holds the queue of dead letters: one engineer at a time, and nothing is lost or reordered.
//!
//! A consumer takes all letters and acknowledges only those that were dealt with. The others go back
//! in their order when the channel closes, however the command ends.
//!
//! RabbitMQ 3.10 lets several consumers have a quorum queue although they ask for it exclusively. What
//! keeps a second engineer out is an exclusive queue beside it, which only one connection can have and
//! which goes with that connection.

use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt;
use lapin::{
    Acker, BasicProperties, Channel, Connection, Consumer, ErrorKind, Queue,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    types::FieldTable,
};
use shared::{
    amqp::{AmqpError, within},
    settings::Settings,
    topology::Topology,
};
use tokio::time::{Instant, sleep, timeout};

use super::letter::Letter;
use crate::{answer::remark, error::CommandError, topology};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait for an engineer who is at it already.
const POLITENESS: Duration = Duration::from_secs(5);
/// A pause this long tells that what was there has come, if the queue says so, too.
const QUIET: Duration = Duration::from_millis(100);
/// How long letters may take to come; new ones may arrive faster than they are read.
const TAKING: Duration = Duration::from_secs(60);
/// The most letters that are held at once: what a prefetch can say.
const MOST: u16 = u16::MAX;
/// RabbitMQ closes a channel that holds a message for 30 minutes.
const HOLD: Duration = Duration::from_secs(20 * 60);
/// AMQP's resource-locked: the exclusive queue is another connection's.
const RESOURCE_LOCKED: u16 = 405;

/// The dead letters that a command is about, taken out but not yet settled.
pub(crate) struct Held {
    connection: Connection,
    channel: Channel,
    since: Instant,
    /// The queue's name.
    pub(crate) queue: String,
    /// The letters that were asked for, oldest first.
    pub(crate) letters: Vec<Dead>,
    /// How many letters the queue held.
    pub(crate) seen: usize,
    /// Whether there were more than can be held.
    pub(crate) truncated: bool,
}

/// A dead letter in hand.
pub(crate) struct Dead {
    pub(crate) letter: Letter,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: BasicProperties,
    acker: Acker,
}

impl Dead {
    /// Takes it out of the queue for good.
    ///
    /// # Errors
    /// If that could not be told to the broker; then the letter stays.
    pub(crate) async fn take_out(&self) -> Result<(), AmqpError> {
        let what = "take a dead letter out";
        if within(LIMIT, what, self.acker.ack(BasicAckOptions::default())).await? {
            Ok(())
        } else {
            Err(AmqpError::Timeout { what, limit: Duration::ZERO })
        }
    }
}

/// Takes the whole queue in hand and keeps the letters that are selected.
///
/// # Errors
/// If the broker fails, or another engineer holds the queue for longer than is polite to wait.
pub(crate) async fn hold(settings: &Settings, select: impl Fn(&Letter) -> bool) -> Result<Held, CommandError> {
    let topology = Topology::new(&settings.namespace);
    let connection = topology::declare(settings, &topology).await?;
    let failed = CommandError::broker(settings);
    let (channel, mut consumer) = consume(&connection, &topology.dead, settings).await?;
    let since = Instant::now();
    let counting = within(LIMIT, "open a channel", connection.create_channel()).await.map_err(failed)?;
    let (mut letters, mut seen) = (Vec::new(), 0);
    let now = Utc::now();
    while seen < usize::from(MOST) && since.elapsed() < TAKING {
        match timeout(QUIET, consumer.next()).await {
            Ok(Some(Ok(delivery))) => {
                seen += 1;
                let letter = Letter::read(&delivery.properties, &delivery.data, now);
                if select(&letter) {
                    let (body, properties) = (delivery.data, delivery.properties);
                    letters.push(Dead { letter, body, properties, acker: delivery.acker });
                }
            }
            Ok(Some(Err(source))) => return Err(failed(AmqpError::Broker { what: "deliver dead letters", source })),
            Ok(None) => {
                return Err(failed(AmqpError::Timeout { what: "deliver dead letters", limit: since.elapsed() }));
            }
            Err(_) if state(&counting, &topology.dead).await.map_err(failed)?.message_count() == 0 => break,
            Err(_) => {}
        }
    }
    let left = state(&counting, &topology.dead).await.map_err(failed)?.message_count();
    let truncated = seen >= usize::from(MOST) && left > 0;
    Ok(Held { connection, channel, since, queue: topology.dead, letters, seen, truncated })
}

impl Held {
    /// Whether the broker will soon take the letters back by itself.
    pub(crate) fn is_stale(&self) -> bool {
        self.since.elapsed() > HOLD
    }

    /// The connection that holds the queue.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Gives back what was not taken out.
    pub(crate) async fn release(self) {
        // A channel that is closed in good order has told the broker of every letter taken out.
        let _ = within(LIMIT, "close", self.channel.close(200, "done".into())).await;
        topology::hang_up(self.connection).await;
    }
}

/// Waits, for as long as is polite, until nobody else has letters in hand, and starts to take them.
async fn consume(
    connection: &Connection,
    queue: &str,
    settings: &Settings,
) -> Result<(Channel, Consumer), CommandError> {
    let failed = CommandError::broker(settings);
    let (started, mut told) = (Instant::now(), false);
    while !is_mine(connection, queue).await.map_err(failed)? {
        if started.elapsed() > POLITENESS {
            return Err(CommandError::Held { queue: queue.to_owned() });
        }
        if !told {
            remark(&format!("{queue} is held by another engineer's command; waiting"));
            told = true;
        }
        sleep(Duration::from_millis(250)).await;
    }
    let consuming = async {
        let channel = within(LIMIT, "open a channel", connection.create_channel()).await?;
        within(LIMIT, "set the prefetch", channel.basic_qos(MOST, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let consume = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let consumer = within(LIMIT, "deliver dead letters", consume).await?;
        Ok((channel, consumer))
    };
    consuming.await.map_err(failed)
}

/// Whether this connection has the right to the letters, and those before it have given theirs back.
async fn is_mine(connection: &Connection, queue: &str) -> Result<bool, AmqpError> {
    // A refused declaration closes its channel.
    let channel = within(LIMIT, "open a channel", connection.create_channel()).await?;
    let lock = format!("{queue}.lock");
    let declare = channel.queue_declare(
        lock.as_str().into(),
        QueueDeclareOptions::exclusive().auto_delete(),
        FieldTable::default(),
    );
    match within(LIMIT, "lock the dead letters", declare).await {
        Ok(_) => Ok(state(&channel, queue).await?.consumer_count() == 0),
        Err(error) if is_held(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_held(error: &AmqpError) -> bool {
    if let AmqpError::Broker { source, .. } = error
        && let ErrorKind::ProtocolError(error) = source.kind()
    {
        return error.get_id() == RESOURCE_LOCKED;
    }
    false
}

/// How many letters nobody has in hand, and how many consumers there are.
async fn state(channel: &Channel, queue: &str) -> Result<Queue, AmqpError> {
    let declare = channel.queue_declare(queue.into(), QueueDeclareOptions::durable().passive(), FieldTable::default());
    within(LIMIT, "count the dead letters", declare).await
}
