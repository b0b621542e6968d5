//! The dead letters as PostgreSQL has them written down: looking at them touches no queue.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::stores::postgres::PostgresError;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{advice::what_to_do, filter::Filter};
use crate::db;

const OPEN: &str = include_str!("written/open.sql");
const GROUPS: &str = include_str!("written/groups.sql");
const LETTERS: &str = include_str!("written/letters.sql");
const MESSAGES: &str = include_str!("written/messages.sql");
const OF_JOB: &str = include_str!("written/of_job.sql");
const CODES: &str = "SELECT DISTINCT code FROM dead_letter_groups";

/// Letters that are in the queue, as far as PostgreSQL knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// Letters.
    pub(crate) letters: i64,
    /// Messages: a letter may lie there several times.
    pub(crate) messages: i64,
}

/// The letters that died of the same cause.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "LetterGroup")]
pub(crate) struct Group {
    /// Its name, for `--group`.
    pub(crate) group_id: String,
    /// The error code.
    pub(crate) code: String,
    /// The stage.
    pub(crate) stage: Option<String>,
    /// The mapping profile.
    pub(crate) source: Option<String>,
    /// The message without what differs from job to job.
    pub(crate) cause: String,
    /// Letters: one for each job, body and round.
    pub(crate) jobs: i64,
    /// Entities that they are of, and some of them.
    pub(crate) entities: i64,
    /// At most five of them.
    pub(crate) some_entities: Vec<String>,
    /// When the first died.
    pub(crate) oldest: Option<DateTime<Utc>>,
    /// When the last died.
    pub(crate) newest: Option<DateTime<Utc>>,
    /// How many died in the last ten minutes.
    pub(crate) last_10_minutes: i64,
    /// How many died in the last hour.
    pub(crate) last_hour: i64,
    /// What to do about it.
    pub(crate) what_to_do: String,
}

/// A letter in a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Letter")]
pub(crate) struct Listed {
    /// Where it stands in the order of the list.
    pub(crate) place: i64,
    /// Its identity.
    pub(crate) letter_id: Uuid,
    /// The identity of the job, if it was given one.
    pub(crate) job_id: Option<Uuid>,
    /// Its batch.
    pub(crate) batch_id: Option<Uuid>,
    /// The entity as the body has it, valid or not.
    pub(crate) entity: Option<String>,
    /// The period as the body has it, valid or not.
    pub(crate) period: Option<String>,
    /// The mapping profile.
    pub(crate) source: Option<String>,
    /// The file.
    pub(crate) file: Option<String>,
    /// The file's fingerprint, if it was read.
    pub(crate) fingerprint: Option<String>,
    /// Its group.
    pub(crate) group_id: String,
    /// The cause.
    pub(crate) code: String,
    /// The stage.
    pub(crate) stage: Option<String>,
    /// What is wrong.
    pub(crate) message: Option<String>,
    /// How many bad rows there are.
    pub(crate) bad_rows_total: i64,
    /// The attempt that failed last.
    pub(crate) attempts: i32,
    /// How often it was replayed.
    pub(crate) replays: i32,
    /// The worker that gave it up.
    pub(crate) worker: Option<String>,
    /// When it first failed.
    pub(crate) first_failed_at: Option<DateTime<Utc>>,
    /// When it died, as far as that is known.
    pub(crate) failed_at: Option<DateTime<Utc>>,
    /// The length of its body in bytes, if that is too large to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) withheld: Option<i64>,
    /// What is wrong with its properties, which were then read without what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) malformed: Option<String>,
    /// How many messages of it lie in the queue.
    pub(crate) copies: i32,
    /// `waiting`, or `replaying` and `discarding`, in hand or cut off; in `show` also what became of it.
    pub(crate) state: String,
    /// A newer export that its slice has seen since: replayed, it would end as superseded.
    pub(crate) newer_export_at: Option<DateTime<Utc>>,
}

/// A letter with everything that is written down of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "WholeLetter")]
pub(crate) struct Whole {
    #[serde(flatten)]
    pub(crate) listed: Listed,
    /// The bad rows, at most 1,000.
    pub(crate) bad_rows: Option<Value>,
    /// The attempts of its round.
    pub(crate) tries: Option<Value>,
    /// Its AMQP properties.
    pub(crate) properties: Value,
    /// Its headers.
    pub(crate) headers: Value,
    /// The body, or its text if it is not JSON.
    pub(crate) body: Value,
    /// When it left the queue, and by whose act.
    pub(crate) settled_at: Option<DateTime<Utc>>,
    /// Who replayed or discarded it.
    pub(crate) settled_by: Option<String>,
    /// Why it was discarded.
    pub(crate) reason: Option<String>,
    /// The job that took its place.
    pub(crate) new_job_id: Option<Uuid>,
}

