//! Letters that are taken out of the queue, as it is written down: before, so that what is cut off is seen, and after.

use deadpool_postgres::Pool;
use shared::{
    message::event::Event,
    stores::{
        dead_letters::{self, WholeLetter},
        outbox,
        postgres::{PostgresError, transaction},
    },
};
use uuid::Uuid;

use super::queue::Dead;

const TAKE: &str = include_str!("taking/take.sql");
const SETTLE: &str = include_str!("taking/settle.sql");
const GIVE_BACK: &str = "UPDATE dead_letters SET state = 'waiting', operation_id = NULL WHERE letter_id = ANY($1)";

/// What becomes of letters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act<'a> {
    /// They are published again.
    Replay,
    /// They are given up, for a reason.
    Discard(&'a str),
}

impl Act<'_> {
    fn under_way(self) -> &'static str {
        match self {
            Self::Replay => "replaying",
            Self::Discard(_) => "discarding",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Discard(_) => "discarded",
        }
    }
}

/// An event, and the name under which it is written once.
pub(super) type Named = (Event, String);

/// Writes down that letters are about to be taken out, with the events that tell so. What was not written down yet
/// is now.
///
/// # Errors
/// If PostgreSQL fails; then nothing has happened.
pub(super) async fn take(
    pool: &Pool,
    act: Act<'_>,
    operation: Uuid,
    letters: &[WholeLetter],
    events: &[Named],
) -> Result<(), PostgresError> {
    let (ids, state) = (&ids(letters), act.under_way());
    transaction(pool, "take_letters", move |tx, _| {
        Box::pin(async move {
            dead_letters::record_found(tx, letters).await?;
            let taken = tx.execute(TAKE, &[ids, &state, &operation]).await;
            taken.map_err(PostgresError::in_("take letters"))?;
            let events: Vec<_> = events.iter().map(|(event, once)| (event, Some(once.as_str()))).collect();
            outbox::record_once(tx, &events).await.map(|_| ())
        })
    })
    .await
}

/// Writes down that letters have left the queue: their identities, each with the job that takes its place, if one does.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn settle(
    pool: &Pool,
    act: Act<'_>,
    actor: &str,
    letters: &[(Uuid, Option<Uuid>)],
) -> Result<(), PostgresError> {
    let (ids, new): (Vec<Uuid>, Vec<Option<Uuid>>) = letters.iter().copied().unzip();
    let reason = match act {
        Act::Discard(reason) => Some(reason),
        Act::Replay => None,
    };
    let client = pool.get().await?;
    let settled = client.execute(SETTLE, &[&ids, &new, &act.done(), &actor, &reason]).await;
    settled.map(|_| ()).map_err(PostgresError::in_("write down what became of letters"))
}

/// Writes down that letters stay where they are after all.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn give_back(pool: &Pool, letters: &[Uuid]) -> Result<(), PostgresError> {
    let client = pool.get().await?;
    let back = client.execute(GIVE_BACK, &[&letters]).await;
    back.map(|_| ()).map_err(PostgresError::in_("give letters back"))
}

/// What is written down of letters in hand, copies counted.
pub(super) fn written<'a>(jobs: impl Iterator<Item = &'a [Dead]>) -> Vec<WholeLetter> {
    let mut letters: Vec<WholeLetter> = Vec::new();
    for dead in jobs.flatten() {
        // Copies of a letter lie behind each other here.
        let id = dead.letter.id();
        match letters.iter_mut().rev().find(|known| known.letter.id() == id) {
            Some(known) => known.copies += 1,
            None => letters.push(WholeLetter {
                letter: dead.letter.clone(),
                body: dead.body.clone().into(),
                properties: dead.properties.clone(),
                bad_rows: (Vec::new(), 0),
                copies: 1,
            }),
        }
    }
    letters
}

fn ids(letters: &[WholeLetter]) -> Vec<Uuid> {
    letters.iter().map(|whole| whole.letter.id()).collect()
}
