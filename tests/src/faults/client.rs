//! A plain AMQP client that keeps at it: it publishes until a message is confirmed, and listens to
//! receipts on a queue that outlives the broker's restarts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};
use uuid::Uuid;

use crate::wait::until;

/// How long one try may take, and how long all of them together.
const TRY: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);
/// Messages that are published at the same time.
const LANES: usize = 8;
/// The queue in which receipts wait for the client.
pub const RECEIPTS: &str = "tests.receipts";

/// A dead letter: its body, and its headers as text.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The body.
    pub body: Vec<u8>,
    /// The headers, numbers as their digits.
    pub headers: BTreeMap<String, String>,
}

impl Letter {
    /// Whether the broker put it there because it had expired, and no worker has seen it since.
    pub fn has_expired(&self) -> bool {
        self.headers.get("x-first-death-reason").is_some_and(|reason| reason == "expired")
            && !self.headers.contains_key("aura-error-code")
    }

    /// The identity of its job: the worker's header, else the body's.
    pub fn job_id(&self) -> Option<Uuid> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let header = self.headers.get("aura-job-id").and_then(|id| id.parse().ok());
        header.or_else(|| body["job_id"].as_str()?.parse().ok())
    }
}

struct Lane {
    connection: Connection,
    channel: Channel,
}

/// The client. Its listener ends with it.
pub struct Client {
    url: String,
    lanes: Vec<Mutex<Option<Lane>>>,
    next: AtomicUsize,
    receipts: Arc<StdMutex<Vec<Value>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn connect(url: &str) -> lapin::Result<Connection> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    timeout(TRY, connecting).await.unwrap_or_else(|_| Err(lapin::ErrorKind::MissingHeartbeatError.into()))
}

