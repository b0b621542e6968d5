//! A client that publishes jobs and waits for their receipts.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::FieldTable,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// How long jobs may take.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// A job to be published.
#[derive(Debug, Clone)]
pub struct Job {
    body: Value,
}

impl Job {
    /// A file's job.
    pub fn new(path: &Path, entity: &str, period: &str) -> Self {
        Self { body: json!({"job_id": Uuid::new_v4(), "file": path, "entity": entity, "period": period}) }
    }

    fn id(&self) -> &str {
        self.body["job_id"].as_str().expect("a text")
    }
}

/// A job that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// From its publication to its receipt.
    pub took: Duration,
    /// Its receipt.
    pub receipt: Value,
}

impl Ended {
    /// A number of its receipt.
    pub fn number(&self, name: &str) -> u64 {
        self.receipt[name].as_u64().unwrap_or(0)
    }

    /// From when the worker began to when it committed, in seconds.
    pub fn to_commit(&self) -> f64 {
        self.receipt["duration_seconds"].as_f64().expect("a number")
    }
}

/// A connection to the broker, and a queue of all receipts.
pub struct Client {
    channel: Channel,
    receipts: Consumer,
    // The channel lives as long as its connection.
    _connection: Connection,
}

impl Client {
    /// Connects, and listens to all receipts from now on.
    ///
    /// # Panics
    /// If the broker does not answer.
    pub async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the broker answers");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let (events, none) = ("aura.events", FieldTable::default);
        channel.exchange_declare(events.into(), ExchangeKind::Topic, durable, none()).await.expect("the exchange");
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, none()).await.expect("a queue").name().clone();
        let bind = QueueBindOptions::default();
        channel.queue_bind(queue.clone(), events.into(), "#".into(), bind, none()).await.expect("a binding");
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let receipts = channel.basic_consume(queue, "".into(), options, none()).await.expect("a consumer");
        Self { channel, receipts, _connection: connection }
    }

    /// Publishes a job and waits for its receipt.
    ///
    /// # Panics
    /// If it does not succeed.
    pub async fn run(&mut self, job: Job) -> Ended {
        self.run_all(vec![job]).await.1.pop().expect("an end for each job")
    }

    /// Publishes jobs at once and waits for all receipts: how long all of it took, and each in the order of its end.
    ///
    /// # Panics
    /// If one does not succeed.
    pub async fn run_all(&mut self, jobs: Vec<Job>) -> (Duration, Vec<Ended>) {
        let began = Instant::now();
        let sent = self.publish(&jobs).await;
        let ended = self.ended(sent).await;
        (began.elapsed(), ended)
    }

    /// Publishes jobs, and has each confirmed; returns when each was sent.
    ///
    /// # Panics
    /// If the broker does not confirm one.
    pub async fn publish(&self, jobs: &[Job]) -> HashMap<String, Instant> {
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (mut sent, mut confirms) = (HashMap::new(), Vec::new());
        for job in jobs {
            sent.insert(job.id().to_owned(), Instant::now());
            let (exchange, key) = ("aura.jobs".into(), "job".into());
            let properties = BasicProperties::default().with_delivery_mode(2);
            let body = job.body.to_string();
            let published = self.channel.basic_publish(exchange, key, mandatory, body.as_bytes(), properties).await;
            confirms.push(published.expect("the broker takes it"));
        }
        for confirm in join_all(confirms).await {
            assert!(confirm.expect("an answer").is_ack(), "the broker refused a job");
        }
        sent
    }

    /// Waits for the receipts of these jobs; others pass.
    ///
    /// # Panics
    /// If one does not succeed, or does not come.
    pub async fn ended(&mut self, mut sent: HashMap<String, Instant>) -> Vec<Ended> {
        let mut all = Vec::new();
        while !sent.is_empty() {
            let next = tokio::time::timeout(PATIENCE, self.receipts.next()).await.expect("a receipt comes in time");
            let delivery = next.expect("the broker stays").expect("a receipt");
            let receipt: Value = serde_json::from_slice(&delivery.data).expect("JSON");
            let Some(began) = receipt["job_id"].as_str().and_then(|id| sent.remove(id)) else { continue };
            let as_expected = ["success", "skipped"].map(Value::from).contains(&receipt["status"]);
            assert!(as_expected, "a job did not succeed: {receipt:#}");
            all.push(Ended { took: began.elapsed(), receipt });
        }
        all
    }
}
