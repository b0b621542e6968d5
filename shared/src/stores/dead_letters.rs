//! What the queue of dead letters holds, written down in PostgreSQL for looking.
//!
//! The worker that publishes a letter writes it down in the transaction that notes the failure; whoever takes the
//! queue in hand writes down what is only there.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use lapin::BasicProperties;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    message::{
        failure::{BadRow, Failure},
        letter::{Letter, cause::Cause, shown},
    },
    stores::{postgres::PostgresError, storable::Storable},
    timestamp::{micros_text, to_micros},
};

const RECORD: &str = include_str!("dead_letters/record.sql");
const GROUPS: &str = include_str!("dead_letters/groups.sql");

/// A letter with everything that is written down of it.
#[derive(Debug, Clone)]
pub struct WholeLetter {
    /// What it says about itself.
    pub letter: Letter,
    /// Its body as it is.
    pub body: Bytes,
    /// Its properties and headers.
    pub properties: BasicProperties,
    /// The bad rows that its worker found, at most 1,000, and how many there are.
    pub bad_rows: (Vec<BadRow>, u64),
    /// How many copies of it there are.
    pub copies: usize,
}

/// An attempt that failed, as runs and letters keep it.
#[derive(Debug, Clone, Serialize)]
pub struct Try<'a> {
    /// The round: how often the job had been replayed.
    pub round: u32,
    /// The attempt within it, from 1.
    pub attempt: u32,
    /// When it had failed, to the microsecond.
    pub at: String,
    /// By which worker.
    pub worker: &'a str,
    /// The cause.
    pub code: &'a str,
    /// The step in which it arose.
    pub stage: &'a str,
    /// What was wrong, with all causes.
    pub message: &'a str,
}

impl<'a> Try<'a> {
    /// An attempt that fails now.
    pub fn now(round: u32, attempt: u32, worker: &'a str, failure: &'a Failure) -> Self {
        let (code, stage, message) = (failure.code.as_str(), failure.stage.as_str(), failure.message.as_str());
        Self { round, attempt, at: micros_text(Utc::now()), worker, code, stage, message }
    }
}

/// Writes letters down that were just published, each with the attempts that its run has of its round. One that is
/// there already stays as it is: somebody may have replayed it meanwhile.
///
/// # Errors
/// If PostgreSQL fails.
pub async fn record(client: &impl GenericClient, letters: &[WholeLetter]) -> Result<u64, PostgresError> {
    write(client, letters, false).await
}

/// Writes letters down that lie in the queue, which the caller has in hand: those that are written down are there
/// again, whatever was said of them.
///
/// # Errors
/// If PostgreSQL fails.
pub async fn record_found(client: &impl GenericClient, letters: &[WholeLetter]) -> Result<u64, PostgresError> {
    write(client, letters, true).await
}

async fn write(client: &impl GenericClient, letters: &[WholeLetter], are_in_hand: bool) -> Result<u64, PostgresError> {
    if letters.is_empty() {
        return Ok(0);
    }
    let causes: Vec<Cause> = letters.iter().map(|whole| whole.letter.cause()).collect();
    let rows: Vec<Value> = letters.iter().zip(&causes).map(|(whole, cause)| row(whole, cause)).collect();
    let (rows, groups) = (Storable::of(&rows), Storable::of(&causes));
    let bodies: Vec<&[u8]> = letters.iter().map(|whole| whole.body.as_ref()).collect();
    let written = async {
        let statement = client.prepare_cached(GROUPS).await?;
        client.execute(&statement, &[&groups]).await?;
        let statement = client.prepare_cached(RECORD).await?;
        client.execute(&statement, &[&rows, &bodies, &are_in_hand]).await
    };
    written.await.map_err(PostgresError::in_("write dead letters down"))
}

fn row(whole: &WholeLetter, cause: &Cause) -> Value {
    let WholeLetter { letter, properties, bad_rows: (bad_rows, bad_rows_total), copies, .. } = whole;
    let time = |at: Option<DateTime<Utc>>| at.map(|at| micros_text(to_micros(at)));
    let headers = properties.headers().as_ref().map(shown::table);
    json!({
        "letter_id": letter.id(),
        "job_id": letter.job_id,
        "batch_id": letter.batch_id,
        "entity": letter.entity,
        "period": letter.period,
        "source": letter.source,
        "file": letter.file,
        "fingerprint": letter.fingerprint,
        "group_id": cause.group_id,
        "code": letter.code,
        "stage": letter.stage,
        "message": letter.message,
        "bad_rows": (!bad_rows.is_empty()).then_some(bad_rows),
        "bad_rows_total": bad_rows_total,
        "attempts": letter.attempts,
        "replays": letter.replays,
        "worker": letter.worker,
        "first_failed_at": time(letter.first_failed_at),
        "died_at": time(letter.at()),
        "body_hash": letter.body_hash,
        "properties": shown::properties(properties),
        "headers": headers.unwrap_or_else(|| json!({})),
        "withheld": letter.withheld,
        "malformed": letter.malformed,
        "copies": copies,
    })
}
