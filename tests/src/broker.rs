//! RabbitMQ as an export job, a finance system and an engineer meet it: a plain AMQP client.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::wait::{SOON, until};

/// A receipt as it came over `aura.events`.
#[derive(Debug, Clone)]
pub struct Received {
    /// The routing key.
    pub key: String,
    /// The receipt.
    pub body: Value,
}

/// A dead letter, looked at and left where it is.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The body.
    pub body: Vec<u8>,
    /// The headers.
    pub headers: BTreeMap<String, Value>,
    /// The properties.
    pub properties: BasicProperties,
}

impl DeadLetter {
    /// A header as text; a whole number as its digits.
    pub fn header(&self, name: &str) -> String {
        match self.headers.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }
}

/// A plain client's connection, and the receipts that have come so far.
pub struct Broker {
    connection: Connection,
    channel: Channel,
    received: Arc<Mutex<Vec<(Instant, Received)>>>,
}

impl Broker {
    /// Connects, and listens to all receipts from now on.
    pub async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await;
        let connection = connection.unwrap_or_else(|error| {
            panic!("RabbitMQ does not answer ({error}); start the services with 'deploy/local up'")
        });
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");

        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let events = "aura.events";
        let none = FieldTable::default;
        channel.exchange_declare(events.into(), ExchangeKind::Topic, durable, none()).await.expect("the exchange");
        let own = QueueDeclareOptions { exclusive: true, ..Default::default() };
        let queue = channel.queue_declare("".into(), own, none()).await.expect("a queue").name().clone();
        let bind = QueueBindOptions::default();
        channel.queue_bind(queue.clone(), events.into(), "#".into(), bind, none()).await.expect("a binding");
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let mut consumer = channel.basic_consume(queue, "".into(), options, none()).await.expect("a consumer");
        let received = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&received);
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let body = serde_json::from_slice(&delivery.data).unwrap_or(Value::Null);
                let one = Received { key: delivery.routing_key.to_string(), body };
                list.lock().expect("the list").push((Instant::now(), one));
            }
        });
        Self { connection, channel, received }
    }

    /// Publishes a body without any property.
    pub async fn publish(&self, body: &[u8]) {
        self.publish_with(body, BasicProperties::default()).await;
    }

    /// Publishes a body with these properties and headers.
    pub async fn publish_with(&self, body: &[u8], properties: BasicProperties) {
        self.publish_to("aura.jobs", "job", body, properties).await;
    }

    /// Publishes to any exchange and waits for the confirm.
    pub async fn publish_to(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
        let confirmed = sent.expect("the broker takes a message").await.expect("a confirm");
        assert!(matches!(confirmed, Confirmation::Ack(None)), "the message found no queue: {confirmed:?}");
    }

    /// Asks for a dry run of a job as a plain client would, and returns the answer.
    pub async fn dry_run(&self, job: &Value) -> Value {
        let channel = self.connection.create_channel().await.expect("a channel");
        let (answers, queue) = ("amq.rabbitmq.reply-to", "aura.dry_runs");
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consumer = channel.basic_consume(answers.into(), "".into(), options, FieldTable::default()).await;
        let mut consumer = consumer.expect("a consumer");
        let properties = BasicProperties::default().with_reply_to(answers.into());
        let (options, body) = (BasicPublishOptions::default(), job.to_string());
        let sent = channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await;
        sent.expect("the broker takes a message");
        let answer = tokio::time::timeout(SOON, consumer.next()).await.expect("a worker answers");
        let answer = answer.expect("the channel stays open").expect("an answer");
        channel.close(200, "answered".into()).await.expect("a channel closes");
        serde_json::from_slice(&answer.data).expect("an answer is JSON")
    }

    /// Declares a queue of the test's own.
    pub async fn declare(&self, queue: &str, arguments: FieldTable) {
        let declared = self.channel.queue_declare(queue.into(), QueueDeclareOptions::default(), arguments).await;
        declared.expect("a queue is declared");
    }

    /// Binds a queue of the test's own.
    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let bound = self.channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await;
        bound.expect("a queue is bound");
    }

    /// Fills a queue with these bodies, and returns once it holds so many more; no single one is confirmed.
    pub async fn fill(&self, queue: &str, bodies: impl ExactSizeIterator<Item = String>) {
        let holds = usize::try_from(self.depth(queue).await).expect("a count") + bodies.len();
        let channel = self.connection.create_channel().await.expect("a channel");
        for body in bodies {
            let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
            let sent = channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await;
            sent.expect("the broker takes a message");
        }
        let what = format!("{holds} messages in {queue}");
        until(&what, SOON, async || (self.depth(queue).await as usize == holds).then_some(())).await;
        channel.close(200, "filled".into()).await.expect("a channel closes");
    }

    /// Every receipt so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("the list").iter().map(|(_, one)| one.clone()).collect()
    }

    /// A job's receipts so far, with when they came.
    pub fn receipts_of(&self, job_id: Uuid) -> Vec<(Instant, Received)> {
        let id = job_id.to_string();
        let all = self.received.lock().expect("the list").clone();
        all.into_iter().filter(|(_, one)| one.body["job_id"] == id.as_str()).collect()
    }

    /// Waits for a job's first receipt.
    pub async fn receipt(&self, job_id: Uuid) -> Value {
        self.nth_receipt(job_id, 1).await
    }

    /// Waits until a job has had so many receipts and returns that one.
    pub async fn nth_receipt(&self, job_id: Uuid, number: usize) -> Value {
        let what = format!("receipt {number} of job {job_id}");
        until(&what, SOON, async || Some(self.receipts_of(job_id).get(number - 1)?.1.body.clone())).await
    }

    /// Waits for the first receipt that fits.
    pub async fn receipt_where(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Received {
        until(what, SOON, async || self.received().into_iter().find(|one| fits(&one.body))).await
    }

    /// Waits until so many receipts fit.
    pub async fn count(&self, what: &str, number: usize, limit: Duration, fits: impl Fn(&Value) -> bool) {
        let enough = async || {
            let found = self.received().iter().filter(|one| fits(&one.body)).count();
            (found >= number).then_some(())
        };
        until(what, limit, enough).await;
    }

    /// The messages of a queue, left where they are.
    pub async fn look(&self, queue: &str) -> Vec<DeadLetter> {
        let channel = self.connection.create_channel().await.expect("a channel");
        let mut letters = Vec::new();
        let mut last = None;
        while let Ok(Some(message)) = channel.basic_get(queue.into(), BasicGetOptions::default()).await {
            last = Some(message.delivery_tag);
            let empty = FieldTable::default();
            let headers = message.properties.headers().as_ref().unwrap_or(&empty);
            let headers = headers.inner().iter().map(|(name, value)| (name.to_string(), plain(value))).collect();
            let properties = message.properties.clone();
            letters.push(DeadLetter { body: message.data.clone(), headers, properties });
        }
        if let Some(tag) = last {
            let back = BasicNackOptions { multiple: true, requeue: true };
            channel.basic_nack(tag, back).await.expect("letters go back");
        }
        channel.close(200, "looked".into()).await.expect("a channel closes");
        letters
    }

    /// Waits until the dead-letter queue holds so many.
    pub async fn dead(&self, number: usize) -> Vec<DeadLetter> {
        let what = format!("{number} dead letters");
        until(&what, SOON, async || Some(self.look("aura.dead").await).filter(|dead| dead.len() >= number)).await
    }

    /// How many messages wait in a queue.
    pub async fn depth(&self, queue: &str) -> u32 {
        let channel = self.connection.create_channel().await.expect("a channel");
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        let depth = declared.expect("the queue is there").message_count();
        channel.close(200, "counted".into()).await.expect("a channel closes");
        depth
    }
}

/// Headers as `name = text` pairs.
pub fn headers(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert((*name).into(), value.clone());
    }
    table
}

#[expect(clippy::wildcard_enum_match_arm, reason = "other types are only shown")]
fn plain(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned().into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongInt(number) => (*number).into(),
        AMQPValue::LongLongInt(number) => (*number).into(),
        AMQPValue::ShortInt(number) => (*number).into(),
        AMQPValue::LongUInt(number) => (*number).into(),
        AMQPValue::Boolean(flag) => (*flag).into(),
        AMQPValue::FieldArray(list) => list.as_slice().iter().map(plain).collect(),
        AMQPValue::FieldTable(table) => {
            table.inner().iter().map(|(name, value)| (name.to_string(), plain(value))).collect::<Map<_, _>>().into()
        }
        other => format!("{other:?}").into(),
    }
}
