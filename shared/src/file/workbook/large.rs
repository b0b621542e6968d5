//! The one thread on which large workbooks are opened.
//!
//! The allocator keeps what a thread has freed for that thread: opened on all of them, one workbook after the
//! other would leave its size behind on each.

use std::{
    sync::{
        OnceLock,
        mpsc::{self, Sender},
    },
    thread,
};

type Work = Box<dyn FnOnce() + Send>;

/// Runs a function on that thread, after those that came before it. None if there is no such thread.
pub(super) fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static THREAD: OnceLock<Option<Sender<Work>>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (sender, works) = mpsc::channel::<Work>();
        let run = move || works.into_iter().for_each(|work| work());
        thread::Builder::new().name("large-workbooks".to_owned()).spawn(run).ok().map(|_| sender)
    });
    let Some(thread) = thread else { return Some(work()) };
    let (done, result) = mpsc::sync_channel(1);
    let work = move || {
        // Whoever asked may have gone with the process.
        let _ = done.send(work());
    };
    thread.send(Box::new(work)).ok()?;
    result.recv().ok()
}
