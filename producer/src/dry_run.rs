//! Dry runs: workers try jobs in transactions that cannot commit, and tell what would become of them.

pub(crate) mod report;

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Consumer, Queue,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use shared::{
    broker::{
        amqp::{AmqpError, within},
        topology::Topology,
    },
    message::{dry_run::DryRun, envelope, outgoing::Outgoing},
    settings::Settings,
    telemetry::chain,
};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::{
    errors::CommandError,
    output::{count, remark},
    topology,
};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a worker may take to come, and how often is looked.
const STARTING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);
/// How long answers are waited for in silence, and then between two words about it.
const SILENCE: Duration = Duration::from_secs(10);
/// Questions that are under way at once: enough for several workers, and few enough for their jobs.
const IN_FLIGHT: usize = 8;
/// RabbitMQ's own queue for answers, which goes with the channel.
const ANSWERS: &str = "amq.rabbitmq.reply-to";

/// A job that is to be tried.
pub(crate) struct Question {
    /// The message with which it would be published.
    pub(crate) message: Outgoing,
}

/// Has workers try jobs, each for at most so long; none where no worker answered in time. At most so many bad rows are
/// kept of each.
///
/// # Errors
/// If the broker fails, or no worker takes dry runs.
pub(crate) async fn ask(
    settings: &Settings,
    topology: &Topology,
    questions: Vec<Question>,
    limit: Duration,
    bad_rows: usize,
) -> Result<Vec<Option<DryRun>>, CommandError> {
    let connection = topology::declare(settings, topology).await?;
    let asked = async {
        let channel = within(LIMIT, "open a channel", connection.create_channel()).await?;
        if !is_served(&channel, &topology.dry_runs).await? {
            topology::close(&channel).await;
            return Ok(None);
        }
        ask_over(&channel, &topology.dry_runs, questions, (limit, bad_rows)).await.map(Some)
    };
    let answers: Result<Option<Vec<_>>, AmqpError> = asked.await;
    topology::hang_up(connection).await;
    answers.map_err(CommandError::broker(settings))?.ok_or_else(|| {
        CommandError::Unseen("no worker of this version runs, and only a worker can try a job: start one".to_owned())
    })
}

/// Whether a worker takes dry runs; one that starts just now is waited for.
async fn is_served(channel: &Channel, queue: &str) -> Result<bool, AmqpError> {
    let until = Instant::now() + STARTING;
    loop {
        let workers = look(channel, queue).await?.consumer_count();
        if workers > 0 || Instant::now() > until {
            return Ok(workers > 0);
        }
        sleep(LOOK).await;
    }
}

/// How many questions no worker has taken yet, and how many workers there are to take them.
async fn look(channel: &Channel, queue: &str) -> Result<Queue, AmqpError> {
    let passive = QueueDeclareOptions::durable().passive();
    let declare = channel.queue_declare(queue.into(), passive, FieldTable::default());
    within(LIMIT, "count the workers", declare).await
}

async fn ask_over(
    channel: &Channel,
    queue: &str,
    questions: Vec<Question>,
    kept: (Duration, usize),
) -> Result<Vec<Option<DryRun>>, AmqpError> {
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consume = channel.basic_consume(ANSWERS.into(), "".into(), options, FieldTable::default());
    let mut answers = within(LIMIT, "take answers", consume).await?;
    let told = collect(channel, &mut answers, queue, questions, kept).await;
    // The consumer goes after its channel: for one that is dropped, lapin has more to say over the channel.
    topology::close(channel).await;
    told
}

/// Asks, a few questions at a time, and collects the answers.
async fn collect(
    channel: &Channel,
    answers: &mut Consumer,
    queue: &str,
    questions: Vec<Question>,
    (limit, bad_rows): (Duration, usize),
) -> Result<Vec<Option<DryRun>>, AmqpError> {
    let mut told: Vec<Option<DryRun>> = questions.iter().map(|_| None).collect();
    let mut questions = questions.into_iter().enumerate();
    let mut under_way: HashMap<String, (usize, Instant)> = HashMap::new();
    let mut silence = Silence { until: Instant::now() + SILENCE, nobody_is_left: false };
    loop {
        while under_way.len() < IN_FLIGHT
            && let Some((number, question)) = questions.next()
        {
            let name = Uuid::new_v4().to_string();
            publish(channel, queue, question.message, &name, limit).await?;
            under_way.insert(name, (number, Instant::now() + limit));
        }
        let Some(due) = under_way.values().map(|(_, due)| *due).min() else { return Ok(told) };
        match timeout_at(due.min(silence.until), answers.next()).await {
            Ok(Some(answer)) => {
                let answer = answer.map_err(|source| AmqpError::Broker { what: "take answers", source })?;
                let name = answer.properties.correlation_id().as_ref().map(ToString::to_string).unwrap_or_default();
                let Some((number, _)) = under_way.remove(&name) else { continue };
                silence = Silence { until: Instant::now() + SILENCE, nobody_is_left: false };
                match serde_json::from_slice::<DryRun>(&answer.data) {
                    Ok(mut answer) => {
                        if let Some(error) = &mut answer.error {
                            error.rows.truncate(bad_rows);
                            error.rows.shrink_to_fit();
                        }
                        if let Some(told) = told.get_mut(number) {
                            *told = Some(answer);
                        }
                    }
                    Err(error) => tracing::warn!(error = chain(&error), "an answer cannot be read"),
                }
            }
            Ok(None) => return Err(AmqpError::Timeout { what: "take answers", limit }),
            Err(_) => {
                under_way.retain(|_, (_, due)| *due > Instant::now());
                let is_long = Instant::now() >= silence.until && !under_way.is_empty();
                if is_long && silence.is_vain(channel, queue, under_way.len()).await? {
                    return Ok(told);
                }
            }
        }
    }
}

/// A time without an answer.
struct Silence {
    until: Instant,
    /// Nobody takes questions, and all that were asked are taken, as far as the last look showed.
    nobody_is_left: bool,
}

impl Silence {
    /// Says what is waited for, and returns whether that is in vain.
    ///
    /// A worker that lost its connection comes back within seconds, and answers what it took before.
    async fn is_vain(&mut self, channel: &Channel, queue: &str, under_way: usize) -> Result<bool, AmqpError> {
        let seen = look(channel, queue).await?;
        let nobody_is_left = seen.consumer_count() == 0 && seen.message_count() == 0;
        if nobody_is_left && self.nobody_is_left {
            remark("no worker is left that could answer");
            return Ok(true);
        }
        *self = Self { until: Instant::now() + SILENCE, nobody_is_left };
        let (awaited, untaken) = (count(under_way, "dry run"), seen.message_count());
        let workers = seen.consumer_count();
        remark(&format!("still waiting for {awaited} (not taken yet: {untaken}; workers: {workers})"));
        Ok(false)
    }
}

async fn publish(
    channel: &Channel,
    queue: &str,
    mut message: Outgoing,
    name: &str,
    limit: Duration,
) -> Result<(), AmqpError> {
    message.set(envelope::DRY_RUN, name);
    // What nobody has taken by then is not tried for nobody.
    let properties = message
        .all_properties(true)
        .with_reply_to(ANSWERS.into())
        .with_expiration(limit.as_millis().to_string().into());
    let options = BasicPublishOptions::default();
    let publish = channel.basic_publish("".into(), queue.into(), options, &message.body, properties);
    within(LIMIT, "ask for a dry run", publish).await.map(|_| ())
}
