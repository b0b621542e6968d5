//! The audit trail: events go from PostgreSQL's outbox to MongoDB, in two steps.
//!
//! [`sequence()`] gives each event its place in the chain of its slice and commits that; [`deliver()`]
//! inserts what has a place and deletes it here. So whoever dies wherever, the same event comes to
//! the same place with the same hash, and an insert that happened is found to have happened.

mod chain;
mod deliver;
mod sequence;
mod walk;

use shared::stores::outbox;

use self::{deliver::deliver, sequence::sequence, walk::Walk};
use super::{
    progress::{Progress, SinkError},
    sink::{Resources, Sink, Task, Work},
    wake::Wake,
};

/// The audit trail, as the list of sinks has it.
pub(super) const SINK: Sink = Sink {
    name: "audit_trail",
    enqueue: |tx, success| Box::pin(outbox::record(tx, success.events)),
    at_once: None,
    tasks: |resources| {
        vec![
            Box::new(Sequencing { resources: resources.clone(), walk: Walk::default() }),
            Box::new(Delivering { resources: resources.clone(), walk: Walk::default() }),
        ]
    },
    backlog: include_str!("audit/backlog.sql"),
};

struct Sequencing {
    resources: Resources,
    walk: Walk,
}

impl Task for Sequencing {
    fn what(&self) -> &'static str {
        "giving audit events their places"
    }

    fn step(&mut self) -> Work<'_, Result<Progress, SinkError>> {
        Box::pin(async move {
            let progress = sequence(&self.resources.pool, &mut self.walk).await?;
            if progress.done > 0 {
                self.resources.placed.wake();
            }
            Ok(progress)
        })
    }

    fn woken_by(&self) -> Option<&Wake> {
        Some(&self.resources.committed)
    }
}

struct Delivering {
    resources: Resources,
    walk: Walk,
}

impl Task for Delivering {
    fn what(&self) -> &'static str {
        "delivering audit events to MongoDB"
    }

    fn step(&mut self) -> Work<'_, Result<Progress, SinkError>> {
        Box::pin(async move {
            let Resources { pool, mongo, .. } = &self.resources;
            let step = async { deliver(pool, &mongo.reach().await?, &mut self.walk).await };
            mongo.note(step.await).await
        })
    }

    fn woken_by(&self) -> Option<&Wake> {
        Some(&self.resources.placed)
    }
}
