//! What people have the console do, one task each, and how that ended. Replays and discards are written down in
//! PostgreSQL, too, where every terminal sees them; what a dry run told is kept here alone.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use tokio::{runtime::Handle, sync::broadcast, task::spawn_blocking, time::timeout};
use uuid::Uuid;

use super::problem::Problem;
use crate::{
    dead::{
        operation::{self, Wanted},
        settled,
    },
    dry_run,
    errors::CommandError,
};

/// Acts at a time.
const MOST: usize = 4;
/// Acts that are remembered.
const KEPT: usize = 50;
/// How long acts may take to end once the console ends.
const END: Duration = Duration::from_secs(10);

/// What an act came to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ActOutcome")]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// What would happen.
    Tried(dry_run::report::Report),
    /// What was replayed or discarded.
    Settled(Box<settled::Report>),
}

/// An act of this console.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Act {
    pub(crate) operation_id: Uuid,
    /// `dry run`, `replay` or `discard`.
    pub(crate) act: &'static str,
    pub(crate) actor: String,
    /// Which letters, in words.
    pub(crate) selected: String,
    pub(crate) began_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// What it came to, once it has ended.
    #[serde(serialize_with = "shared_outcome")]
    #[schemars(with = "Option<Outcome>")]
    pub(crate) outcome: Option<Arc<Outcome>>,
    /// Why it could not be done.
    pub(crate) error: Option<String>,
}

fn shared_outcome<S: Serializer>(outcome: &Option<Arc<Outcome>>, serializer: S) -> Result<S::Ok, S::Error> {
    outcome.as_deref().serialize(serializer)
}

/// The acts, by their time.
pub(crate) struct Acts {
    known: Arc<Mutex<BTreeMap<Uuid, Act>>>,
    changes: broadcast::Sender<&'static str>,
}

impl Acts {
    pub(crate) fn new(changes: broadcast::Sender<&'static str>) -> Self {
        Self { known: Arc::default(), changes }
    }

    /// Begins an act; whoever asked for it need not wait for its end.
    ///
    /// # Errors
    /// If too many are under way.
    pub(crate) fn begin<Doing>(
        &self,
        act: &'static str,
        actor: &str,
        selected: &str,
        doing: impl FnOnce(Uuid) -> Doing + Send + 'static,
    ) -> Result<Uuid, Problem>
    where
        Doing: Future<Output = Result<Outcome, CommandError>>,
    {
        let operation_id = Uuid::now_v7();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.values().filter(|act| act.ended_at.is_none()).count() >= MOST {
            let message = format!("{MOST} replays, discards and dry runs are under way here; wait for one to end");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, message));
        }
        while known.len() >= KEPT {
            let oldest = known.iter().find(|(_, act)| act.ended_at.is_some()).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            known.remove(&oldest);
        }
        let (actor, selected) = (actor.to_owned(), selected.to_owned());
        let begun = Act {
            operation_id,
            act,
            actor,
            selected,
            began_at: Utc::now(),
            ended_at: None,
            outcome: None,
            error: None,
        };
        known.insert(operation_id, begun);
        drop(known);
        let (known, changes) = (Arc::clone(&self.known), self.changes.clone());
        tokio::spawn(async move {
            // A thread for each, as a command has a process. A panic ends the act, not the console.
            let runtime = Handle::current();
            let done = spawn_blocking(move || runtime.block_on(doing(operation_id))).await;
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(act) = known.get_mut(&operation_id) {
                act.ended_at = Some(Utc::now());
                match done {
                    Ok(Ok(outcome)) => act.outcome = Some(Arc::new(outcome)),
                    Ok(Err(error)) => act.error = Some(error.line()),
                    Err(error) => act.error = Some(format!("it broke off: {error}")),
                }
            }
            // Nobody may be listening.
            let _ = changes.send("acts");
        });
        Ok(operation_id)
    }

    /// An act of this console, if it is remembered.
    pub(crate) fn one(&self, id: Uuid) -> Option<Act> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The acts of this console, the newest first.
    pub(crate) fn newest(&self) -> Vec<Act> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().rev().cloned().collect()
    }

    /// Has what is under way end, and waits for it. What is cut off all the same loses no letter.
    pub(crate) async fn end(&self, pool: &Pool) {
        let under_way: Vec<Uuid> =
            self.newest().iter().filter(|act| act.ended_at.is_none()).map(|act| act.operation_id).collect();
        if under_way.is_empty() {
            return;
        }
        for id in &under_way {
            if let Err(error) = operation::want(pool, *id, Wanted::Cancel, "the console, which ends").await {
                tracing::warn!(error = &error as &dyn std::error::Error, "an operation could not be cancelled");
            }
        }
        let mut changes = self.changes.subscribe();
        let all_ended = || under_way.iter().all(|id| self.one(*id).is_none_or(|act| act.ended_at.is_some()));
        let ended = async {
            while !all_ended() {
                let _ = changes.recv().await;
            }
        };
        if timeout(END, ended).await.is_err() {
            tracing::warn!("some operations were cut off; their letters are in the queue");
        }
    }
}
