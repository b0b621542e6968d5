//! The one transaction runner, and what each named transaction took.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::OnceLock,
    time::{Duration, Instant},
};

use deadpool_postgres::{Pool, Transaction};
use tracing::{Instrument, Span};

use super::error::{AsConflict, PostgresError};
use crate::stores::lease::Lease;

/// How often a transaction is tried that others are in the way of.
const TRIES: u32 = 3;

/// What is done within a transaction.
pub type Work<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;
/// Tells the compiler that what the work borrows outlives the transaction.
pub type Scope<'t, 'env> = PhantomData<&'t &'env ()>;

/// A transaction that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Its name: what it is for.
    pub name: &'static str,
    /// From the wait for a connection to the end, all tries together.
    pub duration: Duration,
    /// Tries beyond the first.
    pub retries: u32,
}

type Observer = Box<dyn Fn(Ended) + Send + Sync>;
static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Has every transaction of this process reported when it ends. Only the first observer counts.
pub fn observe(observer: impl Fn(Ended) + Send + Sync + 'static) {
    let _ = OBSERVER.set(Box::new(observer));
}

/// Measures a transaction from now on, which it reports when it is dropped.
#[derive(Debug)]
pub struct Measured {
    name: &'static str,
    since: Instant,
    retries: u32,
}

impl Measured {
    /// Begins to measure.
    pub fn begin(name: &'static str) -> Self {
        Self { name, since: Instant::now(), retries: 0 }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if let Some(observer) = OBSERVER.get() {
            observer(Ended { name: self.name, duration: self.since.elapsed(), retries: self.retries });
        }
    }
}

/// Runs a transaction, again if another one was in its way.
///
/// The work must be such that it can run twice: nothing outside the transaction may follow from it
/// before this returns. Duration and retries are reported under the transaction's name; within a job's or a
/// command's span it has one of its own.
///
/// # Errors
/// What the work returned, or the third conflict in a row.
pub async fn transaction<'env, T, E, W>(pool: &Pool, name: &'static str, work: W) -> Result<T, E>
where
    W: for<'t> Fn(&'t Transaction<'t>, Scope<'t, 'env>) -> Work<'t, T, E>,
    E: From<PostgresError> + AsConflict,
{
    let span = match Span::current().is_none() {
        // What goes on for ever in the background belongs to no trace, and would begin one each time.
        true => Span::none(),
        false => {
            tracing::info_span!("transaction", transaction.name = name, transaction.retries = tracing::field::Empty)
        }
    };
    let mut measured = Measured::begin(name);
    let tries = async {
        loop {
            match once(pool, &work).await {
                Err(error) if measured.retries + 1 < TRIES && E::is_conflict(&error) => measured.retries += 1,
                outcome => return outcome,
            }
        }
    };
    let outcome = tries.instrument(span.clone()).await;
    span.record("transaction.retries", measured.retries);
    outcome
}

async fn once<'env, T, E, W>(pool: &Pool, work: &W) -> Result<T, E>
where
    W: for<'t> Fn(&'t Transaction<'t>, Scope<'t, 'env>) -> Work<'t, T, E>,
    E: From<PostgresError> + AsConflict,
{
    let mut lease = Lease::take(pool).await?;
    let attempt = async {
        let transaction = lease.transaction().await.map_err(PostgresError::in_("begin a transaction"))?;
        let value = work(&transaction, PhantomData).await?;
        transaction.commit().await.map_err(PostgresError::in_("commit"))?;
        Ok(value)
    };
    let outcome = attempt.await;
    // A connection to what was the primary is not used again.
    if !outcome.as_ref().is_err_and(E::is_read_only) {
        lease.end();
    }
    outcome
}
