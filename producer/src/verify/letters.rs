//! The queue of dead letters against what is written down of it.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use shared::{
    message::event::{Event, EventType},
    settings::Settings,
    stores::{
        dead_letters::{self, WholeLetter},
        outbox,
        postgres::{PostgresError, transaction},
    },
};
use tokio::time::sleep;
use tokio_postgres::Row;
use uuid::Uuid;

use super::finding::{Code, Finding, Findings, Name};
use crate::{
    actor_event, db,
    dead::reconcile::{distinct, in_hand},
    errors::CommandError,
};

const OPEN: &str = include_str!("letters/open.sql");
const GONE: &str = include_str!("letters/gone.sql");
/// How long a letter may be in the queue and on its way into PostgreSQL.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
const LOOKS: u32 = 3;
/// What a chain of no slice is called.
const NO_SLICE: (&str, &str) = ("_system", "-");

/// A letter that should be in the queue.
struct Open {
    letter_id: Uuid,
    job_id: Option<Uuid>,
    name: Name,
    code: String,
    state: String,
    recorded_at: DateTime<Utc>,
}

impl From<&Row> for Open {
    fn from(row: &Row) -> Self {
        Self {
            letter_id: row.get("letter_id"),
            job_id: row.get("job_id"),
            name: name(row.get("entity"), row.get("period")),
            code: row.get("code"),
            state: row.get("state"),
            recorded_at: row.get("recorded_at"),
        }
    }
}

fn name(entity: Option<String>, period: Option<String>) -> Name {
    let (no_entity, no_period) = NO_SLICE;
    Name {
        entity: entity.unwrap_or_else(|| no_entity.to_owned()),
        period: period.unwrap_or_else(|| no_period.to_owned()),
    }
}

/// Compares the two while nobody else can take a letter; returns how many letters the queue holds.
///
/// # Errors
/// If a service fails, or another command has the queue in hand.
pub(super) async fn check(pool: &Pool, settings: &Settings, repair: bool) -> Result<(u64, Vec<Finding>), CommandError> {
    let failed = CommandError::postgres(settings);
    let began = db::query(pool, "ask for the time", "SELECT now()", &[]).await.map_err(failed)?;
    let began: DateTime<Utc> = began.first().map_or_else(Utc::now, |row| row.get(0));
    let mut held = in_hand(settings).await?;
    let letters = distinct(std::mem::take(&mut held.letters));
    let compared = compare(pool, settings, &letters, began, repair).await;
    held.release().await;
    let messages: usize = letters.iter().map(|letter| letter.copies).sum();
    Ok((messages as u64, compared.map_err(failed)?))
}

async fn compare(
    pool: &Pool,
    settings: &Settings,
    letters: &[WholeLetter],
    began: DateTime<Utc>,
    repair: bool,
) -> Result<Vec<Finding>, PostgresError> {
    let in_queue: HashSet<Uuid> = letters.iter().map(|whole| whole.letter.id()).collect();
    let mut looks = 0;
    let (unwritten, gone) = loop {
        let open = db::query(pool, "list the dead letters", OPEN, &[]).await?;
        let open: Vec<Open> = open.iter().map(Open::from).collect();
        let written: HashSet<Uuid> = open.iter().map(|open| open.letter_id).collect();
        let unwritten: Vec<&WholeLetter> =
            letters.iter().filter(|whole| !written.contains(&whole.letter.id())).collect();
        looks += 1;
        if unwritten.is_empty() || looks >= LOOKS {
            // One that was written down after the queue was taken in hand may have come after that, too.
            let is_gone = |open: &Open| !in_queue.contains(&open.letter_id) && open.recorded_at < began;
            break (unwritten, open.into_iter().filter(is_gone).collect::<Vec<_>>());
        }
        sleep(ON_ITS_WAY).await;
    };
    let mut findings = Vec::new();
    for whole in unwritten {
        let letter = &whole.letter;
        let mut found = Findings::about(&name(letter.entity.clone(), letter.period.clone()));
        let detail = format!("aura.dead holds a letter ({}) that is not written down", letter.code);
        found.add_of(Code::LetterUnwritten, letter.job_id, detail);
        let event = letter.event(EventType::Repaired, &settings.actor);
        let event = event.with("what", "dead_letter").with("finding", Code::LetterUnwritten.as_str());
        for mut finding in found.list {
            if repair {
                write_down(pool, whole, &event).await?;
                (finding.repaired, finding.repair) = (true, Some("it is written down".to_owned()));
            }
            findings.push(finding);
        }
    }
    for open in gone {
        let mut found = Findings::about(&open.name);
        let detail = match open.state.as_str() {
            "waiting" => format!("a letter ({}) is written down as waiting, and aura.dead does not hold it", open.code),
            state => format!("a letter ({}) was {state} when a command was cut off, and has left aura.dead", open.code),
        };
        found.add_of(Code::LetterGone, open.job_id, detail);
        let mut event = actor_event::event(EventType::Repaired, settings)
            .with("what", "dead_letter")
            .with("finding", Code::LetterGone.as_str())
            .with("state", open.state.as_str());
        (event.slice, event.job_id) = (open.name.slice(), open.job_id);
        for mut finding in found.list {
            if repair {
                let said = match open.state.as_str() {
                    "replaying" => "it is noted as replayed",
                    "discarding" => "it is noted as discarded",
                    _ => "it is noted as gone; if the job is still to be done, publish it again",
                };
                note_gone(pool, open.letter_id, &settings.actor, &event).await?;
                (finding.repaired, finding.repair) = (true, Some(said.to_owned()));
            }
            findings.push(finding);
        }
    }
    Ok(findings)
}

async fn write_down(pool: &Pool, letter: &WholeLetter, event: &Event) -> Result<(), PostgresError> {
    transaction(pool, "repair", move |tx, _| {
        Box::pin(async move {
            if dead_letters::record_found(tx, std::slice::from_ref(letter)).await? > 0 {
                outbox::record(tx, std::slice::from_ref(event)).await?;
            }
            Ok::<_, PostgresError>(())
        })
    })
    .await
}

async fn note_gone(pool: &Pool, letter: Uuid, actor: &str, event: &Event) -> Result<(), PostgresError> {
    transaction(pool, "repair", move |tx, _| {
        Box::pin(async move {
            let noted = tx.execute(GONE, &[&letter, &actor]).await;
            if noted.map_err(PostgresError::in_("write a repair"))? > 0 {
                outbox::record(tx, std::slice::from_ref(event)).await?;
            }
            Ok::<_, PostgresError>(())
        })
    })
    .await
}
