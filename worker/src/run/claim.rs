//! The claim: an attempt writes down that it runs before it does anything that could kill its worker.
//!
//! A claim is taken only while the slice is locked. Whoever holds the lock and finds a claim standing
//! knows that its worker died, unless the message says that it gave the job back alive.

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use shared::{
    message::{
        envelope::PublishedBy,
        job::{Arrival, Job},
        receipt::Receipt,
    },
    stores::{
        lease::Lease,
        postgres::{PostgresError, transaction},
    },
};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::attempt::Times;

const INSERT: &str = include_str!("claim/insert.sql");
const RENEW: &str = include_str!("claim/renew.sql");
const ORPHAN: &str = include_str!("claim/orphan.sql");
const HOLD: &str = include_str!("claim/hold.sql");
const IS_KNOWN: &str = "SELECT EXISTS (SELECT FROM ingestion_runs WHERE job_id = $1)";
/// The failure of an earlier round ended that round, and not this one.
const END_OF_ROUND: &str = "SELECT result FROM ingestion_runs \
                            WHERE job_id = $1 AND finished_at IS NOT NULL AND (status <> 'failed' OR replays >= $2)";
const LOOK: &str = "SELECT body_hash, status, result, replays, attempts, claim, alone, deaths, finished_at IS NOT NULL, \
                    resting_at IS NOT NULL, resting_at > now() - interval '5 s', exported_at, forced_at, \
                    arrival_from, arrival_intake, published_by, broker_user \
                    FROM ingestion_runs WHERE job_id = $1 FOR UPDATE";

/// Deaths while alone that condemn a job.
const DEATHS: i32 = 4;

/// What came of asking for a claim.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// The attempt may run; these are the times that the job's first delivery had, and who published it.
    Granted(Times, PublishedBy),
    /// The job had ended; this is what came of it.
    Ended(Box<Receipt>),
    /// The message has no identity, and this unfinished run is what its last worker left of it.
    Orphaned(Uuid),
    /// The job_id is another job's.
    OtherBody,
    /// The message says another attempt or round than the job can be at. Anyone can write that into a message.
    Misnumbered { attempt: u32, replays: u32 },
    /// A later copy of this job is on its way.
    Redundant,
    /// Its last attempt is over and being settled by a living worker.
    Settling,
    /// Its worker died: it must run with nothing beside it.
    NeedsIsolation,
    /// It killed its worker again and again.
    Condemned,
}

struct Found {
    body_hash: String,
    status: String,
    result: Option<Json<Receipt>>,
    replays: i32,
    attempts: i32,
    claim: Option<Uuid>,
    alone: bool,
    deaths: i32,
    ended: bool,
    /// Whether the attempt under the standing claim is over, and whether it was just now.
    rested: bool,
    settling: bool,
    times: Times,
    published_by: PublishedBy,
}

