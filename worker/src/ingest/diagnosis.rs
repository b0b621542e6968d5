//! What an interruption comes to: a failure that spends an attempt, or an outage that does not.

use shared::{
    message::failure::{ErrorCode, Failure, Stage},
    stores::postgres::PostgresError,
    telemetry,
};

use crate::{
    attempt::Attempt,
    interruption::{Interrupted, is_exhaustion},
    outcome::{FailedAttempt, Outage, Outcome},
    run::ownership,
    services::Services,
};

/// Decides between a failure and an outage, by a probe where the error alone does not say.
pub(crate) async fn diagnose(services: &Services, attempt: Attempt<'_>, interrupted: Interrupted) -> Outcome {
    let claim = attempt.claimed.then_some(attempt.claim);
    let failure = match interrupted {
        Interrupted::Failed(failure) => {
            if failure.code == ErrorCode::StorageUnavailable && services.outages.probe_descriptors().is_err() {
                return Outcome::Outage(Outage::Local(claim));
            }
            if failure.code == ErrorCode::StorageUnavailable
                && let Ok(location) = services.roots.locate(&attempt.job.file, &services.base)
                && !services.outages.probe_root(&location.root()).await
            {
                return Outcome::Outage(Outage::InputRoot(claim));
            }
            *failure
        }
        Interrupted::CommitUnknown(source) => {
            services.outages.postgres_failed(&source);
            return Outcome::Outage(Outage::Postgres(claim));
        }
        Interrupted::Exhausted(reason) => {
            services.outages.note_exhausted(&reason);
            return Outcome::Outage(Outage::Local(claim));
        }
        Interrupted::Postgres(source) if is_exhaustion(&source) => {
            services.outages.note_exhausted(&telemetry::chain(&source));
            return Outcome::Outage(Outage::Local(claim));
        }
        Interrupted::Postgres(source) => {
            let stage = attempt.stage();
            if cannot_work(&source) {
                services.outages.postgres_failed(&source);
                return Outcome::Outage(Outage::Postgres(claim));
            }
            if !answered(&source) && services.outages.probe_postgres(&services.pool).await.is_err() {
                return Outcome::Outage(Outage::Postgres(claim));
            }
            tracing::warn!(error = &source as &dyn std::error::Error, "PostgreSQL failed an attempt");
            if let Some(claim) = claim {
                // The commit may have failed after the lock was gone; this worker lives all the same.
                ownership::mark_settling(&services.pool, claim).await;
            }
            Failure::new(postgres_code(&source, stage), stage, postgres_message(&source))
        }
        Interrupted::RootAway(root) => {
            services.outages.root_failed(&root, "it did not answer a job");
            return Outcome::Outage(Outage::InputRoot(claim));
        }
        Interrupted::ClaimLost(claim) => {
            tracing::warn!(claim = %claim, "another worker has taken the job over");
            return Outcome::Busy;
        }
    };
    Outcome::Failed(Box::new(failed(attempt, failure)))
}

/// A failed attempt, with the receipt that it would end its job with.
pub(crate) fn failed(attempt: Attempt<'_>, failure: Failure) -> FailedAttempt {
    let receipt = Box::new(attempt.failed(&failure));
    FailedAttempt {
        failure,
        claim: attempt.claim,
        owns_run: !attempt.is_other_body,
        fingerprint: attempt.fingerprint,
        mapping_hash: attempt.mapping_hash,
        receipt,
    }
}

/// Whether PostgreSQL gave an answer, other than that it is starting or stopping.
fn answered(error: &PostgresError) -> bool {
    error.sql_state().is_some_and(|state| !state.code().starts_with("57P") && !state.code().starts_with("08"))
}

/// Whether PostgreSQL answers but cannot work: no disk, no memory, no connections, or read-only.
fn cannot_work(error: &PostgresError) -> bool {
    error.sql_state().is_some_and(|state| state.code().starts_with("53") || state.code() == "25006")
}

fn postgres_code(error: &PostgresError, stage: Stage) -> ErrorCode {
    // What PostgreSQL finds wrong with a value will be wrong the next time, too.
    let refuses_value =
        error.sql_state().is_some_and(|state| state.code().starts_with("22") || state.code() == "23514");
    if stage == Stage::Write && refuses_value {
        ErrorCode::RowInvalid
    } else if error.is_conflict() || error.is_unique_violation() {
        ErrorCode::SerializationConflict
    } else if error.is_timeout() {
        ErrorCode::Timeout
    } else {
        ErrorCode::PostgresUnavailable
    }
}

/// PostgreSQL's own words without its detail, which may hold a row's values.
fn postgres_message(error: &PostgresError) -> String {
    match error.sql_state() {
        Some(state) => format!("{error} (SQLSTATE {})", state.code()),
        None => telemetry::chain(error),
    }
}
