//! `status --watch`: one screen of what is going on, kept live.

mod drawing;
mod screen;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use chrono::Utc;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use deadpool_postgres::Pool;
use futures_util::StreamExt;
use shared::{broker::topology::Topology, settings::Settings, telemetry::chain};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use self::screen::Screen;
use crate::{
    db,
    errors::{CommandError, ExitStatus},
    now::{
        Now,
        watch::{Sample, Watch},
    },
    output::{self, color},
};

/// Draws until told to stop.
pub(crate) async fn run(settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    if json {
        let text = "--watch draws a screen for people; --json without it answers once";
        return Err(CommandError::Input(text.to_owned()));
    }
    if !io::stdout().is_terminal() {
        let text = "--watch draws on a terminal, and stdout is none; without it, the command answers once";
        return Err(CommandError::Input(text.to_owned()));
    }
    let pool = db::connect(settings).await?;
    let stop = CancellationToken::new();
    end_on_signals(&stop).map_err(CommandError::Output)?;
    let views = follow(settings, pool, stop.clone());
    let panicked = CancellationToken::new();
    let mut screen = Screen::open(&panicked).map_err(CommandError::Output)?;
    let ended = draw(&mut screen, views, &stop, &panicked).await;
    drop(screen);
    stop.cancel();
    ended.map_err(CommandError::Output)?;
    // What went wrong has been said as it did.
    Ok(if panicked.is_cancelled() { ExitStatus::Undone } else { ExitStatus::Done })
}

/// Redraws whenever something was looked at, or the terminal has another size.
async fn draw(
    screen: &mut Screen,
    mut views: watch::Receiver<Option<Arc<Now>>>,
    stop: &CancellationToken,
    panicked: &CancellationToken,
) -> io::Result<()> {
    let mut events = EventStream::new();
    let takes_colors = color::is_wanted();
    loop {
        let view = views.borrow_and_update().clone();
        let (width, height) = output::size();
        let lines = || drawing::lines(view.as_deref(), usize::from(width), usize::from(height), Utc::now());
        // As in other answers, what holds a mark already is shown without colours.
        let is_colored = takes_colors && !lines().iter().any(|line| line.contains(color::is_mark));
        screen.show(&color::marked(lines), is_colored)?;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = panicked.cancelled() => return Ok(()),
            changed = views.changed() => if changed.is_err() { return Ok(()) },
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) if ends(key) => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
        }
    }
}

fn ends(key: KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && (matches!(key.code, KeyCode::Char('q' | 'Q')) || (is_control && key.code == KeyCode::Char('c')))
}

/// Looks at everything again and again; what was last seen can be waited for.
fn follow(settings: &Settings, pool: Pool, stop: CancellationToken) -> watch::Receiver<Option<Arc<Now>>> {
    let topology = Topology::new(&settings.namespace);
    let looks = Watch::start(settings.clone(), pool.clone(), stop);
    let (sender, views) = watch::channel(None);
    tokio::spawn(async move {
        // Somebody who reads is what makes it look every two seconds.
        let Some(mut reader) = looks.read() else { return };
        loop {
            let sample = Sample::clone(&*looks.sample().await);
            let now = match Now::look(&pool, &topology, sample.clone()).await {
                Ok(now) => now,
                Err(error) => {
                    let mut sample = sample;
                    sample.postgres_error.get_or_insert_with(|| chain(&error));
                    Now::sampled(&topology, sample)
                }
            };
            if sender.send(Some(Arc::new(now))).is_err() {
                return;
            }
            // The last that is told of each look.
            while reader.changed().await != "now" {}
        }
    });
    views
}

/// Every signal that would end the process while the terminal is not as it was.
fn end_on_signals(stop: &CancellationToken) -> io::Result<()> {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
    for kind in kinds {
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}
