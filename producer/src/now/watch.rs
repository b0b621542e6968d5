//! What is looked at every few seconds, however many people look at it: queues, backlogs and pace.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use lapin::{Connection, options::QueueDeclareOptions, types::FieldTable};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    broker::{
        amqp::{self, within},
        topology::Topology,
    },
    settings::Settings,
    stores::postgres::PostgresError,
    telemetry::chain,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    db,
    dead::{operation, written},
    topology,
};

const BACKLOG: &str = include_str!("watch/backlog.sql");
const PACE: &str = include_str!("watch/pace.sql");
/// How often it is looked while somebody looks on, and how often else.
const BUSY: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(10);
/// How many looks the trend of the queues shows.
const TREND: usize = 60;
/// Entries that are counted; of more it is said that there are more.
pub(crate) const COUNTED: i64 = 10_000;
/// The newest operations that are looked at.
pub(crate) const OPERATIONS: i64 = 200;
/// How long the broker may take for one request.
const LIMIT: Duration = Duration::from_secs(5);
/// Pages that are kept live at a time.
const READERS: usize = 200;
/// Every status of a job.
/// Every status of a job.
/// What may change; said from the last to the first when it is over.
const TOPICS: [&str; 4] = ["now", "jobs", "dead", "acts"];
/// Every status that a job may have.
pub(crate) const STATUSES: [&str; 7] =
    ["success", "failed", "skipped", "superseded", "cancelled", "running", "retrying"];

/// A queue as RabbitMQ counts it.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) name: String,
    /// Messages that nobody has in hand.
    pub(crate) messages: u32,
    pub(crate) consumers: u32,
    /// Messages at the last looks, the oldest first.
    pub(crate) trend: Vec<u32>,
}

/// What waits for a sink.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) what: &'static str,
    /// At most 10,000 are counted.
    pub(crate) number: i64,
    pub(crate) oldest: Option<DateTime<Utc>>,
}

/// Jobs that began in the last ten minutes.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) status: String,
    /// At most 10,000 are counted.
    pub(crate) jobs: i64,
    pub(crate) rows: i64,
    newest: DateTime<Utc>,
}

/// Jobs of the last ten minutes that have ended, and their rows.
pub(crate) fn ended(pace: &[Pace]) -> (i64, i64) {
    let ended = pace.iter().filter(|pace| !matches!(pace.status.as_str(), "running" | "retrying"));
    ended.fold((0, 0), |(jobs, rows), pace| (jobs + pace.jobs, rows + pace.rows))
}

/// A number that was counted, or that there are more.
pub(crate) fn counted(number: i64) -> String {
    if number > COUNTED { format!("more than {COUNTED}") } else { number.to_string() }
}

/// What was last seen.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Sample {
    pub(crate) at: DateTime<Utc>,
    pub(crate) queues: Vec<Queue>,
    /// Why RabbitMQ could not be asked.
    pub(crate) rabbitmq_error: Option<String>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) halted_chains: i64,
    pub(crate) pace: Vec<Pace>,
    /// Why PostgreSQL could not be asked.
    pub(crate) postgres_error: Option<String>,
    /// Letters and messages of them that are written down as being in the queue.
    pub(crate) dead_letters: i64,
    pub(crate) dead_messages: i64,
    #[serde(skip)]
    operations: Vec<(uuid::Uuid, String, i64, i64)>,
}

impl Sample {
    /// Messages among the dead letters that are not written down.
    pub(crate) fn unwritten(&self, queue: &str) -> i64 {
        if self.postgres_error.is_some() {
            return 0;
        }
        let counted = self.queues.iter().find(|counted| counted.name == queue).map_or(0, |queue| queue.messages);
        (i64::from(counted) - self.dead_messages).max(0)
    }
}

/// The looks, and who wants to know when something has changed.
pub(crate) struct Watch {
    seen: watch::Receiver<Arc<Sample>>,
    changes: broadcast::Sender<&'static str>,
    places: Arc<Semaphore>,
}

/// Somebody who is told what changes.
pub(crate) struct Reader {
    changes: broadcast::Receiver<&'static str>,
    /// What has not been said of the end.
    last_words: Vec<&'static str>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// Waits for what changes next. Whoever was too slow is told the most general.
    pub(crate) async fn changed(&mut self) -> &'static str {
        match self.changes.recv().await {
            Ok(topic) => topic,
            Err(broadcast::error::RecvError::Lagged(_)) => "now",
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Each topic once, for whoever is told that it is over.
    pub(crate) fn last_words(&mut self) -> Option<&'static str> {
        self.last_words.pop()
    }
}

impl Watch {
    /// Looks until told to stop.
    pub(crate) fn start(settings: Settings, pool: Pool, stop: CancellationToken) -> Self {
        let (sender, seen) = watch::channel(Arc::new(Sample::default()));
        let (changes, _) = broadcast::channel(64);
        let topics = changes.clone();
        tokio::spawn(async move {
            let mut looking =
                Looking { topology: Topology::new(&settings.namespace), settings, pool, connection: None };
            let mut trend: VecDeque<Vec<u32>> = VecDeque::with_capacity(TREND);
            while !stop.is_cancelled() {
                let before = sender.borrow().clone();
                let sample = looking.look(&mut trend).await;
                for topic in changed(&before, &sample) {
                    // Nobody may be listening.
                    let _ = topics.send(topic);
                }
                sender.send_replace(Arc::new(sample));
                let pause = if topics.receiver_count() > 0 { BUSY } else { IDLE };
                tokio::select! { () = stop.cancelled() => {}, () = sleep(pause) => {} }
            }
            if let Some(connection) = looking.connection {
                topology::hang_up(connection).await;
            }
        });
        Self { seen, changes, places: Arc::new(Semaphore::new(READERS)) }
    }

