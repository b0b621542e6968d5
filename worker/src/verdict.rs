//! The verdict: a job's place among the exports of its slice, decided while the slice is locked. From here to the
//! commit nothing about a slice is decided or written without that lock, and nobody waits for it.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use futures_util::future::{try_join3, try_join4};
use shared::{
    fingerprint::Fingerprint,
    message::{
        failure::{ErrorCode, Failure, Stage},
        job::{Arrival, Job, Mode, SourceName, Times},
    },
    stores::{locks::Lock, postgres::PostgresError},
};
use tokio_postgres::Statement;
use uuid::Uuid;

const STATE: &str = "SELECT job_id, fingerprint, source, mapping_hash, mode, newest_at, newest_fingerprint, \
                     newest_arrival_from, newest_arrival_intake \
                     FROM slices WHERE entity = $1 AND period = $2";
const LOCKED: &str = "SELECT EXISTS (SELECT FROM period_locks WHERE period = $2 AND entity IN ($1, '*'))";
const CANCELLED: &str = "SELECT EXISTS (SELECT FROM batches WHERE batch_id = $1 AND cancelled_at IS NOT NULL)";

/// What the slice has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SliceState {
    /// The export that its rows come from, if one was applied.
    pub(crate) current: Option<Current>,
    /// The order time of the newest export seen.
    pub(crate) newest_at: DateTime<Utc>,
    /// That export's fingerprint.
    pub(crate) newest_fingerprint: String,
    /// What is known of its first delivery, if that is where it stands.
    pub(crate) newest_arrival: Option<Arrival>,
}

/// The export that a slice's rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    /// The job that applied it.
    pub(crate) job_id: Uuid,
    /// What it was.
    pub(crate) export: Export,
}

/// What makes two exports of a slice the same: the file's bytes, and how they were read and merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Export {
    /// SHA-256 of the file, in hex.
    pub(crate) fingerprint: String,
    /// The name of the mapping profile.
    pub(crate) source: String,
    /// The hash of what it says.
    pub(crate) mapping_hash: String,
    /// The mode in which rows are merged.
    pub(crate) mode: String,
}

impl Export {
    /// The export that a job is about.
    pub(crate) fn new(fingerprint: Fingerprint, source: &SourceName, mapping_hash: String, mode: Mode) -> Self {
        Self { fingerprint: fingerprint.to_string(), source: source.to_string(), mapping_hash, mode: mode.to_string() }
    }
}

/// What is to become of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its rows are loaded.
    Load,
    /// The slice holds the same export, which this job applied.
    Duplicate(Uuid),
    /// A newer export had been seen.
    Stale(DateTime<Utc>),
}

/// Decides between loading, skipping and superseding.
///
/// # Errors
/// `ambiguous_order` if another file was exported at the same time.
pub(crate) fn decide(state: Option<&SliceState>, job: &Job, times: Times, export: &Export) -> Result<Verdict, Failure> {
    let Some(state) = state else { return Ok(Verdict::Load) };
    if let Some(current) = state.current.as_ref().filter(|current| job.skip_duplicates && current.export == *export) {
        return Ok(Verdict::Duplicate(current.job_id));
    }
    let order = times.order_at();
    if state.newest_fingerprint != export.fingerprint && overlap(times, state) {
        let reason = "another file of this slice came at about the same time, and a worker that stood still or died \
                      left open which came first; publish the newer one again with its exported_at";
        return Err(Failure::new(ErrorCode::AmbiguousOrder, Stage::Verdict, reason));
    }
    if order < state.newest_at {
        return Ok(Verdict::Stale(state.newest_at));
    }
    if order == state.newest_at && state.newest_fingerprint != export.fingerprint {
        let reason = "another file of this slice has the same exported_at; set exported_at to the time of each export";
        return Err(Failure::new(ErrorCode::AmbiguousOrder, Stage::Verdict, reason));
    }
    Ok(Verdict::Load)
}

/// Returns whether the job and the newest export both stand at their first delivery, to different intakes, and
/// either may have been the earlier one.
fn overlap(times: Times, state: &SliceState) -> bool {
    times.arrival.zip(state.newest_arrival).is_some_and(|(this, newest)| {
        this.intake != newest.intake && this.from <= state.newest_at && newest.from <= times.order_at()
    })
}

