//! Dry runs: jobs that are only tried, asked for over a queue of their own and answered to whoever asked.
//!
//! A question is acknowledged before it is tried: a file that ends its worker must not come to the next one.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions},
    types::FieldTable,
};
use shared::{
    broker::amqp::{AmqpError, connect_within, properties::Bounds, within},
    message::{
        dry_run::{ANSWER_TYPE, DryRun, Would},
        envelope::{self, Envelope},
        job::Job,
        receive::receive,
    },
    settings::Settings,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    ingest::dry_run::{dry_run, untold},
    services::Services,
};

/// How long the broker may take for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(2);
/// Bytes of a question's name: what a short string can hold.
const MAX_NAME: usize = 255;
const TAG: &str = "aura-worker-dry-runs";

/// Tries jobs, one at a time, while there is a place for it.
pub(crate) struct DryRuns {
    pub(crate) services: Arc<Services>,
    pub(crate) settings: Settings,
    pub(crate) permits: Arc<Semaphore>,
}

impl DryRuns {
    /// Runs until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.serve(&stop).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "no dry runs are taken; trying again");
            }
            tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RECONNECT) => {} }
        }
    }

    async fn serve(&self, stop: &CancellationToken) -> Result<(), AmqpError> {
        let name = format!("{} dry runs", self.services.worker);
        let connection = connect_within(self.settings.amqp_url.expose(), &name, Bounds::default()).await?;
        // The queue may be declared by nobody yet. What is wrong with the topology is the intake's to tell.
        let declare = self.services.topology.declare(&connection);
        let _ = tokio::time::timeout(REQUEST_TIMEOUT * 2, declare).await;
        let channel = within(REQUEST_TIMEOUT, "open a channel", connection.create_channel()).await?;
        within(REQUEST_TIMEOUT, "set the prefetch", channel.basic_qos(1, BasicQosOptions::default())).await?;
        let queue = self.services.topology.dry_runs.as_str();
        let options = BasicConsumeOptions::default();
        let consume = channel.basic_consume(queue.into(), TAG.into(), options, FieldTable::default());
        let mut consumer = within(REQUEST_TIMEOUT, "consume dry runs", consume).await?;
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => break,
                delivery = consumer.next() => delivery,
            };
            let Some(delivery) = delivery else { break };
            let delivery = delivery.map_err(|source| AmqpError::Broker { what: "deliver a dry run", source })?;
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = self.permits.acquire() => permit,
            };
            let acknowledged = delivery.ack(BasicAckOptions::default());
            within(REQUEST_TIMEOUT, "take an acknowledgement", acknowledged).await?;
            tokio::select! {
                () = self.services.abort.cancelled() => {}
                answered = self.answer(&channel, &delivery) => answered?,
            }
            drop(permit);
        }
        let _ = within(REQUEST_TIMEOUT, "close", connection.close(200, "stopped".into())).await;
        Ok(())
    }

    async fn answer(&self, channel: &Channel, delivery: &Delivery) -> Result<(), AmqpError> {
        let Some(reply_to) = delivery.properties.reply_to() else { return Ok(()) };
        let envelope = Envelope::read(&delivery.properties);
        let envelope = envelope.from_first_publisher(|user| self.services.publishers.is_worker(user));
        let told = match receive(&delivery.data, &envelope, Utc::now()) {
            Ok(job) => self.tried(&job).await,
            Err(refusal) => DryRun {
                job_id: refusal.job_id,
                would: Would::Fail,
                error: Some(refusal.failure()),
                reason: None,
                fingerprint: None,
                receipt: None,
                effect: None,
            },
        };
        let body = serde_json::to_vec(&told).unwrap_or_default();
        let properties =
            BasicProperties::default().with_type(ANSWER_TYPE.into()).with_content_type("application/json".into());
        // The correlation_id of a job is its batch.
        let name =
            delivery.properties.headers().as_ref().and_then(|headers| envelope::text(headers, envelope::DRY_RUN));
        let properties = match name {
            Some(name) if name.len() <= MAX_NAME => properties.with_correlation_id(name.as_str().into()),
            Some(_) | None => properties,
        };
        let key = reply_to.as_str().into();
        let publish = channel.basic_publish("".into(), key, BasicPublishOptions::default(), &body, properties);
        // Whoever asked may have gone, and then nobody misses it.
        within(REQUEST_TIMEOUT, "answer a dry run", publish).await.map(|_| ())
    }

    async fn tried(&self, job: &Job) -> DryRun {
        let span = tracing::info_span!(
            "dry_run",
            job_id = %job.job_id,
            entity = job.slice.entity.as_str(),
            period = job.slice.period.as_str(),
        );
        let limit = self.settings.job_timeout;
        let tried = tokio::time::timeout(limit, dry_run(&self.services, job)).instrument(span);
        let told = tried.await;
        told.unwrap_or_else(|_| untold(job, format!("the dry run took longer than {} s", limit.as_secs())))
    }
}
