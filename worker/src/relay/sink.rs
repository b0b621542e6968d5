//! A sink: a store that is derived from what PostgreSQL has committed.
//!
//! It has three parts. *Enqueue* writes down what the sink has to do, in the transaction of the success that causes
//! it, so that nothing is lost with the process. *Tasks* do that, in their own time and again until it is done, in
//! every worker. *At once* may do it right after the commit; what it leaves, a task does.

use std::{pin::Pin, sync::Arc, time::Duration};

use deadpool_postgres::{Pool, Transaction};
use shared::{
    file::data_profile::DataProfile,
    message::{event::Event, job::Job, receipt::Receipt},
    stores::{cache::CacheStore, postgres::PostgresError},
};
use tokio::sync::oneshot;

use super::{
    backlog::RelayState,
    mongo_link::MongoLink,
    progress::{Progress, SinkError},
    wake::Wake,
};
use crate::{cache::ahead::Ahead, services::Services, verdict::Export};

/// What is done for a sink, and what comes of it.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a sink does right after a commit.
pub(crate) type DoAtOnce = for<'a> fn(&'a Services, &'a Job, AtOnce) -> Work<'a, ()>;

/// A derived store, as the list of them has it.
pub(crate) struct Sink {
    /// Its name, in metrics.
    pub(crate) name: &'static str,
    /// Writes down what it has to do about a success, in that success's transaction.
    pub(crate) enqueue: for<'a> fn(&'a Transaction<'a>, &'a Success<'a>) -> Work<'a, Result<(), PostgresError>>,
    /// Does it right after the commit, for as long as the job may wait for that, with what was prepared. Nothing fails
    /// the job any more.
    pub(crate) at_once: Option<DoAtOnce>,
    /// What does it later, each part beside the others.
    pub(crate) tasks: fn(&Resources) -> Vec<Box<dyn Task>>,
    /// Reads how much waits: `waiting`, counted up to `$1` and estimated beyond, and `oldest_seconds`.
    pub(crate) backlog: &'static str,
}

/// What is done right after a commit.
#[derive(Debug)]
pub(crate) struct AtOnce {
    /// The slice's cache file, if it was written ahead.
    pub(crate) cache_file: Option<Ahead>,
    /// Told, or dropped, once the receipt need no longer wait.
    pub(crate) is_seen: oneshot::Sender<()>,
}

/// A job whose rows are loaded, before its commit.
pub(crate) struct Success<'a> {
    pub(crate) job: &'a Job,
    pub(crate) receipt: &'a Receipt,
    pub(crate) profile: &'a DataProfile,
    pub(crate) export: &'a Export,
    pub(crate) events: &'a [Event],
}

/// What tasks work with.
#[derive(Clone)]
pub(crate) struct Resources {
    pub(crate) pool: Pool,
    pub(crate) mongo: Arc<MongoLink>,
    pub(crate) cache: CacheStore,
    pub(crate) state: Arc<RelayState>,
    /// Wakes what waits for a commit.
    pub(crate) committed: Arc<Wake>,
    /// Wakes what waits for events that have their places.
    pub(crate) placed: Arc<Wake>,
}

/// A part of a sink's work that goes on for ever, step by step.
pub(crate) trait Task: Send {
    /// What it does, as the log says it: `writing the cache`.
    fn what(&self) -> &'static str;

    /// Does what can be done now, up to a bound.
    fn step(&mut self) -> Work<'_, Result<Progress, SinkError>>;

    /// What wakes it, if anything does.
    fn woken_by(&self) -> Option<&Wake>;

    /// How long it waits where nothing is to be done, if nobody wakes it.
    fn pause(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// Whether it goes on at the end of the process until nothing is left, as far as there is time.
    fn is_emptied_at_the_end(&self) -> bool {
        true
    }
}
