//! What became of a publish call.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::settings::Settings;
use uuid::Uuid;

use super::{message::Prepared, send::Outcome, summary::Summary};
use crate::{
    errors::{CommandError, ExitStatus},
    output::{self, count, remark},
};

/// A job that the broker has.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PublishedJob {
    pub(crate) job_id: Uuid,
    entity: String,
    period: String,
    file: String,
}

/// A job that the broker may not have.
#[derive(Serialize, JsonSchema)]
pub(crate) struct UnpublishedJob {
    #[serde(flatten)]
    job: PublishedJob,
    /// Whether it may have arrived all the same.
    uncertain: bool,
    error: String,
    /// The message, to be published again.
    message: Value,
}

/// What became of a publish call.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Published {
    batch_id: Uuid,
    published: usize,
    pub(crate) jobs: Vec<PublishedJob>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unpublished: Vec<UnpublishedJob>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmatched: Vec<String>,
    #[serde(flatten)]
    pub(crate) summary: Option<Summary>,
}

impl Published {
    /// Sorts the messages by what became of them.
    pub(crate) fn new(batch_id: Uuid, jobs: &[Prepared], outcomes: &[Outcome], unmatched: Vec<String>) -> Self {
        let mut all = Self { batch_id, published: 0, jobs: vec![], unpublished: vec![], unmatched, summary: None };
        for (prepared, outcome) in jobs.iter().zip(outcomes) {
            let job = PublishedJob {
                job_id: prepared.job.job_id,
                entity: prepared.job.slice.entity.to_string(),
                period: prepared.job.slice.period.to_string(),
                file: prepared.job.file.clone(),
            };
            let (uncertain, error) = match outcome {
                Outcome::Confirmed => {
                    all.jobs.push(job);
                    continue;
                }
                Outcome::Uncertain(error) => (true, error.clone()),
                Outcome::Refused(error) => (false, error.clone()),
                Outcome::NotTried => (false, "not tried after the others failed".to_owned()),
            };
            let message = Value::Object(prepared.fields.clone());
            all.unpublished.push(UnpublishedJob { job, uncertain, error, message });
        }
        all.published = all.jobs.len();
        all
    }

    /// Reports what was not published, and gives the messages back so that they can be.
    pub(crate) fn report_unpublished(&self, json: bool, settings: &Settings) -> Result<ExitStatus, CommandError> {
        remark(&format!(
            "error: RabbitMQ at {} did not take {} of batch {}:",
            settings.amqp_url,
            count(self.unpublished.len(), "message"),
            self.batch_id
        ));
        let mut table = output::table(["job", "entity", "period", "file", "error"]);
        table.identity(0);
        for UnpublishedJob { job, error, .. } in self.unpublished.iter().take(20) {
            table.add_row([&job.job_id.to_string(), &job.entity, &job.period, &job.file, error]);
        }
        remark(&table.trim_fmt());
        if self.unpublished.len() > 20 {
            remark(&format!("and {} more", self.unpublished.len() - 20));
        }
        remark(&format!(
            "{} confirmed. Publish the others again with `publish --manifest -` and the lines on stdout; that is safe \
             even for what has arrived: the same job_id is the same job",
            count(self.published, "message")
        ));
        if json {
            output::print(true, self)?;
        } else {
            output::print(false, &Again(&self.unpublished))?;
        }
        Ok(ExitStatus::Undone)
    }
}

/// The messages that are to be published again, as JSON lines.
#[derive(Serialize)]
struct Again<'a>(&'a [UnpublishedJob]);

impl fmt::Display for Again<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|job| writeln!(f, "{}", job.message))
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "batch {}: {} published", self.batch_id, count(self.published, "job"))?;
        match &self.summary {
            Some(summary) => write!(f, "{summary}"),
            None => writeln!(f, "follow it with: aura-producer status {}", self.batch_id),
        }
    }
}