impl From<&Row> for Listed {
    fn from(row: &Row) -> Self {
        Self {
            place: row.get("place"),
            letter_id: row.get("letter_id"),
            job_id: row.get("job_id"),
            batch_id: row.get("batch_id"),
            entity: row.get("entity"),
            period: row.get("period"),
            source: row.get("source"),
            file: row.get("file"),
            fingerprint: row.get("fingerprint"),
            group_id: row.get("group_id"),
            code: row.get("code"),
            stage: row.get("stage"),
            message: row.get("message"),
            bad_rows_total: row.get("bad_rows_total"),
            attempts: row.get("attempts"),
            replays: row.get("replays"),
            worker: row.get("worker"),
            first_failed_at: row.get("first_failed_at"),
            failed_at: row.get("died_at"),
            withheld: row.get("withheld"),
            malformed: row.get("malformed"),
            copies: row.get("copies"),
            state: row.get("state"),
            newer_export_at: row.get("newer_export_at"),
        }
    }
}

impl Listed {
    /// What names the job in texts: its identity, or its place where it has none.
    pub(crate) fn name(&self) -> String {
        self.job_id.map_or_else(|| format!("letter-{}", self.place), |id| id.to_string())
    }
}

/// Counts what should be in the queue.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn open(pool: &Pool) -> Result<Open, PostgresError> {
    let rows = db::query(pool, "count the dead letters", OPEN, &[]).await?;
    let count = |name| rows.first().map_or(0, |row| row.get::<_, i64>(name));
    Ok(Open { letters: count("letters"), messages: count("messages") })
}

/// The error codes that letters have had.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn codes(pool: &Pool) -> Result<BTreeSet<String>, PostgresError> {
    let rows = db::query(pool, "list the codes of dead letters", CODES, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The selected letters by cause, the most frequent first.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn groups(pool: &Pool, filter: &Filter, now: DateTime<Utc>) -> Result<Vec<Group>, PostgresError> {
    let selected = filter.parameters(now);
    let rows = db::query(pool, "group the dead letters", GROUPS, &selected.all()).await?;
    let group = |row: &Row| Group {
        group_id: row.get("group_id"),
        code: row.get("code"),
        stage: row.get("stage"),
        source: row.get("source"),
        cause: row.get("cause"),
        jobs: row.get("letters"),
        entities: row.get("entities"),
        some_entities: row.get("some_entities"),
        oldest: row.get("oldest"),
        newest: row.get("newest"),
        last_10_minutes: row.get("last_10_minutes"),
        last_hour: row.get("last_hour"),
        what_to_do: what_to_do(row.get("code")),
    };
    Ok(rows.iter().map(group).collect())
}

/// The selected letters behind a place, in the order in which they were written down.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn letters(
    pool: &Pool,
    filter: &Filter,
    now: DateTime<Utc>,
    after: i64,
    limit: i64,
) -> Result<Vec<Listed>, PostgresError> {
    let selected = filter.parameters(now);
    let mut parameters: Vec<&(dyn ToSql + Sync)> = selected.all().to_vec();
    parameters.extend([&after as &(dyn ToSql + Sync), &limit]);
    let rows = db::query(pool, "list the dead letters", LETTERS, &parameters).await?;
    Ok(rows.iter().map(Listed::from).collect())
}

/// A letter with its message.
pub(crate) struct Letter {
    pub(crate) listed: Listed,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: Value,
    pub(crate) headers: Value,
}

/// The selected letters with their messages, in the order in which they were written down.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn messages(pool: &Pool, filter: &Filter, now: DateTime<Utc>) -> Result<Vec<Letter>, PostgresError> {
    let selected = filter.parameters(now);
    let rows = db::query(pool, "read the dead letters", MESSAGES, &selected.all()).await?;
    let letter = |row: &Row| Letter {
        listed: Listed::from(row),
        body: row.get("body"),
        properties: row.get("properties"),
        headers: row.get("headers"),
    };
    Ok(rows.iter().map(letter).collect())
}

/// All letters of a job, of whatever state, the oldest first.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn of_job(pool: &Pool, job: Uuid) -> Result<Vec<Whole>, PostgresError> {
    let rows = db::query(pool, "look dead letters up", OF_JOB, &[&job]).await?;
    let whole = |row: &Row| Whole {
        listed: Listed::from(row),
        bad_rows: row.get("bad_rows"),
        tries: row.get("tries"),
        properties: row.get("properties"),
        headers: row.get("headers"),
        body: body_value(row.get("body")),
        settled_at: row.get("settled_at"),
        settled_by: row.get("settled_by"),
        reason: row.get("reason"),
        new_job_id: row.get("new_job_id"),
    };
    Ok(rows.iter().map(whole).collect())
}

/// The body as JSON, or as text without what could disturb a terminal.
fn body_value(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        let clean = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
        Value::String(text.chars().take(64 * 1024).map(clean).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_json_is_shown_without_control_characters() {
        assert_eq!(body_value(b"\x1b[31m\xffa\nb"), Value::String("\u{fffd}[31m\u{fffd}a\nb".to_owned()));
        assert_eq!(body_value(b"{\"a\": 1}"), serde_json::json!({"a": 1}));
    }
}
