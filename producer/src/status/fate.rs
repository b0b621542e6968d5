//! What has become of a job that ended without loading its rows: whether anything is missing still.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::stores::postgres::PostgresError;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    db,
    dead::show,
    output::{count, or_dash, time},
};

const FATES: &str = include_str!("fates.sql");
/// Jobs of a batch that are looked at.
pub(crate) const MOST: i64 = 10_000;
/// Missing jobs that are named in one line.
const NAMED: usize = 20;

/// What has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Became {
    /// Nobody has done anything about it, or what was done has not helped yet.
    Missing,
    /// Its letter was sent back to work, and no worker has come to it yet.
    Replayed,
    /// Another job took its place.
    Replaced,
    /// Another job has loaded its slice.
    LoadedSince,
    /// Somebody gave it up.
    Discarded,
    /// Its batch was cancelled.
    Cancelled,
}

/// What has become of a job that did not load, by whom, when and why.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Fate {
    pub(crate) became: Became,
    /// Whether what it was to load is in no ledger still, and nobody has given it up.
    pub(crate) is_missing: bool,
    /// Whether it, or the job that took its place, is on its way again.
    pub(crate) is_under_way: bool,
    /// Who replayed, replaced, discarded or cancelled it.
    by: Option<String>,
    at: Option<DateTime<Utc>>,
    reason: Option<String>,
    /// How its letter stands.
    letter: Option<String>,
    /// The job that took its place, and how that stands, if a worker has seen it.
    pub(crate) new_job_id: Option<Uuid>,
    new_job_status: Option<String>,
    /// The job whose rows its slice holds, if that has loaded since.
    pub(crate) loaded_by: Option<Uuid>,
    pub(crate) loaded_at: Option<DateTime<Utc>>,
}

impl From<&Row> for Fate {
    fn from(row: &Row) -> Self {
        let (loaded_by, loaded_at): (Option<Uuid>, _) = (row.get("loaded_by"), row.get("loaded_at"));
        let new_job_id: Option<Uuid> = row.get("new_job_id");
        let new_job_status: Option<String> = row.get("new_job_status");
        let letter: Option<String> = row.get("state");
        let became = match (row.get("status"), letter.as_deref(), new_job_id, loaded_by) {
            ("cancelled", ..) => Became::Cancelled,
            (_, Some("discarded"), ..) => Became::Discarded,
            (_, Some("replayed"), Some(_), _) => Became::Replaced,
            (.., Some(_)) => Became::LoadedSince,
            (_, Some("replayed"), None, None) => Became::Replayed,
            (..) => Became::Missing,
        };
        // One that took its place in the same batch speaks for itself there.
        let replacement_failed = matches!(new_job_status.as_deref(), Some("failed" | "cancelled"));
        let is_missing = loaded_by.is_none()
            && match became {
                Became::Missing => true,
                Became::Replaced => replacement_failed && !row.get::<_, bool>("is_same_batch"),
                Became::Replayed | Became::LoadedSince | Became::Discarded | Became::Cancelled => false,
            };
        let is_under_way = loaded_by.is_none()
            && match became {
                Became::Replayed => true,
                Became::Replaced => matches!(new_job_status.as_deref(), None | Some("running" | "retrying")),
                Became::Missing | Became::LoadedSince | Became::Discarded | Became::Cancelled => false,
            };
        let (by, at, reason) = match became {
            Became::Cancelled => ("cancelled_by", "cancelled_at", "cancelled_why"),
            Became::Missing | Became::Replayed | Became::Replaced | Became::LoadedSince | Became::Discarded => {
                ("settled_by", "settled_at", "reason")
            }
        };
        let (by, at, reason) = (row.get(by), row.get(at), row.get(reason));
        Self {
            became,
            is_missing,
            is_under_way,
            by,
            at,
            reason,
            letter,
            new_job_id,
            new_job_status,
            loaded_by,
            loaded_at,
        }
    }
}

