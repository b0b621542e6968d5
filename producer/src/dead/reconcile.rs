//! The queue of dead letters beside what is written down of it.
//!
//! Workers write down what they publish. What RabbitMQ put there by itself, what a shovel moved, what a worker of an
//! earlier version gave up, and what was there before PostgreSQL was restored, is only in the queue: whoever finds
//! more there than is written down takes the queue in hand once, and writes it down.

use std::{collections::HashMap, time::Duration};

use deadpool_postgres::Pool;
use shared::{
    broker::topology::Topology,
    settings::Settings,
    stores::{
        dead_letters::{self, WholeLetter},
        postgres::PostgresError,
    },
};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    queue::{self, Dead, Held},
    written::{self, Open},
};
use crate::errors::CommandError;

/// How often the two are compared, and how long a letter may be on its way into both.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);
/// Letters that are written down at a time.
const CHUNK: usize = 500;

/// The queue beside what is written down of it.
pub(crate) struct Compared {
    /// Its name.
    pub(crate) queue: String,
    /// How many messages RabbitMQ counts that nobody has in hand.
    pub(crate) messages: usize,
    /// Whether somebody has messages in hand, which are not counted.
    pub(crate) is_in_hand: bool,
    /// What is written down.
    pub(crate) open: Open,
    /// Letters that were only in the queue and have just been written down.
    pub(crate) found: u64,
}

impl Compared {
    /// What a person should know about the difference, if there is one.
    pub(crate) fn remark(&self) -> Option<String> {
        let written = usize::try_from(self.open.messages).unwrap_or_default();
        let more = written.checked_sub(self.messages).filter(|more| *more > 0 && !self.is_in_hand);
        match (self.found, more) {
            (0, None) => None,
            (0, Some(more)) => Some(format!(
                "{more} of these letters are no longer in {}, or not yet; aura-producer verify tells which",
                self.queue
            )),
            (found, _) => Some(format!("{found} letters were only in {}; they are written down now", self.queue)),
        }
    }
}

/// Compares the two by their counts, and writes down what is only in the queue.
///
/// # Errors
/// If a store fails, or another command has the queue in hand when it must be.
pub(crate) async fn compare(pool: &Pool, settings: &Settings) -> Result<Compared, CommandError> {
    let queue = Topology::new(&settings.namespace).dead;
    let open = async || written::open(pool).await.map_err(CommandError::postgres(settings));
    let mut looks = 0;
    loop {
        // What is published is written down afterwards: the queue is counted first.
        let counted = queue::count(settings).await?;
        let open = open().await?;
        let is_less = counted.messages <= usize::try_from(open.messages).unwrap_or_default();
        if is_less {
            let (messages, is_in_hand) = (counted.messages, counted.is_in_hand);
            return Ok(Compared { queue, messages, is_in_hand, open, found: 0 });
        }
        looks += 1;
        if looks >= LOOKS {
            break;
        }
        sleep(PAUSE).await;
    }
    let mut held = in_hand(settings).await?;
    let messages = held.letters.len();
    let letters = distinct(std::mem::take(&mut held.letters));
    let written = write_down(pool, &letters).await;
    held.release().await;
    let found = written.map_err(CommandError::postgres(settings))?;
    Ok(Compared { queue, messages, is_in_hand: false, open: open().await?, found })
}

/// Takes all letters in hand.
///
/// # Errors
/// If the broker fails, another command has the queue in hand, or not all letters were seen.
pub(crate) async fn in_hand(settings: &Settings) -> Result<Held, CommandError> {
    let held = queue::hold(settings, |_| true).await?;
    match held.seen.warning(&held.queue) {
        Some(missed) => {
            held.release().await;
            Err(CommandError::Unseen(missed))
        }
        None => Ok(held),
    }
}

async fn write_down(pool: &Pool, letters: &[WholeLetter]) -> Result<u64, PostgresError> {
    let client = pool.get().await?;
    let mut found = 0;
    for chunk in letters.chunks(CHUNK) {
        found += dead_letters::record_found(&client, chunk).await?;
    }
    Ok(found)
}

/// Letters with their copies counted, in the order in which they lie there.
pub(crate) fn distinct(dead: Vec<Dead>) -> Vec<WholeLetter> {
    let mut letters: Vec<WholeLetter> = Vec::with_capacity(dead.len());
    let mut places: HashMap<Uuid, usize> = HashMap::with_capacity(dead.len());
    for Dead { letter, body, properties, .. } in dead {
        let place = *places.entry(letter.id()).or_insert(letters.len());
        match letters.get_mut(place) {
            Some(known) => known.copies += 1,
            None => letters.push(WholeLetter {
                letter,
                body: body.into(),
                properties,
                bad_rows: (Vec::new(), 0),
                copies: 1,
            }),
        }
    }
    letters
}
