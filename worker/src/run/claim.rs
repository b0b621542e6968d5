//! The claim: an attempt writes down that it runs before it does anything that could kill its worker.
//!
//! A claim is taken only while the slice is locked. Whoever holds the lock and finds a claim standing
//! knows that its worker died, unless the message says that it gave the job back alive.

use deadpool_postgres::{GenericClient, Pool, Transaction};
use shared::{
    message::{
        job::{Arrival, Job, Times},
        published_by::PublishedBy,
        receipt::Receipt,
    },
    stores::{
        lease::Lease,
        postgres::{
            PostgresError,
            transaction::{Measured, transaction},
        },
    },
};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::row::{NewRun, whole};

const INSERT: &str = include_str!("claim/insert.sql");
const RENEW: &str = include_str!("claim/renew.sql");
const ORPHAN: &str = include_str!("claim/orphan.sql");
const IS_KNOWN: &str = "SELECT EXISTS (SELECT FROM ingestion_runs WHERE job_id = $1)";
const LOOK: &str = "SELECT body_hash, status, result, replays, attempts, claim, alone, deaths, \
                    finished_at IS NOT NULL AS is_ended, resting_at IS NOT NULL AS is_over, \
                    coalesce(resting_at > now() - interval '5 s', false) AS is_settling, exported_at, forced_at, \
                    arrival_from, arrival_intake, published_by, broker_user \
                    FROM ingestion_runs WHERE job_id = $1 FOR UPDATE";
const REQUIRE_ISOLATION: &str =
    "UPDATE ingestion_runs SET alone = true, deaths = $2, claim = NULL, status = 'retrying' WHERE job_id = $1";
const COUNT_DEATHS: &str = "UPDATE ingestion_runs SET deaths = $2 WHERE job_id = $1";

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
    over: bool,
    settling: bool,
    times: Times,
    published_by: PublishedBy,
}

impl From<&Row> for Found {
    fn from(row: &Row) -> Self {
        Self {
            body_hash: row.get("body_hash"),
            status: row.get("status"),
            result: row.get("result"),
            replays: row.get("replays"),
            attempts: row.get("attempts"),
            claim: row.get("claim"),
            alone: row.get("alone"),
            deaths: row.get("deaths"),
            ended: row.get("is_ended"),
            over: row.get("is_over"),
            settling: row.get("is_settling"),
            times: Times {
                exported_at: row.get("exported_at"),
                forced_at: row.get("forced_at"),
                arrival: Arrival::of(row.get("arrival_from"), row.get("arrival_intake")),
            },
            published_by: PublishedBy { actor: row.get("published_by"), user_id: row.get("broker_user") },
        }
    }
}

/// Who asks for a claim, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimant<'a> {
    /// The claim that is asked for.
    pub(crate) claim: Uuid,
    /// The worker's name.
    pub(crate) worker: &'a str,
    /// Whether nothing runs beside the job.
    pub(crate) is_isolated: bool,
}

/// Asks for a claim. The caller holds the slice's lock, in a transaction of its own.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn take(pool: &Pool, job: &Job, claimant: Claimant<'_>) -> Result<Claimed, PostgresError> {
    if !job.id_is_made && (job.attempt, job.replays) == (1, 0) && take_first(pool, job, claimant).await? {
        return Ok(Claimed::Granted(job.times(), job.published_by.clone()));
    }
    transaction(pool, "claim", move |tx, _| Box::pin(take_in(tx, job, claimant))).await
}

/// Claims a job of which nothing is known yet, in one statement; returns whether it was one.
async fn take_first(pool: &Pool, job: &Job, claimant: Claimant<'_>) -> Result<bool, PostgresError> {
    let _measured = Measured::begin("claim");
    let lease = Lease::take(pool).await?;
    let inserted = insert(lease.client(), job, claimant).await;
    lease.end();
    match inserted {
        // The transaction tries again.
        Err(error) if error.is_conflict() => Ok(false),
        inserted => inserted,
    }
}