/// Keeps `cancel` and `period lock` out until the transaction ends: they wait for it, and it sees what they did
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gates {
    /// Whether the job's batch was cancelled.
    pub(crate) is_cancelled: bool,
    /// Whether its period is closed.
    pub(crate) is_locked: bool,
}

/// Closes the gates, and looks at what is decided now. All of it is asked at once; PostgreSQL works on it in this
/// order, each look after the locks.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn close_gates(tx: &Transaction<'_>, job: &Job) -> Result<Gates, PostgresError> {
    // What is prepared is sent when it is first polled, which happens in order.
    Lock::prepare(tx).await?;
    for question in [CANCELLED, LOCKED] {
        prepared(tx, question).await?;
    }
    let batch = async {
        match job.batch_id {
            Some(batch) => Lock::Batch(batch).share(tx).await,
            None => Ok(()),
        }
    };
    let period = Lock::Period(&job.slice.period).share(tx);
    let ((), (), is_cancelled, is_locked) = try_join4(batch, period, is_cancelled(tx, job), is_locked(tx, job)).await?;
    Ok(Gates { is_cancelled, is_locked })
}

/// What stands about a job and its slice before its file is read.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Whether the job's batch was cancelled.
    pub(crate) is_cancelled: bool,
    /// Whether its period is closed.
    pub(crate) is_locked: bool,
    /// What the slice has seen.
    pub(crate) state: Option<SliceState>,
}

/// Looks at what stands. The slice is locked, so that what it has seen stays as it is.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn look(tx: &Transaction<'_>, job: &Job) -> Result<Standing, PostgresError> {
    let (is_cancelled, is_locked, state) = try_join3(is_cancelled(tx, job), is_locked(tx, job), state(tx, job)).await?;
    Ok(Standing { is_cancelled, is_locked, state })
}

async fn state(tx: &Transaction<'_>, job: &Job) -> Result<Option<SliceState>, PostgresError> {
    let statement = prepared(tx, STATE).await?;
    let slice: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
        [&job.slice.entity.as_str(), &job.slice.period.as_str()];
    let row = tx.query_opt(&statement, &slice).await.map_err(PostgresError::in_("look the slice up"))?;
    Ok(row.map(|row| SliceState {
        current: row.get::<_, Option<Uuid>>("job_id").map(|job_id| Current {
            job_id,
            export: Export {
                fingerprint: row.get("fingerprint"),
                source: row.get("source"),
                mapping_hash: row.get("mapping_hash"),
                mode: row.get("mode"),
            },
        }),
        newest_at: row.get("newest_at"),
        newest_fingerprint: row.get("newest_fingerprint"),
        newest_arrival: Arrival::of(row.get("newest_arrival_from"), row.get("newest_arrival_intake")),
    }))
}

async fn is_cancelled(tx: &Transaction<'_>, job: &Job) -> Result<bool, PostgresError> {
    match job.batch_id {
        Some(batch) => Ok(ask(tx, CANCELLED, &[&batch]).await?.get(0)),
        None => Ok(false),
    }
}

/// Whether the job's period is closed.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn is_locked(tx: &Transaction<'_>, job: &Job) -> Result<bool, PostgresError> {
    let row = ask(tx, LOCKED, &[&job.slice.entity.as_str(), &job.slice.period.as_str()]).await?;
    Ok(row.get(0))
}

/// The failure of a job whose period is closed.
pub(crate) fn locked(job: &Job) -> Failure {
    let reason = format!("period {} is locked; unlock it and replay the job, if it must change", job.slice.period);
    Failure::new(ErrorCode::PeriodLocked, Stage::Verdict, reason)
}