impl Client {
    /// A client whose receipts are kept from now on.
    pub async fn connect(url: &str) -> Self {
        let receipts = Arc::new(StdMutex::new(Vec::new()));
        let (to, kept) = (url.to_owned(), Arc::clone(&receipts));
        let ready = Arc::new(tokio::sync::Notify::new());
        let told = Arc::clone(&ready);
        let listening = tokio::spawn(async move {
            loop {
                let _ = listen(&to, &kept, &told).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        timeout(PATIENCE, ready.notified()).await.expect("receipts can be listened to");
        let lanes = (0..LANES).map(|_| Mutex::new(None)).collect();
        Self { url: url.to_owned(), lanes, next: AtomicUsize::new(0), receipts, listening }
    }

    /// Publishes a job until the broker confirms it; returns how often it was sent.
    ///
    /// # Panics
    /// If that takes longer than two minutes.
    pub async fn publish(&self, body: &[u8], properties: BasicProperties) -> u32 {
        let lane = self.next.fetch_add(1, Ordering::Relaxed) % LANES;
        let mut lane = self.lanes[lane].lock().await;
        let mut sent = 0;
        until("a message is confirmed", PATIENCE, async || {
            match timeout(TRY, publish_once(&self.url, &mut lane, body, properties.clone(), &mut sent)).await {
                Ok(Ok(true)) => Some(()),
                Ok(Ok(false) | Err(_)) | Err(_) => {
                    *lane = None;
                    None
                }
            }
        })
        .await;
        sent
    }

    /// Every receipt so far.
    pub fn receipts(&self) -> Vec<Value> {
        self.receipts.lock().expect("the list").clone()
    }

    /// The receipts of a job so far.
    pub fn receipts_of(&self, job_id: Uuid) -> Vec<Value> {
        let id = job_id.to_string();
        let all = self.receipts.lock().expect("the list");
        all.iter().filter(|receipt| receipt["job_id"] == id.as_str()).cloned().collect()
    }

    /// Waits for a job's first receipt.
    pub async fn receipt(&self, job_id: Uuid, limit: Duration) -> Value {
        let what = format!("the receipt of {job_id}");
        until(&what, limit, async || self.receipts_of(job_id).into_iter().next()).await
    }

    /// The messages of a queue, left where they are. None if the broker does not let them be seen.
    pub async fn look(&self, queue: &str) -> Option<Vec<Letter>> {
        let connection = connect(&self.url).await.ok()?;
        let channel = connection.create_channel().await.ok()?;
        let mut letters = Vec::new();
        while let Some(message) = channel.basic_get(queue.into(), BasicGetOptions::default()).await.ok()? {
            let headers = message.properties.headers().clone().unwrap_or_default();
            let headers = headers.inner().iter().map(|(name, value)| (name.to_string(), plain(value))).collect();
            letters.push(Letter { body: message.data.clone(), headers });
        }
        // What was not acknowledged goes back with the connection.
        let _ = connection.close(200, "looked".into()).await;
        Some(letters)
    }

    /// How many messages lie ready in a queue; none if it cannot be asked.
    pub async fn depth(&self, queue: &str) -> Option<u32> {
        let connection = connect(&self.url).await.ok()?;
        let channel = connection.create_channel().await.ok()?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
        let depth = timeout(TRY, declared).await.ok()?.ok()?.message_count();
        let _ = connection.close(200, "counted".into()).await;
        Some(depth)
    }
}

async fn publish_once(
    url: &str,
    lane: &mut Option<Lane>,
    body: &[u8],
    properties: BasicProperties,
    sent: &mut u32,
) -> lapin::Result<bool> {
    if lane.as_ref().is_none_or(|lane| !lane.connection.status().connected()) {
        let connection = connect(url).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        *lane = Some(Lane { connection, channel });
    }
    let Some(lane) = lane else { return Ok(false) };
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    *sent += 1;
    let properties = properties.with_delivery_mode(2);
    let publish = lane.channel.basic_publish("aura.jobs".into(), "job".into(), mandatory, body, properties).await?;
    Ok(matches!(publish.await?, Confirmation::Ack(None)))
}

/// Listens until the broker says no more, or keeps receipts back.
async fn listen(url: &str, kept: &StdMutex<Vec<Value>>, ready: &tokio::sync::Notify) -> lapin::Result<()> {
    let late = || lapin::Error::from(lapin::ErrorKind::MissingHeartbeatError);
    let connection = connect(url).await?;
    // A node that has just lost the leader of a queue may never answer what it was asked about it.
    let (channel, mut consumer) = timeout(TRY, consume(&connection)).await.map_err(|_| late())??;
    ready.notify_one();
    loop {
        match timeout(TRY, consumer.next()).await {
            Ok(Some(delivery)) => {
                let delivery = delivery?;
                let receipt = serde_json::from_slice(&delivery.data).unwrap_or_default();
                kept.lock().expect("the list").push(receipt);
                // A connection whose other end has gone may take nothing any more, and say nothing of it.
                timeout(TRY, delivery.ack(BasicAckOptions::default())).await.map_err(|_| late())??;
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                let passive = QueueDeclareOptions { passive: true, ..Default::default() };
                let declared = channel.queue_declare(RECEIPTS.into(), passive, FieldTable::default());
                if timeout(TRY, declared).await.map_err(|_| late())??.message_count() > 0 {
                    eprintln!("receipts wait in {RECEIPTS}, and its consumer gets none: it begins again");
                    return Err(late());
                }
            }
        }
    }
}

async fn consume(connection: &Connection) -> lapin::Result<(Channel, Consumer)> {
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let events = "aura.events";
    let none = FieldTable::default;
    channel.exchange_declare(events.into(), ExchangeKind::Topic, durable, none()).await?;
    let lasting = QueueDeclareOptions { durable: true, ..Default::default() };
    // Like Aura's own, it outlives a node of a cluster, and any number of returns.
    let mut quorum = none();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    quorum.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
    channel.queue_declare(RECEIPTS.into(), lasting, quorum).await?;
    channel.queue_bind(RECEIPTS.into(), events.into(), "#".into(), QueueBindOptions::default(), none()).await?;
    let consumer = channel.basic_consume(RECEIPTS.into(), "".into(), BasicConsumeOptions::default(), none()).await?;
    Ok((channel, consumer))
}

fn plain(value: &AMQPValue) -> String {
    if let AMQPValue::LongString(text) = value {
        return String::from_utf8_lossy(text.as_bytes()).into_owned();
    }
    let whole = value.as_long_long_int().or_else(|| value.as_long_int().map(i64::from));
    whole.map_or_else(|| format!("{value:?}"), |number| number.to_string())
}