/// Asks for a claim. The caller holds the slice's lock, in a transaction of its own.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn take(
    pool: &Pool,
    job: &Job,
    claim: Uuid,
    worker: &str,
    alone: bool,
) -> Result<Claimed, PostgresError> {
    let replays = whole(job.replays);
    let (entity, period) = (job.slice.entity.as_str(), job.slice.period.as_str());
    let (body_hash, arrival) = (&job.body_hash.to_string(), job.arrival);
    transaction(pool, move |tx, _| Box::pin(async move {
        // What is forced stands at the time of its force, which another message does not share.
        if job.id_is_made && job.forced_at.is_none() {
            let orphan = tx.query_opt(ORPHAN, &[&entity, &period, body_hash, &job.exported_at, &job.is_dated]).await;
            if let Some(row) = orphan.map_err(PostgresError::in_("look for a run without its job"))? {
                return Ok(Claimed::Orphaned(row.get(0)));
            }
        }
        if (job.attempt, job.replays) != (1, 0) {
            // What a worker or `dead replay` has counted, it has written down.
            let known = tx.query_one(IS_KNOWN, &[&job.job_id]).await.map_err(PostgresError::in_("look a job up"))?;
            if !known.get::<_, bool>(0) {
                return Ok(Claimed::Misnumbered { attempt: 1, replays: 0 });
            }
        }
        let insert = tx.prepare_cached(INSERT).await.map_err(PostgresError::in_("prepare a claim"))?;
        let inserted = tx
            .execute(
                &insert,
                &[
                    &job.job_id, &job.batch_id, &job.file, &entity, &period, &job.source.as_str(), &job.exported_at,
                    &job.forced_at, body_hash, &replays, &claim, &worker, &alone, &arrival.map(|arrival| arrival.from),
                    &arrival.map(|arrival| arrival.intake),
                    &job.published_by.actor, &job.published_by.user_id,
                ],
            )
            .await
            .map_err(PostgresError::in_("claim a job"))?;
        if inserted == 1 {
            return Ok(Claimed::Granted(Times::of(job), job.published_by.clone()));
        }
        let row = tx.query_one(LOOK, &[&job.job_id]).await.map_err(PostgresError::in_("look a job up"))?;
        let standing = Found {
            body_hash: row.get(0),
            status: row.get(1),
            result: row.get(2),
            replays: row.get(3),
            attempts: row.get(4),
            claim: row.get(5),
            alone: row.get(6),
            deaths: row.get(7),
            ended: row.get(8),
            rested: row.get(9),
            settling: row.get::<_, Option<bool>>(10).unwrap_or(false),
            times: Times { exported_at: row.get(11), forced_at: row.get(12), arrival: arrival_of(row.get(13), row.get(14)) },
            published_by: PublishedBy { actor: row.get(15), user_id: row.get(16) },
        };
        let (decision, deaths) = decide(standing, job, replays, alone);
        match decision {
            Claimed::Granted(..) | Claimed::Condemned => {
                let new_round = deaths.is_none();
                tx.execute(RENEW, &[&job.job_id, &claim, &worker, &new_round, &alone, &replays])
                    .await
                    .map_err(PostgresError::in_("claim a job"))?;
                if let Some(deaths) = deaths {
                    tx.execute("UPDATE ingestion_runs SET deaths = $2 WHERE job_id = $1", &[&job.job_id, &deaths])
                        .await
                        .map_err(PostgresError::in_("count a death"))?;
                }
            }
            Claimed::NeedsIsolation => {
                // The death is counted now: the claim that tells of it is taken away.
                tx.execute(
                    "UPDATE ingestion_runs SET alone = true, deaths = $2, claim = NULL, status = 'retrying' WHERE job_id = $1",
                    &[&job.job_id, &deaths.unwrap_or(0)],
                )
                .await
                .map_err(PostgresError::in_("count a death"))?;
            }
            Claimed::Ended(_)
            | Claimed::Orphaned(_)
            | Claimed::OtherBody
            | Claimed::Misnumbered { .. }
            | Claimed::Redundant
            | Claimed::Settling => {}
        }
        Ok(decision)
    }))
    .await
}

/// What stands decides; with it come the deaths while alone, or none where a new round of attempts begins.
fn decide(standing: Found, job: &Job, replays: i32, alone: bool) -> (Claimed, Option<i32>) {
    let deaths = Some(standing.deaths);
    let granted = Claimed::Granted(standing.times, standing.published_by.clone());
    if standing.body_hash != job.body_hash.to_string() {
        return (Claimed::OtherBody, deaths);
    }
    if let Some((attempt, replays)) = corrected(&standing, job, replays) {
        return (Claimed::Misnumbered { attempt, replays }, deaths);
    }
    if standing.ended {
        return match standing.result {
            Some(_) if standing.status == "failed" && replays > standing.replays => (granted, None),
            Some(Json(receipt)) => (Claimed::Ended(Box::new(receipt)), deaths),
            None => (granted, None),
        };
    }
    if replays > standing.replays {
        return (granted, None);
    }
    let spent = standing.attempts >= whole(job.attempt);
    if replays < standing.replays || (standing.status == "retrying" && spent) {
        return (Claimed::Redundant, deaths);
    }
    let returned = standing.claim.is_some() && standing.claim == job.returned_claim;
    if standing.claim.is_some() && standing.settling && !returned {
        return (Claimed::Settling, deaths);
    }
    let died = standing.claim.is_some() && !standing.rested && !returned;
    let count = standing.deaths + i32::from(died && standing.alone);
    if count >= DEATHS {
        (Claimed::Condemned, Some(count))
    } else if (died || standing.alone) && !alone {
        (Claimed::NeedsIsolation, Some(count))
    } else {
        (granted, Some(count))
    }
}

