//! A publisher that knows what arrived: every message is confirmed, and a lost connection is opened again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, Event,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    time::timeout,
};

use crate::{
    broker::{
        amqp::{AmqpError, CONNECT_TIMEOUT, connect, user_of, within},
        topology::{Topology, TopologyError},
    },
    message::outgoing::Outgoing,
    settings::ServiceUrl,
};

/// How long a publish and its confirm may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a blocked connection is looked at.
const BLOCKED_INTERVAL: Duration = Duration::from_millis(200);
/// Publishes under way at once; each needs a channel of its own.
const CHANNELS: usize = 16;

/// Publishes with confirms over a connection of its own, and connects again when that is lost.
pub struct Publisher {
    url: ServiceUrl,
    user: Option<ShortString>,
    /// Whether the broker has refused that user's name as its own.
    is_unknown: AtomicBool,
    name: String,
    link: AsyncMutex<Option<Link>>,
    idle: Mutex<Vec<Channel>>,
    permits: Semaphore,
}

struct Link {
    connection: Connection,
    blocked: Arc<AtomicBool>,
}

impl Publisher {
    /// A publisher that connects when it is first needed.
    pub fn new(url: &ServiceUrl, name: &str) -> Self {
        Self {
            url: url.clone(),
            user: user_of(url.expose()),
            is_unknown: AtomicBool::new(false),
            name: name.to_owned(),
            link: AsyncMutex::new(None),
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(CHANNELS),
        }
    }

