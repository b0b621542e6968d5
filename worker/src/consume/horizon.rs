//! The horizon: up to when the broker's deliveries are known to have come.
//!
//! The broker is asked for nothing, again and again, on the channel of the deliveries. Its answer comes behind every
//! delivery that it made on that channel before, by whatever way and however slowly: once the answer is there
//! and all that came before it is taken, nothing from before the question is on its way any more.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use lapin::{Channel, options::ChannelFlowOptions};

/// How often the broker is asked while jobs come, which is how exactly a delivery's time is known.
const INTERVAL: Duration = Duration::from_millis(20);
/// How often it is asked where none has come for [`QUIET`].
const QUIET_INTERVAL: Duration = Duration::from_millis(100);
const QUIET: Duration = Duration::from_secs(60);

/// The questions to the broker on one channel.
pub(super) struct Horizon {
    channel: Channel,
    asked: Instant,
    answer: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    /// When the last question was asked that has been answered.
    answered: Option<Instant>,
    last_delivery: Instant,
}

impl Horizon {
    /// Begins with a channel.
    pub(super) fn new(channel: &Channel) -> Self {
        let now = Instant::now();
        Self { channel: channel.clone(), asked: now, answer: None, answered: None, last_delivery: now }
    }

    /// Notes that a delivery has come.
    pub(super) fn delivered(&mut self) {
        self.last_delivery = Instant::now();
    }

    /// When the question was asked that was answered last, if that was not returned before.
    pub(super) fn take_answer(&mut self) -> Option<Instant> {
        self.answered.take()
    }

    /// Waits for the next answer. It can be given up and waited for again. A broker that does not answer is the
    /// business of whoever waits for its deliveries.
    pub(super) async fn answered(&mut self) {
        loop {
            let answer = match &mut self.answer {
                Some(answer) => answer,
                None => {
                    let interval = if self.last_delivery.elapsed() > QUIET { QUIET_INTERVAL } else { INTERVAL };
                    tokio::time::sleep_until((self.asked + interval).into()).await;
                    self.asked = Instant::now();
                    let channel = self.channel.clone();
                    // That deliveries may flow, which they do: it changes nothing, and is answered.
                    self.answer.insert(Box::pin(async move {
                        channel.channel_flow(ChannelFlowOptions { active: true }).await.is_ok()
                    }))
                }
            };
            let is_answered = answer.await;
            self.answer = None;
            if is_answered {
                self.answered = Some(self.asked);
                return;
            }
        }
    }
}
