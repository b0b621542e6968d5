//! What is going on: queues, what runs, what waits, what is dead, and whatever stands still and why. The console's first
//! page and `status --watch` show the same.

pub(crate) mod watch;

use chrono::Utc;
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{broker::topology::Topology, stores::postgres::PostgresError};

use self::watch::Sample;
use crate::{
    dead::{
        filter::Filter,
        operation::{self, Seen},
        written::{self, Group},
    },
    status::{self, run::Run},
};

/// Jobs under way that are shown.
const SHOWN: i64 = 50;
/// An audit event or file that has waited for so many seconds is told of.
const OVERDUE: i64 = 300;

/// What is going on.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Now {
    #[serde(flatten)]
    pub(crate) sample: Sample,
    /// What needs somebody, in words.
    pub(crate) needs_attention: Vec<String>,
    /// Jobs that run or wait for their next attempt, at most 50.
    pub(crate) under_way: Vec<Run>,
    /// Replays and discards under way.
    pub(crate) operations: Vec<Seen>,
    /// Dead letters by cause.
    pub(crate) dead_letter_groups: Vec<Group>,
}

impl Now {
    /// What PostgreSQL has, beside what was sampled.
    ///
    /// # Errors
    /// If PostgreSQL fails.
    pub(crate) async fn look(pool: &Pool, topology: &Topology, sample: Sample) -> Result<Self, PostgresError> {
        let under_way = status::runs(pool, None, None, Some(&["running", "retrying"]), SHOWN + 1).await?;
        let dead_letter_groups = written::groups(pool, &Filter::default(), Utc::now()).await?;
        let mut operations = operation::newest(pool, watch::OPERATIONS).await?;
        operations.retain(Seen::is_under_way);
        let needs_attention = needs_attention(&sample, topology, &operations);
        Ok(Self { sample, needs_attention, under_way, operations, dead_letter_groups })
    }

    /// What was sampled, where PostgreSQL tells no more.
    pub(crate) fn sampled(topology: &Topology, sample: Sample) -> Self {
        let needs_attention = needs_attention(&sample, topology, &[]);
        Self { sample, needs_attention, under_way: Vec::new(), operations: Vec::new(), dead_letter_groups: Vec::new() }
    }
}

/// What stands still, and why.
fn needs_attention(sample: &Sample, topology: &Topology, operations: &[Seen]) -> Vec<String> {
    let (dead, jobs) = (&topology.dead, &topology.jobs);
    let mut told: Vec<String> = sample.rabbitmq_error.iter().chain(&sample.postgres_error).cloned().collect();
    if let Some(queue) = sample.queues.iter().find(|queue| queue.name == *jobs) {
        if queue.consumers == 0 && queue.messages > 0 {
            told.push(format!(
                "no worker takes jobs while {} wait: each worker's /readyz says why, or none runs",
                queue.messages
            ));
        } else if queue.consumers == 0 {
            told.push("no worker takes jobs: each worker's /readyz says why, or none runs".to_owned());
        }
    }
    let unwritten = sample.unwritten(dead);
    if unwritten > 0 {
        told.push(format!(
            "{unwritten} messages in {dead} are not written down, so this page lacks them; Dead letters or `dead list` can write them down"
        ));
    }
    for waiting in &sample.waiting {
        let seconds = waiting.oldest.map_or(0, |at| (sample.at - at).num_seconds());
        if seconds > OVERDUE {
            told.push(format!("{} have waited for {seconds} s: see that what takes them is well", waiting.what));
        }
    }
    if sample.halted_chains > 0 {
        told.push(format!(
            "{} audit chains are halted: MongoDB holds another event at a place; aura-producer verify says which",
            sample.halted_chains
        ));
    }
    for seen in operations.iter().filter(|seen| seen.wanted == "pause") {
        let by = seen.wanted_by.as_deref().unwrap_or("somebody");
        told.push(format!("the {} of {} ({}) is paused by {by}", seen.act, seen.actor, seen.selected));
    }
    told
}
