//! A delivery that was taken, and its way back where it is not begun.

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

impl Taken {
    /// The job that it is, at its place among the exports.
    pub(super) fn read(&self, envelope: &Envelope) -> Result<Job, Box<Refusal>> {
        let mut job = receive(&self.delivery.data, envelope, self.stamp.at)?;
        if job.is_stamped {
            job.arrival = Some(self.stamp.arrival);
        }
        Ok(job)
    }
}

/// Gives back what was not begun. Where its place among the exports is that of this delivery, it takes that along.
pub(super) async fn return_unbegun(services: &Services, taken: &Taken) {
    let job = taken.read(&envelope_of(services, taken)).ok();
    return_job(services, taken, job.as_ref()).await;
}

/// What its properties say, with its first publisher where a worker published it again.
pub(super) fn envelope_of(services: &Services, taken: &Taken) -> Envelope {
    Envelope::read(&taken.delivery.properties).from_first_publisher(|user| services.publishers.is_worker(user))
}

/// Gives back a job that was not begun.
pub(super) async fn return_job(services: &Services, taken: &Taken, job: Option<&Job>) {
    delivery::return_unbegun(services, &taken.delivery, job.filter(|job| job.is_stamped)).await;
}