    /// What was last seen; waits for the first look.
    pub(crate) async fn sample(&self) -> Arc<Sample> {
        let mut seen = self.seen.clone();
        let first = seen.wait_for(|sample| sample.at != DateTime::<Utc>::default()).await;
        first.map_or_else(|_| Arc::default(), |sample| Arc::clone(&sample))
    }

    /// Where to tell that something has changed.
    pub(crate) fn changes(&self) -> broadcast::Sender<&'static str> {
        self.changes.clone()
    }

    /// A reader of changes, unless there are too many.
    pub(crate) fn read(&self) -> Option<Reader> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Reader { changes: self.changes.subscribe(), last_words: TOPICS.to_vec(), _place: place })
    }
}

/// What a look found otherwise than the one before.
fn changed(before: &Sample, after: &Sample) -> Vec<&'static str> {
    let mut topics = Vec::new();
    if before.pace != after.pace {
        topics.push("jobs");
    }
    if (before.dead_letters, before.dead_messages) != (after.dead_letters, after.dead_messages) {
        topics.push("dead");
    }
    if before.operations != after.operations {
        topics.push("acts");
    }
    // Times and trends pass by themselves.
    topics.push("now");
    topics
}

struct Looking {
    settings: Settings,
    topology: Topology,
    pool: Pool,
    connection: Option<Connection>,
}

impl Looking {
    async fn look(&mut self, trend: &mut VecDeque<Vec<u32>>) -> Sample {
        let mut sample = Sample { at: Utc::now(), ..Sample::default() };
        match self.queues().await {
            Ok(counted) => {
                if trend.len() >= TREND {
                    trend.pop_front();
                }
                trend.push_back(counted.iter().map(|(_, messages, _)| *messages).collect());
                let queue = |(number, (name, messages, consumers)): (usize, (String, u32, u32))| {
                    let trend = trend.iter().filter_map(|look| look.get(number).copied()).collect();
                    Queue { name, messages, consumers, trend }
                };
                sample.queues = counted.into_iter().enumerate().map(queue).collect();
            }
            Err(error) => {
                self.connection = None;
                sample.rabbitmq_error = Some(format!("RabbitMQ at {}: {}", self.settings.amqp_url, chain(&error)));
            }
        }
        let url = &self.settings.postgres_url;
        sample.postgres_error = match tokio::time::timeout(LIMIT * 2, self.stores(&mut sample)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("PostgreSQL at {url}: {}", chain(&error))),
            Err(_) => Some(format!("PostgreSQL at {url} does not answer")),
        };
        sample
    }

    async fn queues(&mut self) -> Result<Vec<(String, u32, u32)>, amqp::AmqpError> {
        let connection = match self.connection.take() {
            Some(connection) if connection.status().connected() => connection,
            Some(_) | None => amqp::connect(&self.settings.amqp_url, "aura-producer watch").await?,
        };
        let mut names = vec![self.topology.jobs.clone()];
        names.extend(self.topology.retries.iter().map(|retry| retry.name.clone()));
        names.extend([self.topology.dead.clone(), self.topology.dry_runs.clone()]);
        let mut counted = Vec::with_capacity(names.len());
        for name in names {
            // A queue that nobody has declared yet ends the channel that asks for it.
            let channel = within(LIMIT, "open a channel", connection.create_channel()).await?;
            let passive = QueueDeclareOptions::durable().passive();
            let declare = channel.queue_declare(name.as_str().into(), passive, FieldTable::default());
            match within(LIMIT, "count a queue", declare).await {
                Ok(queue) => counted.push((name, queue.message_count(), queue.consumer_count())),
                Err(error) if error.is_not_found() => counted.push((name, 0, 0)),
                Err(error) => return Err(error),
            }
            let _ = within(LIMIT, "close a channel", channel.close(200, "done".into())).await;
        }
        self.connection = Some(connection);
        Ok(counted)
    }

    async fn stores(&self, sample: &mut Sample) -> Result<(), PostgresError> {
        let rows = db::query(&self.pool, "look at the backlog", BACKLOG, &[&(COUNTED + 1)]).await?;
        if let Some(row) = rows.first() {
            let waiting = |what, number, oldest| Waiting { what, number: row.get(number), oldest: row.get(oldest) };
            sample.waiting = vec![
                waiting("audit events for MongoDB", "events", "oldest_event"),
                waiting("gl_metadata documents for MongoDB", "documents", "oldest_document"),
                waiting("slices for the Parquet cache", "files", "oldest_file"),
            ];
            sample.halted_chains = row.get("halted_chains");
        }
        let rows = db::query(&self.pool, "count the jobs", PACE, &[&STATUSES.as_slice(), &(COUNTED + 1)]).await?;
        let pace = |row: &tokio_postgres::Row| Pace {
            status: row.get("status"),
            jobs: row.get("jobs"),
            rows: row.get("rows"),
            newest: row.get("newest"),
        };
        sample.pace = rows.iter().map(pace).collect();
        let open = written::open(&self.pool).await?;
        (sample.dead_letters, sample.dead_messages) = (open.letters, open.messages);
        let operations = operation::newest(&self.pool, OPERATIONS).await?;
        sample.operations =
            operations.into_iter().map(|seen| (seen.operation_id, seen.state, seen.done, seen.total)).collect();
        Ok(())
    }
}