impl Fate {
    /// It in words, with the identities of jobs as texts.
    pub(crate) fn words(&self) -> String {
        let settled =
            |state| show::settled(state, self.by.as_deref(), self.at, self.reason.as_deref(), self.new_job_id);
        let done = match self.became {
            Became::LoadedSince => String::new(),
            Became::Missing if self.letter.is_none() => "still missing, and no letter of it is written down".to_owned(),
            Became::Missing => {
                format!("still missing: its letter is {}", settled(self.letter.as_deref().unwrap_or_default()))
            }
            Became::Replayed => format!("{}; it waits for a worker", settled("replayed")),
            Became::Replaced => match &self.new_job_status {
                Some(status) => format!("{}, which is {status}", settled("replayed")),
                None => format!("{}, which no worker has seen yet", settled("replayed")),
            },
            Became::Discarded => settled("discarded"),
            Became::Cancelled => format!(
                "cancelled with its batch by {} at {}: {}",
                or_dash(self.by.as_ref()),
                or_dash(self.at.map(time)),
                or_dash(self.reason.as_ref())
            ),
        };
        let loaded = self.loaded_by.map(|job| {
            format!("its slice has since been loaded by job {job} at {}", or_dash(self.loaded_at.map(time)))
        });
        [Some(done).filter(|done| !done.is_empty()), loaded].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// The jobs that its words name.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = Uuid> {
        self.new_job_id.into_iter().chain(self.loaded_by)
    }
}

/// A job that ended without loading its rows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Unloaded {
    pub(crate) job_id: Uuid,
    pub(crate) entity: String,
    pub(crate) period: String,
    pub(crate) status: String,
    pub(crate) error_code: Option<String>,
    #[serde(flatten)]
    pub(crate) fate: Fate,
}

impl From<&Row> for Unloaded {
    fn from(row: &Row) -> Self {
        Self {
            job_id: row.get("job_id"),
            entity: row.get("entity"),
            period: row.get("period"),
            status: row.get("status"),
            error_code: row.get("error_code"),
            fate: Fate::from(row),
        }
    }
}

/// The fates of those of these jobs that ended without loading.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn of_jobs(pool: &Pool, jobs: &[Uuid]) -> Result<BTreeMap<Uuid, Fate>, PostgresError> {
    let (batch, limit) = (None::<Uuid>, jobs.len() as i64);
    let rows = db::query(pool, "see what became of jobs", FATES, &[&jobs, &batch, &limit]).await?;
    Ok(rows.iter().map(|row| (row.get("job_id"), Fate::from(row))).collect())
}

/// The jobs of a batch that ended without loading, at most so many.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn of_batch(pool: &Pool, batch: Uuid, limit: i64) -> Result<Vec<Unloaded>, PostgresError> {
    let jobs = None::<Vec<Uuid>>;
    let rows = db::query(pool, "see what became of jobs", FATES, &[&jobs, &batch, &limit]).await?;
    Ok(rows.iter().map(Unloaded::from).collect())
}

/// What a batch lacks still, in one line; none if each of its jobs has loaded.
pub(crate) fn missing(jobs: &[Unloaded]) -> Option<String> {
    let missing: Vec<&Unloaded> = jobs.iter().filter(|job| job.fate.is_missing).collect();
    let under_way = jobs.iter().filter(|job| job.fate.is_under_way).count();
    let under_way = (under_way > 0).then(|| format!("{} sent back to work and not ended yet", count(under_way, "job")));
    if missing.is_empty() {
        let nothing = || "nothing is missing any more of the jobs that ended without loading".to_owned();
        return under_way.or((!jobs.is_empty()).then(nothing));
    }
    let name = |job: &&Unloaded| {
        let code = job.error_code.as_deref().unwrap_or(&job.status);
        format!("{} {} ({code})", job.entity, job.period)
    };
    let named: Vec<String> = missing.iter().take(NAMED).map(name).collect();
    let more = missing.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let under_way = under_way.map(|text| format!("; {text}")).unwrap_or_default();
    let are = if missing.len() == 1 { "is" } else { "are" };
    Some(format!("{} {are} still missing: {}{more}{under_way}", count(missing.len(), "job"), named.join(", ")))
}