async fn insert(client: &impl GenericClient, job: &Job, claimant: Claimant<'_>) -> Result<bool, PostgresError> {
    let Claimant { claim, worker, is_isolated } = claimant;
    let new = NewRun::of(job, &job.published_by);
    let insert = client.prepare_cached(INSERT).await.map_err(PostgresError::in_("prepare a claim"))?;
    let inserted = client.execute(&insert, &new.and(&[&claim, &worker, &is_isolated])).await;
    Ok(inserted.map_err(PostgresError::in_("claim a job"))? == 1)
}

async fn take_in(tx: &Transaction<'_>, job: &Job, claimant: Claimant<'_>) -> Result<Claimed, PostgresError> {
    // What is forced stands at the time of its force, which another message does not share.
    if job.id_is_made
        && job.forced_at.is_none()
        && let Some(job_id) = orphan(tx, job).await?
    {
        return Ok(Claimed::Orphaned(job_id));
    }
    if (job.attempt, job.replays) != (1, 0) {
        // What a worker or `dead replay` has counted, it has written down.
        let known = tx.query_one(IS_KNOWN, &[&job.job_id]).await.map_err(PostgresError::in_("look a job up"))?;
        if !known.get::<_, bool>(0) {
            return Ok(Claimed::Misnumbered { attempt: 1, replays: 0 });
        }
    }
    let Claimant { claim, worker, is_isolated } = claimant;
    if insert(tx, job, claimant).await? {
        return Ok(Claimed::Granted(job.times(), job.published_by.clone()));
    }
    let row = tx.query_one(LOOK, &[&job.job_id]).await.map_err(PostgresError::in_("look a job up"))?;
    let replays = whole(job.replays);
    let (decision, deaths) = decide(Found::from(&row), job, replays, is_isolated);
    let counted = PostgresError::in_("count a death");
    match decision {
        Claimed::Granted(..) | Claimed::Condemned => {
            let new_round = deaths.is_none();
            let renewed = tx.execute(RENEW, &[&job.job_id, &claim, &worker, &new_round, &is_isolated, &replays]).await;
            renewed.map_err(PostgresError::in_("claim a job"))?;
            if let Some(deaths) = deaths {
                tx.execute(COUNT_DEATHS, &[&job.job_id, &deaths]).await.map_err(counted)?;
            }
        }
        Claimed::NeedsIsolation => {
            // The death is counted now: the claim that tells of it is taken away.
            tx.execute(REQUIRE_ISOLATION, &[&job.job_id, &deaths.unwrap_or(0)]).await.map_err(counted)?;
        }
        Claimed::Ended(_)
        | Claimed::Orphaned(_)
        | Claimed::OtherBody
        | Claimed::Misnumbered { .. }
        | Claimed::Redundant
        | Claimed::Settling => {}
    }
    Ok(decision)
}

/// The unfinished run that a worker left of a message without an identity.
async fn orphan(tx: &Transaction<'_>, job: &Job) -> Result<Option<Uuid>, PostgresError> {
    let (entity, period) = (job.slice.entity.as_str(), job.slice.period.as_str());
    let body_hash = job.body_hash.to_string();
    let statement = tx.prepare_cached(ORPHAN).await.map_err(PostgresError::in_("prepare a claim"))?;
    let found = tx.query_opt(&statement, &[&entity, &period, &body_hash, &job.exported_at, &job.is_dated]).await;
    let found = found.map_err(PostgresError::in_("look for a run without its job"))?;
    Ok(found.map(|row| row.get(0)))
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
    if replays < standing.replays {
        // Its round is over and a later one has begun. Whoever ended it may have died before its receipt was out.
        return match standing.result {
            Some(Json(receipt)) => (Claimed::Ended(Box::new(receipt)), deaths),
            None => (Claimed::Redundant, deaths),
        };
    }
    if standing.status == "retrying" && standing.attempts >= whole(job.attempt) {
        return (Claimed::Redundant, deaths);
    }
    let returned = standing.claim.is_some() && standing.claim == job.returned_claim;
    if standing.claim.is_some() && standing.settling && !returned {
        return (Claimed::Settling, deaths);
    }
    let died = standing.claim.is_some() && !standing.over && !returned;
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

#[cfg(test)]
mod tests {
    use chrono::Utc;
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
            over: false,
            settling: false,
            times: Times { forced_at: None, ..job.times() },
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
        let over = |settling| Found { over: true, settling, ..standing(&job, "running", 1, Some(7)) };
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
