//! Holds the queue of dead letters: one engineer at a time, and nothing is lost or reordered.
//!
//! An exclusive consumer takes all letters and acknowledges only those that were dealt with. The
//! others go back in their order when the channel closes, however the command ends.

use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt;
use lapin::{
    Acker, BasicProperties, Channel, Connection, Consumer, ErrorKind,
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
/// AMQP's access-refused: another consumer has the queue for itself.
const ACCESS_REFUSED: u16 = 403;

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
            Err(_) if ready(&counting, &topology.dead).await.map_err(failed)? == 0 => break,
            Err(_) => {}
        }
    }
    let truncated = seen >= usize::from(MOST) && ready(&counting, &topology.dead).await.map_err(failed)? > 0;
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

/// Starts the exclusive consumer; a refused attempt closes its channel.
async fn consume(
    connection: &Connection,
    queue: &str,
    settings: &Settings,
) -> Result<(Channel, Consumer), CommandError> {
    let failed = CommandError::broker(settings);
    let (started, mut told) = (Instant::now(), false);
    loop {
        let channel = within(LIMIT, "open a channel", connection.create_channel()).await.map_err(failed)?;
        let qos = channel.basic_qos(MOST, BasicQosOptions::default());
        within(LIMIT, "set the prefetch", qos).await.map_err(failed)?;
        let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let consume = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        match within(LIMIT, "deliver dead letters", consume).await {
            Ok(consumer) => return Ok((channel, consumer)),
            Err(error) if !is_held(&error) => return Err(failed(error)),
            Err(_) if started.elapsed() > POLITENESS => return Err(CommandError::Held { queue: queue.to_owned() }),
            Err(_) if !told => {
                remark(&format!("{queue} is held by another engineer's command; waiting"));
                told = true;
            }
            Err(_) => {}
        }
        sleep(Duration::from_millis(250)).await;
    }
}

fn is_held(error: &AmqpError) -> bool {
    if let AmqpError::Broker { source, .. } = error
        && let ErrorKind::ProtocolError(error) = source.kind()
    {
        return error.get_id() == ACCESS_REFUSED;
    }
    false
}

/// How many messages of the queue nobody has in hand.
async fn ready(channel: &Channel, queue: &str) -> Result<u32, AmqpError> {
    let declare = channel.queue_declare(queue.into(), QueueDeclareOptions::durable().passive(), FieldTable::default());
    Ok(within(LIMIT, "count the dead letters", declare).await?.message_count())
}
