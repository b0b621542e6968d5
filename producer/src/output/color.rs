//! Colours of status words, and of nothing else. A colour only repeats what its word says.
//!
//! A word is marked while its answer is made, and the marks become colours once the answer has been made harmless: so
//! nothing that a file or a message holds is ever a colour. The marks are unassigned characters without a width, which
//! is why tables are as wide with them as without.

use std::{cell::Cell, io};

use shared::terminal;

const GREEN: char = '\u{e0ff0}';
const RED: char = '\u{e0ff1}';
const YELLOW: char = '\u{e0ff2}';
const END: char = '\u{e0ff3}';

thread_local! {
    static IS_MARKING: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether stdout is given colours.
pub(crate) fn is_wanted() -> bool {
    terminal::takes_colors(&io::stdout())
}

/// A status word, marked if the answer is for a terminal that takes colours.
pub(crate) fn status(word: &str) -> String {
    let mark = match word {
        "success" | "done" => GREEN,
        "failed" => RED,
        "running" | "retrying" | "paused" => YELLOW,
        _ => return word.to_owned(),
    };
    if IS_MARKING.get() { format!("{mark}{word}{END}") } else { word.to_owned() }
}

/// What a function makes while status words are marked.
pub(crate) fn marked<T>(make: impl FnOnce() -> T) -> T {
    IS_MARKING.set(true);
    let made = make();
    IS_MARKING.set(false);
    made
}

/// Returns whether a character is a mark.
pub(crate) fn is_mark(c: char) -> bool {
    matches!(c, GREEN | RED | YELLOW | END)
}

/// A harmless text with colours in the place of its marks.
pub(crate) fn painted(text: &str) -> String {
    let mut painted = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        match c {
            GREEN => painted.push_str("\u{1b}[32m"),
            RED => painted.push_str("\u{1b}[31m"),
            YELLOW => painted.push_str("\u{1b}[33m"),
            END => painted.push_str("\u{1b}[39m"),
            other => painted.push(other),
        }
    }
    painted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_status_words_are_coloured_and_only_when_asked() {
        assert_eq!(status("failed"), "failed");
        let words = marked(|| ["success", "failed", "retrying", "skipped"].map(status).join(" "));
        let expected = "\u{1b}[32msuccess\u{1b}[39m \u{1b}[31mfailed\u{1b}[39m \u{1b}[33mretrying\u{1b}[39m skipped";
        assert_eq!(painted(&words), expected);
        assert_eq!(status("failed"), "failed");
    }

    #[test]
    fn a_mark_takes_no_room() {
        use unicode_width::UnicodeWidthStr;
        assert_eq!(marked(|| status("failed")).width(), 6);
    }
}
