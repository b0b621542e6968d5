//! A delivery that was taken: what it says, and its way back where it is not begun.

use chrono::{DateTime, Utc};
use lapin::message::Delivery;
use shared::message::{
    envelope::Envelope,
    job::Job,
    receive::{Refusal, receive},
};

use super::clock::Stamp;
use crate::{services::Services, settlement::delivery};

/// A delivery, and when it was taken.
pub(super) struct Taken {
    pub(super) delivery: Delivery,
    pub(super) stamp: Stamp,
}

/// What a delivery says, and the trace that it belongs to.
pub(super) struct Message {
    pub(super) said: Said,
    pub(super) traceparent: Option<String>,
    /// When it was published, if nobody has had it before and its publisher says so.
    pub(super) published_at: Option<DateTime<Utc>>,
}

/// What a delivery says.
pub(super) enum Said {
    /// A job, at its place among the exports.
    Job(Box<Job>),
    /// What is no job.
    Refused(Box<Refusal>),
    /// More than is held here, and why.
    Withheld(String),
}

impl Taken {
    /// Reads the message, with its first publisher where a worker published it again.
    pub(super) fn read(&self, services: &Services) -> Message {
        let envelope = Envelope::read(&self.delivery.properties);
        let envelope = envelope.from_first_publisher(|user| services.publishers.is_worker(user));
        let traceparent = envelope.traceparent.clone();
        // A worker leaves the job's identity with a message that it had.
        let is_new = envelope.job_id.is_none() && envelope.replays == 0 && !self.delivery.redelivered;
        let published_at = envelope.timestamp.filter(|_| is_new);
        // Anyone can write that header; what the guard left out is not there.
        if envelope.is_withheld && self.delivery.data.is_empty() {
            let reason = envelope.malformed.unwrap_or_else(|| "its body is not there".to_owned());
            return Message { said: Said::Withheld(reason), traceparent, published_at };
        }
        let said = match receive(&self.delivery.data, &envelope, self.stamp.at) {
            Ok(mut job) => {
                if job.is_stamped {
                    job.arrival = Some(self.stamp.arrival);
                }
                Said::Job(Box::new(job))
            }
            Err(refusal) => Said::Refused(refusal),
        };
        Message { said, traceparent, published_at }
    }
}

/// Gives back what was not begun. Where its place among the exports is that of this delivery, it takes that along.
pub(super) async fn return_unbegun(services: &Services, taken: &Taken) {
    let job = match taken.read(services).said {
        Said::Job(job) => Some(job),
        Said::Refused(_) | Said::Withheld(_) => None,
    };
    delivery::return_unbegun(services, &taken.delivery, job.as_deref()).await;
}
