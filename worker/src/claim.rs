//! The claim: an attempt writes down that it runs before it does anything that could kill its worker.
//!
//! A claim is taken only while the slice is locked. Whoever holds the lock and finds a claim standing
//! knows that its worker died, unless the message says that it gave the job back alive.

use deadpool_postgres::Pool;
use shared::{
    envelope::PublishedBy,
    job::Job,
    postgres::{PostgresError, transaction},
    receipt::Receipt,
};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::attempt::Times;

const INSERT: &str = include_str!("claim/insert.sql");
const RENEW: &str = include_str!("claim/renew.sql");
const ORPHAN: &str = include_str!("claim/orphan.sql");
const HOLD: &str = include_str!("claim/hold.sql");
const LOOK: &str = "SELECT body_hash, status, result, replays, attempts, claim, alone, deaths, finished_at IS NOT NULL, \
                    resting_at IS NOT NULL, resting_at > now() - interval '5 s', exported_at, forced_at, \
                    published_by, broker_user \
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
    /// A later copy of this job is on its way.
    Redundant,
    /// Its last attempt is over and being settled by a living worker.
    Settling,
    /// Its worker died: it must run with nothing beside it.
    NeedsSolitude,
    /// It killed its worker again and again.
    Condemned,
}

struct Standing {
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
    let replays = i32::try_from(job.replays).unwrap_or(i32::MAX);
    let (entity, period) = (job.slice.entity.as_str(), job.slice.period.as_str());
    let body_hash = &job.body_hash.to_string();
    transaction(pool, move |tx, _| Box::pin(async move {
        // What is forced stands at the time of its force, which another message does not share.
        if job.id_is_made && job.forced_at.is_none() {
            let orphan = tx.query_opt(ORPHAN, &[&entity, &period, body_hash, &job.exported_at, &job.is_dated]).await;
            if let Some(row) = orphan.map_err(PostgresError::in_("look for a run without its job"))? {
                return Ok(Claimed::Orphaned(row.get(0)));
            }
        }
        let insert = tx.prepare_cached(INSERT).await.map_err(PostgresError::in_("prepare a claim"))?;
        let inserted = tx
            .execute(
                &insert,
                &[
                    &job.job_id, &job.batch_id, &job.file, &entity, &period, &job.source.as_str(), &job.exported_at,
                    &job.forced_at, body_hash, &replays, &claim, &worker, &alone,
                    &job.published_by.actor, &job.published_by.user_id,
                ],
            )
            .await
            .map_err(PostgresError::in_("claim a job"))?;
        if inserted == 1 {
            let times = Times { exported_at: job.exported_at, forced_at: job.forced_at };
            return Ok(Claimed::Granted(times, job.published_by.clone()));
        }
        let row = tx.query_one(LOOK, &[&job.job_id]).await.map_err(PostgresError::in_("look a job up"))?;
        let standing = Standing {
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
            times: Times { exported_at: row.get(11), forced_at: row.get(12) },
            published_by: PublishedBy { actor: row.get(13), user_id: row.get(14) },
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
            Claimed::NeedsSolitude => {
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
            | Claimed::Redundant
            | Claimed::Settling => {}
        }
        Ok(decision)
    }))
    .await
}

/// What stands decides; with it come the deaths while alone, or none where a new round of attempts begins.
fn decide(standing: Standing, job: &Job, replays: i32, alone: bool) -> (Claimed, Option<i32>) {
    let (deaths, granted) = (Some(standing.deaths), Claimed::Granted(standing.times, standing.published_by));
    if standing.body_hash != job.body_hash.to_string() {
        return (Claimed::OtherBody, deaths);
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
    let spent = standing.attempts >= i32::try_from(job.attempt).unwrap_or(i32::MAX);
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
        (Claimed::NeedsSolitude, Some(count))
    } else {
        (granted, Some(count))
    }
}

/// Notes that the attempt under a claim is over although the claim stands until it is settled. It is
/// said while the slice is still locked, so that nobody takes its worker for dead. If PostgreSQL
/// cannot be told, the message that is published next says it.
pub(crate) async fn rest(pool: &Pool, claim: Uuid) {
    let said: Result<(), PostgresError> = async {
        let client = pool.get().await?;
        let note = "UPDATE ingestion_runs SET resting_at = now() WHERE claim = $1";
        client.execute(note, &[&claim]).await.map_err(PostgresError::in_("note that an attempt is over"))?;
        Ok(())
    }
    .await;
    if let Err(error) = said {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "PostgreSQL could not be told that an attempt is over"
        );
    }
}

/// Whether an attempt that is over may still end its job: nobody has claimed or ended it since. For as
/// long as after [`rest`] nobody will.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn holds(pool: &Pool, job_id: Uuid, claim: Uuid) -> Result<bool, PostgresError> {
    let client = pool.get().await?;
    let row = client.query_one(HOLD, &[&job_id, &claim]).await;
    row.map(|row| row.get(0)).map_err(PostgresError::in_("look a claim up"))
}

/// Takes a claim away whose worker lives, so that it is not mistaken for a death.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn give_back(pool: &Pool, claims: &[Uuid]) -> Result<(), PostgresError> {
    let client = pool.get().await?;
    let done = client
        .execute("UPDATE ingestion_runs SET claim = NULL, status = 'retrying' WHERE claim = ANY($1)", &[&claims])
        .await;
    done.map(|_| ()).map_err(PostgresError::in_("give a claim back"))
}

#[cfg(test)]
mod tests {
    use shared::{envelope::Envelope, receive::receive};

    use super::*;

    fn job() -> Job {
        let envelope = Envelope { attempt: 2, ..Envelope::default() };
        receive(br#"{"file": "a", "entity": "A", "period": "2022-06"}"#, &envelope, chrono::Utc::now()).unwrap()
    }

    fn standing(job: &Job, status: &str, attempts: i32, claim: Option<u128>) -> Standing {
        Standing {
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
            times: Times { exported_at: job.exported_at, forced_at: None },
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
            (Claimed::NeedsSolitude, Some(0))
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
        let over = |settling| Standing { rested: true, settling, ..standing(&job, "running", 1, Some(7)) };
        assert!(matches!(decide(over(true), &job, 0, false), (Claimed::Settling, _)));
        assert!(matches!(decide(over(false), &job, 0, false), (Claimed::Granted(..), Some(0))));
    }

    #[test]
    fn four_deaths_while_alone_condemn() {
        let job = job();
        let alone = |deaths| Standing { alone: true, deaths, ..standing(&job, "running", 1, Some(7)) };
        assert!(matches!(decide(alone(2), &job, 0, true), (Claimed::Granted(..), Some(3))));
        assert!(matches!(decide(alone(3), &job, 0, true), (Claimed::Condemned, Some(4))));
    }

    #[test]
    fn a_replay_begins_anew_and_an_old_copy_of_it_does_nothing() {
        let job = job();
        assert!(matches!(decide(standing(&job, "running", 3, Some(7)), &job, 1, false), (Claimed::Granted(..), None)));
        let later = Standing { replays: 2, ..standing(&job, "running", 0, Some(7)) };
        assert!(matches!(decide(later, &job, 1, false), (Claimed::Redundant, _)));
    }
}
