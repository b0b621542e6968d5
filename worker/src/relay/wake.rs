//! Wakes tasks of the relay, such as after a commit, which saves what waits half a second.

use tokio::sync::watch;

/// Wakes the tasks that wait for one thing.
#[derive(Debug)]
pub(crate) struct Wake(watch::Sender<()>);

impl Wake {
    /// Nobody waits yet.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Wakes all that wait, and keeps those awake that are at work.
    pub(crate) fn wake(&self) {
        self.0.send_replace(());
    }

    /// A place to wait in.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}
