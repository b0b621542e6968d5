//! Holds the queue of dead letters: one engineer at a time, and nothing is lost or reordered.
//!
//! Consumers take all letters and acknowledge only those that were dealt with. The others go back
//! in their order when the channels close, however the command ends.
//!
//! A letter is out of the queue long before it arrives, so an empty queue proves nothing. The letters are
//! counted before the first is taken, and the end is when so many have come.
//!
//! RabbitMQ 3.10 lets several consumers have a quorum queue although they ask for it exclusively. What
//! keeps a second engineer out is an exclusive queue beside it, which only one connection can have and
//! which goes with that connection.

use std::{collections::BTreeSet, time::Duration};

use chrono::Utc;
use futures_util::StreamExt;
use lapin::{
    Acker, BasicProperties, Channel, Connection, Consumer, ErrorKind, Queue,
    message::{BasicGetMessage, Delivery},
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions,
        QueueDeclareOptions,
    },
    types::FieldTable,
};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    broker::{
        amqp::{AmqpError, within},
        topology::Topology,
    },
    message::letter::Letter,
    settings::Settings,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{errors::CommandError, output::remark, topology};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait for an engineer who is at it already.
const POLITENESS: Duration = Duration::from_secs(5);
/// A pause this long means that no more will come, whatever was counted.
const STALLED: Duration = Duration::from_secs(30);
/// The most letters that a consumer holds at once: what a prefetch can say. RabbitMQ 3.10 takes a prefetch of
/// 0, which should be none, for one of 2,000 on a quorum queue.
const PREFETCH: u16 = u16::MAX;
/// The most consumers: a million letters are held at once.
const CONSUMERS: usize = 16;
/// RabbitMQ closes a channel that holds a message for 30 minutes.
const HOLD: Duration = Duration::from_secs(20 * 60);
/// AMQP's resource-locked: the exclusive queue is another connection's.
const RESOURCE_LOCKED: u16 = 405;

/// The dead letters that a command is about, taken out but not yet settled.
pub(crate) struct Held {
    connection: Connection,
    /// The channel of the oldest letter, where that was taken by itself.
    first: Option<Channel>,
    consumers: Vec<Consuming>,
    since: Instant,
    /// The queue's name.
    pub(crate) queue: String,
    /// The letters that were asked for, oldest first.
    pub(crate) letters: Vec<Dead>,
    /// How many letters the queue held at the beginning, and how many of all have been looked at.
    pub(crate) seen: Seen,
    /// The error codes of all letters.
    pub(crate) codes: BTreeSet<String>,
}

/// How much of the queue was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LettersSeen")]
pub(crate) struct Seen {
    /// Letters in the queue when the command began.
    pub(crate) letters: usize,
    /// Letters that were looked at.
    pub(crate) seen: usize,
}

impl Seen {
    /// Returns whether there are letters that were not looked at.
    pub(crate) fn is_partial(self) -> bool {
        self.seen < self.letters
    }

    /// What to say if there are, and what to do about it.
    pub(crate) fn warning(self, queue: &str) -> Option<String> {
        let Self { letters, seen } = self;
        self.is_partial().then(|| {
            format!(
                "only {seen} of {letters} letters of {queue} were seen, so others may be meant, too: run the command \
                 again, and replay or discard what was seen if there are more than it can hold"
            )
        })
    }
}

/// A consumer, and the channel that its letters go back through.
struct Consuming {
    channel: Channel,
    consumer: Consumer,
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
    let locked = lock(&connection, &topology.dead, settings).await?;
    let (first, oldest) = locked.first.unzip();
    let mut held = Held {
        connection,
        first,
        consumers: Vec::new(),
        since: Instant::now(),
        queue: topology.dead,
        letters: Vec::new(),
        seen: Seen { letters: locked.letters, seen: 0 },
        codes: BTreeSet::new(),
    };
    if let Some(oldest) = oldest {
        held.look_at(oldest.delivery, &select);
    }
    while held.seen.is_partial() && held.consumers.len() < CONSUMERS {
        if !held.take(&select).await.map_err(failed)? {
            break;
        }
    }
    Ok(held)
}

