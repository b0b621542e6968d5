//! The claim: an attempt writes down that it runs before it does anything that could kill its worker.
//!
//! A claim is taken only while the slice is locked. Whoever holds the lock and finds a claim standing
//! knows that its worker died, unless the message says that it gave the job back alive.

use deadpool_postgres::Pool;
use shared::{
    job::Job,
    postgres::{PostgresError, transaction},
    receipt::Receipt,
};
use tokio_postgres::types::Json;
use uuid::Uuid;

const INSERT: &str = include_str!("claim/insert.sql");
const RENEW: &str = include_str!("claim/renew.sql");
const LOOK: &str = "SELECT body_hash, status, result, replays, attempts, claim, alone, deaths, finished_at IS NOT NULL \
                    FROM ingestion_runs WHERE job_id = $1 FOR UPDATE";

/// Deaths while alone that condemn a job.
const DEATHS: i32 = 4;

/// What came of asking for a claim.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// The attempt may run.
    Granted,
    /// The job had ended; this is what came of it.
    Ended(Box<Receipt>),
    /// The job_id is another job's.
    OtherBody,
    /// A later copy of this job is on its way.
    Redundant,
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
        let insert = tx.prepare_cached(INSERT).await.map_err(PostgresError::in_("prepare a claim"))?;
        let inserted = tx
            .execute(
                &insert,
                &[
                    &job.job_id, &job.batch_id, &job.file, &entity, &period, &job.source.as_str(), &job.exported_at,
                    &job.forced_at, body_hash, &replays, &claim, &worker, &alone,
                ],
            )
            .await
            .map_err(PostgresError::in_("claim a job"))?;
        if inserted == 1 {
            return Ok(Claimed::Granted);
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
        };
        let (decision, deaths) = decide(standing, job, replays, alone);
        match decision {
            Claimed::Granted | Claimed::Condemned => {
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
            Claimed::Ended(_) | Claimed::OtherBody | Claimed::Redundant => {}
        }
        Ok(decision)
    }))
    .await
}

/// What stands decides; with it come the deaths while alone, or none where a new round of attempts begins.
fn decide(standing: Standing, job: &Job, replays: i32, alone: bool) -> (Claimed, Option<i32>) {
    let deaths = Some(standing.deaths);
    if standing.body_hash != job.body_hash.to_string() {
        return (Claimed::OtherBody, deaths);
    }
    if standing.ended {
        return match standing.result {
            Some(_) if standing.status == "failed" && replays > standing.replays => (Claimed::Granted, None),
            Some(Json(receipt)) => (Claimed::Ended(Box::new(receipt)), deaths),
            None => (Claimed::Granted, None),
        };
    }
    if replays > standing.replays {
        return (Claimed::Granted, None);
    }
    let spent = standing.attempts >= i32::try_from(job.attempt).unwrap_or(i32::MAX);
    if replays < standing.replays || (standing.status == "retrying" && spent) {
        return (Claimed::Redundant, deaths);
    }
    let died = standing.claim.is_some() && standing.claim != job.returned_claim;
    let count = standing.deaths + i32::from(died && standing.alone);
    if count >= DEATHS {
        (Claimed::Condemned, Some(count))
    } else if (died || standing.alone) && !alone {
        (Claimed::NeedsSolitude, Some(count))
    } else {
        (Claimed::Granted, Some(count))
    }
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
        }
    }

    #[test]
    fn a_copy_of_an_attempt_that_was_spent_is_redundant() {
        let job = job();
        assert!(matches!(decide(standing(&job, "retrying", 2, None), &job, 0, false), (Claimed::Redundant, _)));
        assert!(matches!(decide(standing(&job, "retrying", 1, None), &job, 0, false), (Claimed::Granted, Some(0))));
    }

    #[test]
    fn a_claim_left_standing_is_a_death_unless_the_job_was_given_back() {
        let mut job = job();
        assert!(matches!(
            decide(standing(&job, "running", 1, Some(7)), &job, 0, false),
            (Claimed::NeedsSolitude, Some(0))
        ));
        assert!(matches!(decide(standing(&job, "running", 1, Some(7)), &job, 0, true), (Claimed::Granted, Some(0))));
        job.returned_claim = Some(Uuid::from_u128(7));
        assert!(matches!(decide(standing(&job, "running", 1, Some(7)), &job, 0, false), (Claimed::Granted, Some(0))));
    }

    #[test]
    fn four_deaths_while_alone_condemn() {
        let job = job();
        let alone = |deaths| Standing { alone: true, deaths, ..standing(&job, "running", 1, Some(7)) };
        assert!(matches!(decide(alone(2), &job, 0, true), (Claimed::Granted, Some(3))));
        assert!(matches!(decide(alone(3), &job, 0, true), (Claimed::Condemned, Some(4))));
    }

    #[test]
    fn a_replay_begins_anew_and_an_old_copy_of_it_does_nothing() {
        let job = job();
        assert!(matches!(decide(standing(&job, "running", 3, Some(7)), &job, 1, false), (Claimed::Granted, None)));
        let later = Standing { replays: 2, ..standing(&job, "running", 0, Some(7)) };
        assert!(matches!(decide(later, &job, 1, false), (Claimed::Redundant, _)));
    }
}
