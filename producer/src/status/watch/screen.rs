//! The terminal while it shows one screen, and as it was before again once that ends, however it does.

use std::{
    io::{self, Stdout, Write},
    panic,
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    execute, queue,
    style::Print,
    terminal::{
        Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use shared::printable;
use tokio_util::sync::CancellationToken;

use crate::output::color;

/// The alternate screen. Dropped, it gives the terminal back.
pub(super) struct Screen(Stdout);

impl Screen {
    /// Takes the terminal. If anything panics, it is given back before that is said, and the token is cancelled.
    pub(super) fn open(panicked: &CancellationToken) -> io::Result<Self> {
        enable_raw_mode()?;
        let mut screen = Self(io::stdout());
        let (before, panicked) = (panic::take_hook(), panicked.clone());
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
            panicked.cancel();
        }));
        execute!(screen.0, EnterAlternateScreen, DisableLineWrap, Hide, Clear(ClearType::All))?;
        Ok(screen)
    }

    /// Shows these lines, of which none is wider than the terminal, from the top.
    pub(super) fn show(&mut self, lines: &[String], is_colored: bool) -> io::Result<()> {
        for (row, line) in (0_u16..).zip(lines) {
            let harmless = printable::line(line);
            let text = if is_colored { color::painted(&harmless) } else { harmless.replace(color::is_mark, "") };
            queue!(self.0, MoveTo(0, row), Print(text), Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.0, Clear(ClearType::FromCursorDown))?;
        self.0.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. Where that fails, it is gone.
fn restore() {
    let _ = execute!(io::stdout(), Show, EnableLineWrap, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}
