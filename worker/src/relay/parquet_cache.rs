//! The Parquet cache: a slice's file is written right after the commit, and by the relay where that was not done.

use std::time::{Duration, Instant};

use deadpool_postgres::Transaction;
use shared::{message::job::Job, stores::postgres::PostgresError, telemetry};
use tracing::Instrument;

use super::{
    progress::{Progress, SinkError},
    sink::{AtOnce, Resources, Sink, Success, Task, Work},
    statements::execute,
    wake::Wake,
};
use crate::{
    cache::{
        self,
        upkeep::{Cursor, catch_up, sweep},
    },
    failpoint,
    services::Services,
};

/// The cache, as the list of sinks has it.
pub(super) const SINK: Sink = Sink {
    name: "parquet_cache",
    enqueue: |tx, success| Box::pin(enqueue(tx, success)),
    at_once: Some(|services, job, at_once| Box::pin(write_now(services, job, at_once))),
    tasks: |resources| {
        vec![Box::new(CatchingUp { resources: resources.clone(), cursor: Cursor::default(), is_swept: false })]
    },
    backlog: include_str!("parquet_cache/backlog.sql"),
};

const PUT: &str = "INSERT INTO cache_tasks (entity, period, job_id) VALUES ($1, $2, $3)";
/// How long a job waits for the cache file of its slice before it leaves it to the relay.
const JOB_TIMEOUT: Duration = Duration::from_secs(60);
/// How often slices that were left are looked for, and how many are done at a time.
const PAUSE: Duration = Duration::from_secs(1);
const LIMIT: i64 = 64;

async fn enqueue(tx: &Transaction<'_>, success: &Success<'_>) -> Result<(), PostgresError> {
    let (job, slice) = (success.job, &success.job.slice);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&slice.entity.as_str(), &slice.period.as_str(), &job.job_id];
    execute(tx, PUT, "write a cache task", &parameters).await.map(|_| ())
}

async fn write_now(services: &Services, job: &Job, at_once: AtOnce) {
    if services.cache_trouble.is_recent() {
        return;
    }
    let began = Instant::now();
    let publish = cache::publish(&services.pool, &services.cache, &job.slice, at_once);
    let published = tokio::time::timeout(JOB_TIMEOUT, publish.instrument(tracing::info_span!("parquet"))).await;
    services.metrics.stage("parquet", began.elapsed());
    match published {
        Ok(Ok(_)) => failpoint::reach_for("cached", &job.slice),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the Parquet file is not written yet");
            services.cache_trouble.note();
        }
        Err(_) => {
            tracing::warn!("the Parquet file takes too long; it is left to the relay");
            services.cache_trouble.note();
        }
    }
}

struct CatchingUp {
    resources: Resources,
    cursor: Cursor,
    is_swept: bool,
}

impl Task for CatchingUp {
    fn what(&self) -> &'static str {
        "writing the cache"
    }

    fn step(&mut self) -> Work<'_, Result<Progress, SinkError>> {
        Box::pin(async move {
            let step = self.catch_up().await;
            match &step {
                Ok(_) => self.resources.state.set(|backlog| backlog.cache_away = None),
                Err(SinkError::Postgres(_)) => {}
                Err(error @ (SinkError::Cache(_) | SinkError::Mongo(_))) => {
                    self.resources.state.set(|backlog| backlog.cache_away = Some(telemetry::chain(error)));
                }
            }
            step
        })
    }

    fn woken_by(&self) -> Option<&Wake> {
        // A commit's file is its job's for the first seconds.
        None
    }

    fn pause(&self) -> Duration {
        PAUSE
    }

    fn is_emptied_at_the_end(&self) -> bool {
        false
    }
}

impl CatchingUp {
    async fn catch_up(&mut self) -> Result<Progress, SinkError> {
        let Resources { pool, cache, .. } = &self.resources;
        if !std::mem::replace(&mut self.is_swept, true) {
            sweep(cache).await?;
        }
        let caught_up = catch_up(pool, cache, &mut self.cursor, LIMIT).await?;
        for (slice, error) in &caught_up.failed {
            let error = error as &dyn std::error::Error;
            tracing::debug!(entity = %slice.entity, period = %slice.period, error, "a cache file failed");
        }
        match caught_up.failed.into_iter().next() {
            Some((_, error)) => Err(error.into()),
            None => Ok(Progress { more: caught_up.more, ..Progress::default() }),
        }
    }
}
