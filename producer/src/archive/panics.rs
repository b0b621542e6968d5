//! Work on files of others, by a library that may panic on what they hold.

use std::{
    panic::{set_hook, take_hook},
    sync::Once,
    thread,
};

const NAME: &str = "reader of a damaged file";

/// Does the work on a thread of its own; none if it panicked there, which nobody is told of otherwise.
pub(super) fn caught<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if thread::current().name() != Some(NAME) {
                usual(panic);
            }
        }));
    });
    thread::scope(|scope| {
        let reader = thread::Builder::new().name(NAME.to_owned()).spawn_scoped(scope, work).ok()?;
        reader.join().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_work_and_nothing_else() {
        assert_eq!(caught(|| 7), Some(7));
        assert_eq!(caught(|| -> i32 { panic!("of a library") }), None);
    }
}