async fn ask(
    tx: &Transaction<'_>,
    question: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<tokio_postgres::Row, PostgresError> {
    let statement = prepared(tx, question).await?;
    tx.query_one(&statement, params).await.map_err(PostgresError::in_("decide a job's place"))
}

async fn prepared(tx: &Transaction<'_>, question: &str) -> Result<Statement, PostgresError> {
    tx.prepare_cached(question).await.map_err(PostgresError::in_("prepare a look-up"))
}

#[cfg(test)]
mod tests {
    use shared::message::{envelope::Envelope, receive::receive};

    use super::*;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2022-07-01T{hour:02}:00:00Z").parse().unwrap()
    }

    fn job(hour: u32) -> Job {
        let body = format!(
            r#"{{"file": "a", "entity": "A", "period": "2022-06", "exported_at": "2022-07-01T{hour:02}:00:00Z"}}"#
        );
        receive(body.as_bytes(), &Envelope { attempt: 1, ..Envelope::default() }, at(23)).unwrap()
    }

    fn export(fingerprint: &str) -> Export {
        let [fingerprint, source, mapping_hash, mode] = [fingerprint, "default", "m", "upsert"].map(str::to_owned);
        Export { fingerprint, source, mapping_hash, mode }
    }

    fn seen(current: &str, newest: u32, newest_fingerprint: &str) -> SliceState {
        SliceState {
            current: Some(Current { job_id: Uuid::nil(), export: export(current) }),
            newest_at: at(newest),
            newest_fingerprint: newest_fingerprint.to_owned(),
            newest_arrival: None,
        }
    }

    fn judge(state: &SliceState, job: &Job, export: &Export) -> Result<Verdict, Failure> {
        decide(Some(state), job, job.times(), export)
    }

    #[test]
    fn a_skipped_duplicate_counts_as_an_export_of_its_time() {
        // A loaded at 10, A again at 12 was skipped; B of 11 arrives.
        let state = seen("A", 12, "A");
        assert_eq!(judge(&state, &job(11), &export("B")).unwrap(), Verdict::Stale(at(12)));
        assert_eq!(judge(&state, &job(13), &export("A")).unwrap(), Verdict::Duplicate(Uuid::nil()));
    }

    #[test]
    fn another_file_of_the_same_time_is_ambiguous_and_the_same_one_loads_again() {
        let state = seen("A", 10, "A");
        assert_eq!(judge(&state, &job(10), &export("B")).unwrap_err().code, ErrorCode::AmbiguousOrder);
        let again = Job { skip_duplicates: false, ..job(10) };
        assert_eq!(judge(&state, &again, &export("A")).unwrap(), Verdict::Load);
    }

    #[test]
    fn a_forced_job_beats_what_came_before_it_was_forced_and_nothing_later() {
        let forced = Job { forced_at: Some(at(12)), ..job(9) };
        assert_eq!(judge(&seen("A", 11, "A"), &forced, &export("B")).unwrap(), Verdict::Load);
        assert_eq!(judge(&seen("A", 13, "A"), &forced, &export("B")).unwrap(), Verdict::Stale(at(13)));
    }

    #[test]
    fn deliveries_to_two_intakes_that_overlap_are_ambiguous_and_others_are_not() {
        let arrived = |from: u32, intake: u128| Some(Arrival { from: at(from), intake: Uuid::from_u128(intake) });
        let state = SliceState { newest_arrival: arrived(8, 1), ..seen("A", 10, "A") };
        let undated = |hour: u32, from: u32, intake: u128| Job { arrival: arrived(from, intake), ..job(hour) };
        let judged = |job: &Job, file: &str| judge(&state, job, &export(file));
        assert_eq!(judged(&undated(11, 10, 2), "B").unwrap_err().code, ErrorCode::AmbiguousOrder);
        assert_eq!(judged(&undated(9, 9, 2), "B").unwrap_err().code, ErrorCode::AmbiguousOrder);
        assert_eq!(judged(&undated(12, 11, 2), "B").unwrap(), Verdict::Load);
        assert_eq!(judged(&undated(7, 6, 2), "B").unwrap(), Verdict::Stale(at(10)));
        assert_eq!(judged(&undated(9, 8, 1), "B").unwrap(), Verdict::Stale(at(10)), "one intake's order is known");
        assert_eq!(judged(&job(9), "B").unwrap(), Verdict::Stale(at(10)), "a time of its own orders it");
    }

    #[test]
    fn the_duplicate_comes_before_the_stale_export() {
        assert_eq!(judge(&seen("A", 12, "A"), &job(9), &export("A")).unwrap(), Verdict::Duplicate(Uuid::nil()));
    }
}