/// The attempt and round that a message can be at most, if it says more: the next ones after those that are
/// written down. A message that names the standing claim is that claim's worker's own.
fn corrected(standing: &Found, job: &Job, replays: i32) -> Option<(u32, u32)> {
    let is_own = standing.claim.is_some() && standing.claim == job.returned_claim;
    let round = replays.min(standing.replays.saturating_add(1));
    let spent = if round > standing.replays { 0 } else { standing.attempts };
    let attempt = job.attempt.min(u32::try_from(spent).unwrap_or(0).saturating_add(1));
    let round = u32::try_from(round).unwrap_or(0);
    (!is_own && (attempt, round) != (job.attempt, job.replays)).then_some((attempt, round))
}

/// Notes that the attempt under a claim is over although the claim stands until it is settled. It is
/// said while the slice is still locked, so that nobody takes its worker for dead. If PostgreSQL
/// cannot be told, the message that is published next says it.
pub(crate) async fn mark_settling(pool: &Pool, claim: Uuid) {
    let said: Result<(), PostgresError> = async {
        let lease = Lease::take(pool).await?;
        let note = "UPDATE ingestion_runs SET resting_at = now() WHERE claim = $1";
        let noted = lease.execute(note, &[&claim]).await;
        lease.end();
        noted.map(|_| ()).map_err(PostgresError::in_("note that an attempt is over"))
    }
    .await;
    if let Err(error) = said {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "PostgreSQL could not be told that an attempt is over"
        );
    }
}

/// Who may end a job whose attempt is over.
#[derive(Debug)]
pub(crate) enum Ownership {
    /// This attempt: nobody has claimed or ended the job since, and its round goes on.
    Mine,
    /// Nobody: it has ended, and so.
    Ended(Box<Receipt>),
    /// Another attempt, which goes further.
    Others,
    /// This attempt, but the run of its job_id is that of a job with another body.
    OtherBody,
}

/// Asks who may end a job. If it is this attempt, nobody else will for as long as after [`mark_settling`].
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn still_owned(pool: &Pool, job: &Job, claim: Uuid) -> Result<Ownership, PostgresError> {
    let (replays, attempt) = (whole(job.replays), whole(job.attempt));
    let lease = Lease::take(pool).await?;
    let asked = async {
        let body_hash = job.body_hash.to_string();
        let row = lease.query_one(HOLD, &[&job.job_id, &claim, &replays, &attempt, &body_hash]).await?;
        if row.get(1) {
            return Ok(Ownership::OtherBody);
        }
        if row.get(0) {
            return Ok(Ownership::Mine);
        }
        let end = lease.query_opt(END_OF_ROUND, &[&job.job_id, &replays]).await?;
        let receipt = end.and_then(|row| row.get::<_, Option<Json<Receipt>>>(0));
        Ok(receipt.map_or(Ownership::Others, |Json(receipt)| Ownership::Ended(Box::new(receipt))))
    };
    let standing = asked.await.map_err(PostgresError::in_("look a claim up"));
    lease.end();
    standing
}

/// How a job has ended in this round or a later one, or for good, if it has.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn end_of_round(tx: &Transaction<'_>, job: &Job) -> Result<Option<Box<Receipt>>, PostgresError> {
    let row = tx.query_opt(END_OF_ROUND, &[&job.job_id, &whole(job.replays)]).await;
    let row = row.map_err(PostgresError::in_("look a job's end up"))?;
    Ok(row.and_then(|row| row.get::<_, Option<Json<Receipt>>>(0)).map(|Json(receipt)| Box::new(receipt)))
}

/// A small number as PostgreSQL's `integer`.
pub(crate) fn whole(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// What two columns say of a first delivery.
pub(crate) fn arrival_of(from: Option<DateTime<Utc>>, intake: Option<Uuid>) -> Option<Arrival> {
    from.zip(intake).map(|(from, intake)| Arrival { from, intake })
}

/// Takes a claim away whose worker lives, so that it is not mistaken for a death.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn release(pool: &Pool, claims: &[Uuid]) -> Result<(), PostgresError> {
    let lease = Lease::take(pool).await?;
    let done = lease
        .execute("UPDATE ingestion_runs SET claim = NULL, status = 'retrying' WHERE claim = ANY($1)", &[&claims])
        .await;
    lease.end();
    done.map(|_| ()).map_err(PostgresError::in_("give a claim back"))
}

