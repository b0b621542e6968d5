//! Jobs on their way back to work: written down, published, taken out, and written down again.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use shared::{
    message::{event::EventType, outgoing::Outgoing},
    telemetry::chain,
};
use uuid::Uuid;

use super::{Replay, Standing};
use crate::{
    actor_event,
    dead::{
        outgoing::{again, corrected},
        queue::Dead,
        settled::{Left, Settled},
        taking::{self, Act, Named},
    },
    errors::CommandError,
    output::remark,
    publish::{
        message::publisher,
        send::{IN_FLIGHT, Outcome, send_one},
    },
};

/// A job that is about to go out.
struct Leaving {
    copies: Vec<Dead>,
    settled: Settled,
    message: Outgoing,
    event: Named,
}

impl Leaving {
    fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.copies.iter().map(|dead| dead.letter.id())
    }
}

impl Replay<'_> {
    /// Replays a chunk of jobs; what failed is in the report.
    ///
    /// # Errors
    /// What was asked for is wrong, or a service failed before anything was done.
    pub(super) async fn send(&self, chunk: Vec<Vec<Dead>>, standing: &mut Standing<'_>) -> Result<(), CommandError> {
        let Some(report) = &mut standing.report else { return Ok(()) };
        let mut leaving = Vec::with_capacity(chunk.len());
        for copies in chunk {
            let Some(Dead { letter, .. }) = copies.last() else { continue };
            standing.done.insert((letter.name(), letter.body_hash));
            let name = letter.name();
            match self.leaving(copies) {
                Ok(job) => leaving.push(job),
                // It is what was asked for that is wrong, and nothing has been done yet.
                Err(error) if self.args.file.is_some() => return Err(error),
                Err(error) => report.refused.push(Left { job: name, error: refusal(&error) }),
            }
        }
        let letters = taking::written(leaving.iter().map(|job| job.copies.as_slice()));
        let events: Vec<Named> = leaving.iter().map(|job| job.event.clone()).collect();
        let failed = CommandError::postgres(self.settings);
        if let Err(error) = taking::take(&self.pool, Act::Replay, self.operation.id, &letters, &events).await {
            let job = leaving.first().map(|job| job.settled.name()).unwrap_or_default();
            report.not_tried += leaving.len().saturating_sub(1);
            report.left.push(Left { job, error: failed(error).line() });
            return Ok(());
        }
        let (mut gone, mut stays) = (Vec::new(), Vec::new());
        let stopped = AtomicBool::new(false);
        let published: Vec<(Leaving, Outcome)> = stream::iter(leaving)
            .map(|job| async {
                if stopped.load(Ordering::Relaxed) {
                    return (job, Outcome::NotTried);
                }
                let outcome = send_one(&self.publisher, &job.message).await;
                if outcome != Outcome::Confirmed {
                    stopped.store(true, Ordering::Relaxed);
                }
                (job, outcome)
            })
            .buffered(IN_FLIGHT)
            .collect()
            .await;
        for (job, outcome) in published {
            let error = match outcome {
                Outcome::Confirmed => {
                    actor_event::note(&job.event.0);
                    take_out(&job.copies, CommandError::broker(self.settings)).await
                }
                Outcome::Uncertain(error) | Outcome::Refused(error) => Some(CommandError::Undelivered(error).line()),
                Outcome::NotTried => {
                    report.not_tried += 1;
                    stays.extend(job.ids());
                    continue;
                }
            };
            match error {
                None => {
                    gone.extend(job.ids().map(|id| (id, job.settled.new_job_id)));
                    report.jobs.push(job.settled);
                }
                Some(error) => {
                    stays.extend(job.ids());
                    report.left.push(Left { job: job.settled.name(), error });
                }
            }
        }
        let written = async {
            taking::settle(&self.pool, Act::Replay, &self.settings.actor, &gone).await?;
            taking::give_back(&self.pool, &stays).await
        };
        if let Err(error) = written.await {
            remark(&format!(
                "what became of the letters is not written down ({}); verify --repair does",
                chain(&error)
            ));
        }
        Ok(())
    }

    fn leaving(&self, copies: Vec<Dead>) -> Result<Leaving, CommandError> {
        let Some(dead) = copies.last() else {
            return Err(CommandError::Input("there is no letter".to_owned()));
        };
        let number = dead.letter.replays.saturating_add(1);
        let mut settled = Settled::new(&copies, &dead.letter);
        settled.replays = number;
        let mut event = dead.letter.event(EventType::Replayed, &self.settings.actor).with("replays", number);
        let by = publisher(self.settings);
        let message = if self.args.as_new {
            let file = self.args.file.as_deref().or(dead.letter.file.as_deref()).unwrap_or_default();
            let new = corrected(&dead.into(), file, self.args.new_source.as_ref(), &self.topology, by)?;
            settled.new_job_id = Some(new.job.job_id);
            event = event.with("as_new", new.job.job_id.to_string()).with("new_file", new.job.file.as_str());
            new.outgoing
        } else {
            again(&dead.into(), number, &self.topology, &by)
        };
        let once = dead.letter.once(EventType::Replayed, number);
        Ok(Leaving { settled, message, event: (event, once), copies })
    }
}

/// Takes copies out; returns why that failed, if it did.
async fn take_out(copies: &[Dead], failed: impl Fn(shared::broker::amqp::AmqpError) -> CommandError) -> Option<String> {
    for copy in copies {
        if let Err(error) = copy.take_out().await {
            return Some(failed(error).line());
        }
    }
    None
}

/// Why a job cannot be replayed as it is, with every fault.
pub(super) fn refusal(error: &CommandError) -> String {
    match error.faults() {
        [] => error.line(),
        faults => format!("{}: {}", error.line(), faults.join("; ")),
    }
}
