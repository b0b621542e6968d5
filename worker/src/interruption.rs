//! Why an attempt could not go on.

use rustix::io::Errno;
use shared::{message::failure::Failure, roots::Root, stores::postgres::PostgresError};
use uuid::Uuid;

/// Why an attempt could not go on.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// It failed.
    Failed(Box<Failure>),
    /// PostgreSQL failed, in the stage that the attempt is in.
    Postgres(PostgresError),
    /// This process has no descriptors or memory left.
    Exhausted(String),
    /// The input root does not answer.
    RootAway(Root),
    /// The reply to the commit never came: it may have happened.
    CommitUnknown(PostgresError),
    /// The claim was taken over by another worker.
    ClaimLost(Uuid),
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl From<PostgresError> for Interrupted {
    fn from(source: PostgresError) -> Self {
        Self::Postgres(source)
    }
}

/// Whether an error means that this process or its machine has no descriptors or memory left.
pub(crate) fn is_exhaustion(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
        if code.is_some_and(|code| exhausted.contains(&code)) {
            return true;
        }
        cause = error.source();
    }
    false
}
