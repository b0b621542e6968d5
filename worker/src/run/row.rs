//! What a run is begun with: the columns that its message decides, in the one order that every statement has them in.

use chrono::{DateTime, Utc};
use shared::{
    fingerprint::Fingerprint,
    message::{
        job::{Job, SourceName},
        published_by::PublishedBy,
    },
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Parameters of a statement.
pub(super) type Parameters<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// A run as its message makes it. `insert.sql`, `begin_failed.sql` and `retrying.sql` have these as `$1` to `$14`.
pub(super) struct NewRun<'a> {
    job_id: Uuid,
    batch_id: Option<Uuid>,
    file: &'a str,
    entity: &'a str,
    period: &'a str,
    source: &'a str,
    exported_at: DateTime<Utc>,
    forced_at: Option<DateTime<Utc>>,
    body_hash: String,
    replays: i32,
    arrival_from: Option<DateTime<Utc>>,
    arrival_intake: Option<Uuid>,
    published_by: Option<&'a str>,
    broker_user: Option<&'a str>,
}

impl<'a> NewRun<'a> {
    /// The run of a job that somebody has published.
    pub(super) fn of(job: &'a Job, by: &'a PublishedBy) -> Self {
        Self {
            job_id: job.job_id,
            batch_id: job.batch_id,
            file: &job.file,
            entity: job.slice.entity.as_str(),
            period: job.slice.period.as_str(),
            source: SourceName::as_str(&job.source),
            exported_at: job.exported_at,
            forced_at: job.forced_at,
            body_hash: Fingerprint::to_string(&job.body_hash),
            replays: whole(job.replays),
            arrival_from: job.arrival.map(|arrival| arrival.from),
            arrival_intake: job.arrival.map(|arrival| arrival.intake),
            published_by: by.actor.as_deref(),
            broker_user: by.user_id.as_deref(),
        }
    }

    /// `$1` to `$14`, and then what else the statement has.
    pub(super) fn and<'p>(&'p self, further: &[&'p (dyn ToSql + Sync)]) -> Parameters<'p> {
        let mut parameters: Parameters<'p> = vec![
            &self.job_id,
            &self.batch_id,
            &self.file,
            &self.entity,
            &self.period,
            &self.source,
            &self.exported_at,
            &self.forced_at,
            &self.body_hash,
            &self.replays,
            &self.arrival_from,
            &self.arrival_intake,
            &self.published_by,
            &self.broker_user,
        ];
        parameters.extend_from_slice(further);
        parameters
    }
}

/// A small number as PostgreSQL's `integer`.
pub(super) fn whole(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