    /// Publishes one message and returns once the broker has confirmed it.
    ///
    /// # Errors
    /// If the broker did not take it, nothing is bound for it, or no answer came in time; then
    /// it may nevertheless have arrived.
    pub async fn publish(&self, message: &Outgoing) -> Result<(), AmqpError> {
        let names_user = self.names_user(message);
        match self.publish_once(message).await {
            Err(error) if names_user && error.is_about_user_id() => {
                if !self.is_unknown.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the broker knows this program by another name than its URL's; it vouches for nobody"
                    );
                }
                self.publish_once(message).await
            }
            published => published,
        }
    }

    async fn publish_once(&self, message: &Outgoing) -> Result<(), AmqpError> {
        let limit = PUBLISH_TIMEOUT;
        let attempt = async {
            let Ok(_permit) = self.permits.acquire().await else { return Err(AmqpError::Refused) };
            let channel = self.channel().await?;
            let options = BasicPublishOptions { mandatory: message.mandatory, ..BasicPublishOptions::default() };
            let properties = message.all_properties(self.names_user(message));
            let (exchange, key) = (message.exchange.as_str().into(), message.key.as_str().into());
            let fail = |source| AmqpError::Broker { what: "take a message", source };
            let sent = channel.basic_publish(exchange, key, options, &message.body, properties).await.map_err(fail)?;
            let confirmation = sent.await.map_err(fail)?;
            // A channel whose publish failed or was given up is not used again: its answer could
            // be taken for the next one's. One that refused is not either: where the node that led a queue
            // died before the channel's first message to it, RabbitMQ's channel asks that node again for each.
            if matches!(confirmation, Confirmation::Ack(_)) {
                self.return_channel(channel);
            }
            Ok(confirmation)
        };
        let Ok(confirmed) = timeout(limit, attempt).await else {
            self.abandon().await;
            return Err(AmqpError::Timeout { what: "confirm a message", limit });
        };
        match confirmed? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => {
                Err(AmqpError::Unroutable { exchange: message.exchange.clone(), key: message.key.clone() })
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(AmqpError::Refused),
        }
    }

    /// Whom the broker can vouch for as the publisher, if the URL says.
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(ShortString::as_str)
    }

    /// Asks the broker, with a message that no queue takes, whether it knows this publisher by the name in the URL.
    /// Of a login by token or certificate, it may know another name.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn is_vouched_for(&self) -> Result<bool, AmqpError> {
        let Some(user) = self.user.clone() else { return Ok(false) };
        let nowhere = Outgoing {
            exchange: String::new(),
            key: format!("aura-nowhere-{}", uuid::Uuid::new_v4()),
            body: Vec::new(),
            properties: BasicProperties::default(),
            headers: FieldTable::default(),
            user_id: Some(user),
            mandatory: false,
        };
        self.publish(&nowhere).await?;
        Ok(!self.is_unknown.load(Ordering::Relaxed))
    }

    /// Whether the broker is asked to vouch for a message's user: it refuses any but its own.
    fn names_user(&self, message: &Outgoing) -> bool {
        message.user_id.is_some() && self.user == message.user_id && !self.is_unknown.load(Ordering::Relaxed)
    }

    /// Gives up a connection that does not answer, unless the broker has said that it takes nothing for now.
    async fn abandon(&self) {
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|link| !link.blocked.load(Ordering::Relaxed)) {
            *link = None;
            if let Ok(mut idle) = self.idle.lock() {
                idle.clear();
            }
        }
    }

    /// Waits as long as the broker says that it takes no messages.
    pub async fn unblocked(&self) {
        while self.link.lock().await.as_ref().is_some_and(|link| link.blocked.load(Ordering::Relaxed)) {
            tokio::time::sleep(BLOCKED_INTERVAL).await;
        }
    }

    /// Declares the topology over this publisher's connection, within the time of a publish.
    ///
    /// # Errors
    /// If the broker fails, refuses, or does not answer in time.
    pub async fn declare(&self, topology: &Topology) -> Result<(), TopologyError> {
        let lost = |source| TopologyError::Unreached { source };
        self.ensure_connected().await.map_err(lost)?;
        let link = self.link.lock().await;
        let Some(link) = link.as_ref() else { return Err(lost(AmqpError::Refused)) };
        let limit = PUBLISH_TIMEOUT;
        let late = AmqpError::Timeout { what: "declare the topology", limit };
        timeout(limit, topology.declare(&link.connection)).await.map_err(|_| lost(late))?.map(|_| ())
    }

    /// How many messages lie ready in a queue.
    ///
    /// # Errors
    /// If the broker fails, or does not answer in time.
    pub async fn depth(&self, queue: &str) -> Result<u32, AmqpError> {
        // What a blocked connection asks, the broker reads only once it takes messages again.
        let own = if self.is_blocked() { Some(connect(&self.url, &self.name).await?) } else { None };
        let count = async {
            let channel = match &own {
                Some(own) => own.create_channel().await?,
                None => {
                    let link = self.link.lock().await;
                    let Some(link) = link.as_ref() else { return Ok(None) };
                    link.connection.create_channel().await?
                }
            };
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
            channel.close(200, "counted".into()).await?;
            Ok(Some(queue.message_count()))
        };
        let counted = within(CONNECT_TIMEOUT, "count messages", count).await;
        if let Some(own) = own {
            let _ = within(CONNECT_TIMEOUT, "close", own.close(200, "counted".into())).await;
        }
        counted?.ok_or(AmqpError::Refused)
    }

    /// Whether the connection stands and the broker takes messages.
    pub async fn is_ready(&self) -> bool {
        let link = self.link.lock().await;
        link.as_ref().is_some_and(|link| link.connection.status().connected() && !link.blocked.load(Ordering::Relaxed))
    }

    /// Whether the broker is known to take no messages, as it does when it is short of memory or disk. It never waits,
    /// for whoever may not: while the connection is being made, nothing is known.
    pub fn is_blocked(&self) -> bool {
        let link = self.link.try_lock();
        link.is_ok_and(|link| link.as_ref().is_some_and(|link| link.blocked.load(Ordering::Relaxed)))
    }

    /// Connects, if that has not happened yet or the connection is lost.
    ///
    /// # Errors
    /// If the broker refuses, or does not answer in time.
    pub async fn ensure_connected(&self) -> Result<(), AmqpError> {
        let mut link = self.link.lock().await;
        if !link.as_ref().is_some_and(|link| link.connection.status().connected()) {
            *link = Some(Link::open(&self.url, &self.name).await?);
        }
        Ok(())
    }

    /// Closes the connection cleanly.
    pub async fn close(&self) {
        if let Some(link) = self.link.lock().await.take() {
            let _ = within(CONNECT_TIMEOUT, "close", link.connection.close(200, "done".into())).await;
        }
    }

    async fn channel(&self) -> Result<Channel, AmqpError> {
        while let Some(channel) = self.pop_idle() {
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        self.ensure_connected().await?;
        let link = self.link.lock().await;
        let Some(link) = link.as_ref() else { return Err(AmqpError::Refused) };
        let fail = |source| AmqpError::Broker { what: "open a channel", source };
        let channel = link.connection.create_channel().await.map_err(fail)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(fail)?;
        Ok(channel)
    }

    fn pop_idle(&self) -> Option<Channel> {
        self.idle.lock().ok()?.pop()
    }

    fn return_channel(&self, channel: Channel) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(channel);
        }
    }
}

impl Link {
    async fn open(url: &ServiceUrl, name: &str) -> Result<Self, AmqpError> {
        let connection = connect(url, name).await?;
        let blocked = Arc::new(AtomicBool::new(false));
        let (mut events, flag) = (connection.events_listener(), Arc::clone(&blocked));
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::ConnectionBlocked(reason) => {
                        tracing::warn!(reason, "the broker takes no messages for now");
                        flag.store(true, Ordering::Relaxed);
                    }
                    Event::ConnectionUnblocked => {
                        tracing::info!("the broker takes messages again");
                        flag.store(false, Ordering::Relaxed);
                    }
                    Event::Error(_) => break,
                    // The library may tell of more than concerns a publisher.
                    Event::Connected | Event::SendFlow(_) | _ => {}
                }
            }
        });
        Ok(Self { connection, blocked })
    }
}