impl Held {
    /// Takes with one more consumer as many letters as it can hold, or are left; returns whether they came.
    ///
    /// The consumers follow each other, each with the letters behind those of the one before, so that all go
    /// back in their order.
    async fn take(&mut self, select: &impl Fn(&Letter) -> bool) -> Result<bool, AmqpError> {
        let what = "deliver dead letters";
        let due = (self.seen.letters - self.seen.seen).min(usize::from(PREFETCH));
        let channel = within(LIMIT, "open a channel", self.connection.create_channel()).await?;
        within(LIMIT, "set the prefetch", channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        // Where an exclusive consumer is one, there can be no second.
        let exclusive = self.seen.letters <= usize::from(PREFETCH);
        let options = BasicConsumeOptions { exclusive, ..BasicConsumeOptions::default() };
        let consume = channel.basic_consume(self.queue.as_str().into(), "".into(), options, FieldTable::default());
        let mut consumer = within(LIMIT, what, consume).await?;
        let mut came = 0;
        while came < due {
            let delivery = match timeout(STALLED, consumer.next()).await {
                Ok(Some(Ok(delivery))) => delivery,
                Ok(Some(Err(source))) => return Err(AmqpError::Broker { what, source }),
                Ok(None) => return Err(AmqpError::Timeout { what, limit: self.since.elapsed() }),
                Err(_) => break,
            };
            came += 1;
            self.look_at(delivery, select);
        }
        self.consumers.push(Consuming { channel, consumer });
        Ok(came == due)
    }

    /// Counts a letter, and keeps it if it is selected.
    fn look_at(&mut self, delivery: Delivery, select: &impl Fn(&Letter) -> bool) {
        let letter = Letter::read(&delivery.properties, &delivery.data, Utc::now());
        self.seen.seen += 1;
        if !self.codes.contains(&letter.code) {
            self.codes.insert(letter.code.clone());
        }
        if select(&letter) {
            let (body, properties) = (delivery.data, delivery.properties);
            self.letters.push(Dead { letter, body, properties, acker: delivery.acker });
        }
    }

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
        // None must be delivered what another gives back.
        for Consuming { channel, consumer } in &self.consumers {
            let cancel = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            let _ = within(LIMIT, "deliver no more", cancel).await;
        }
        // A channel that is closed cleanly has told the broker of every letter taken out.
        for channel in self.first.iter().chain(self.consumers.iter().map(|consuming| &consuming.channel)) {
            topology::close(channel).await;
        }
        topology::hang_up(self.connection).await;
    }
}

/// What RabbitMQ counts.
pub(crate) struct Counted {
    /// Messages that nobody has in hand.
    pub(crate) messages: usize,
    /// Whether somebody consumes from the queue.
    pub(crate) is_in_hand: bool,
}

/// Counts the letters and takes none.
///
/// # Errors
/// If the broker fails.
pub(crate) async fn count(settings: &Settings) -> Result<Counted, CommandError> {
    let topology = Topology::new(&settings.namespace);
    let connection = topology::declare(settings, &topology).await?;
    let counted = async {
        let channel = within(LIMIT, "open a channel", connection.create_channel()).await?;
        let counted = state(&channel, &topology.dead).await;
        topology::close(&channel).await;
        counted
    };
    let counted = counted.await.map_err(CommandError::broker(settings))?;
    topology::hang_up(connection).await;
    Ok(Counted { messages: whole(counted.message_count()), is_in_hand: counted.consumer_count() > 0 })
}

/// The right to the letters.
struct Locked {
    /// How many letters there are.
    letters: usize,
    /// The oldest, and its channel, where it had to be taken for them to be counted.
    first: Option<(Channel, BasicGetMessage)>,
}

/// Waits, for as long as is polite, until nobody else has letters in hand.
async fn lock(connection: &Connection, queue: &str, settings: &Settings) -> Result<Locked, CommandError> {
    let failed = CommandError::broker(settings);
    let (started, mut told) = (Instant::now(), false);
    loop {
        if let Some(locked) = lock_if_free(connection, queue).await.map_err(failed)? {
            return Ok(locked);
        }
        if started.elapsed() > POLITENESS {
            return Err(CommandError::Held { queue: queue.to_owned() });
        }
        if !told {
            remark(&format!("{queue} is held by another engineer's command; waiting"));
            told = true;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// The right to the letters, if no other connection has it, and those before it have given theirs back.
async fn lock_if_free(connection: &Connection, queue: &str) -> Result<Option<Locked>, AmqpError> {
    // A refused declaration closes its channel.
    let channel = within(LIMIT, "open a channel", connection.create_channel()).await?;
    let lock = format!("{queue}.lock");
    let declare = channel.queue_declare(
        lock.as_str().into(),
        QueueDeclareOptions::exclusive().auto_delete(),
        FieldTable::default(),
    );
    match within(LIMIT, "lock the dead letters", declare).await {
        Ok(_) => {}
        Err(error) if is_held(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let counted = state(&channel, queue).await?;
    if counted.consumer_count() > 0 {
        return Ok(None);
    }
    if counted.message_count() > 0 {
        return Ok(Some(Locked { letters: whole(counted.message_count()), first: None }));
    }
    // RabbitMQ also counts 0 while the node that leads the queue is away or busy. A letter is had from that
    // node alone, and so is the number of those behind it.
    let get = channel.basic_get(queue.into(), BasicGetOptions::default());
    let Some(first) = within(LIMIT, "look into the dead letters", get).await? else {
        return Ok(Some(Locked { letters: 0, first: None }));
    };
    // A quorum queue counts whoever has a letter in hand among its consumers.
    if state(&channel, queue).await?.consumer_count() > 1 {
        let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        within(LIMIT, "take a letter back", first.nack(back)).await?;
        return Ok(None);
    }
    // It stays in hand: given back by itself, it would lie behind all that were given back before.
    Ok(Some(Locked { letters: whole(first.message_count).saturating_add(1), first: Some((channel, first)) }))
}

fn whole(letters: u32) -> usize {
    usize::try_from(letters).unwrap_or(usize::MAX)
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