#[cfg(test)]
mod tests {
    use shared::message::{envelope::Envelope, receive::receive};

    use super::*;

    fn job() -> Job {
        let envelope = Envelope { attempt: 2, ..Envelope::default() };
        receive(br#"{"file": "a", "entity": "A", "period": "2022-06"}"#, &envelope, Utc::now()).unwrap()
    }

    fn standing(job: &Job, status: &str, attempts: i32, claim: Option<u128>) -> Found {
        Found {
            body_hash: job.body_hash.to_string(),
            status: status.to_owned(),
            result: None,
            replays: 0,
            attempts,
            claim: claim.map(Uuid::from_u128),
            alone: false,
            deaths: 0,
            ended: false,
            rested: false,
            settling: false,
            times: Times { forced_at: None, ..Times::of(job) },
            published_by: PublishedBy::default(),
        }
    }

    #[test]
    fn a_copy_of_an_attempt_that_was_spent_is_redundant() {
        let job = job();
        assert!(matches!(decide(standing(&job, "retrying", 2, None), &job, 0, false), (Claimed::Redundant, _)));
        assert!(matches!(decide(standing(&job, "retrying", 1, None), &job, 0, false), (Claimed::Granted(..), Some(0))));
    }

    #[test]
    fn a_claim_left_standing_is_a_death_unless_the_job_was_given_back() {
        let mut job = job();
        assert!(matches!(
            decide(standing(&job, "running", 1, Some(7)), &job, 0, false),
            (Claimed::NeedsIsolation, Some(0))
        ));
        assert!(matches!(
            decide(standing(&job, "running", 1, Some(7)), &job, 0, true),
            (Claimed::Granted(..), Some(0))
        ));
        job.returned_claim = Some(Uuid::from_u128(7));
        assert!(matches!(
            decide(standing(&job, "running", 1, Some(7)), &job, 0, false),
            (Claimed::Granted(..), Some(0))
        ));
    }

    #[test]
    fn an_attempt_that_is_over_is_no_death_and_is_left_to_who_settles_it() {
        let job = job();
        let over = |settling| Found { rested: true, settling, ..standing(&job, "running", 1, Some(7)) };
        assert!(matches!(decide(over(true), &job, 0, false), (Claimed::Settling, _)));
        assert!(matches!(decide(over(false), &job, 0, false), (Claimed::Granted(..), Some(0))));
    }

    #[test]
    fn a_message_is_at_most_the_next_attempt_and_round_unless_it_names_the_standing_claim() {
        let mut job = Job { attempt: 4, replays: 2_147_483_647, ..job() };
        let replays = i32::MAX;
        let decided = decide(standing(&job, "retrying", 2, None), &job, replays, false).0;
        assert!(matches!(decided, Claimed::Misnumbered { attempt: 1, replays: 1 }), "{decided:?}");
        (job.attempt, job.replays) = (4, 0);
        let decided = decide(standing(&job, "retrying", 2, None), &job, 0, false).0;
        assert!(matches!(decided, Claimed::Misnumbered { attempt: 3, replays: 0 }), "{decided:?}");
        job.returned_claim = Some(Uuid::from_u128(7));
        let decided = decide(standing(&job, "running", 2, Some(7)), &job, 0, false).0;
        assert!(matches!(decided, Claimed::Granted(..)), "{decided:?}");
    }

    #[test]
    fn four_deaths_while_alone_condemn() {
        let job = job();
        let alone = |deaths| Found { alone: true, deaths, ..standing(&job, "running", 1, Some(7)) };
        assert!(matches!(decide(alone(2), &job, 0, true), (Claimed::Granted(..), Some(3))));
        assert!(matches!(decide(alone(3), &job, 0, true), (Claimed::Condemned, Some(4))));
    }

    #[test]
    fn a_replay_begins_anew_and_an_old_copy_of_it_does_nothing() {
        let job = Job { attempt: 1, replays: 1, ..job() };
        assert!(matches!(decide(standing(&job, "running", 3, Some(7)), &job, 1, false), (Claimed::Granted(..), None)));
        let later = Found { replays: 2, ..standing(&job, "running", 0, Some(7)) };
        assert!(matches!(decide(later, &job, 1, false), (Claimed::Redundant, _)));
    }
}
