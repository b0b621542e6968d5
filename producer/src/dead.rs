//! `dead`: the dead letters, listed, shown, replayed and discarded, and none lost.

mod death;
mod discard;
mod filter;
mod letter;
mod list;
mod outgoing;
mod queue;
mod replay;
mod settled;
mod show;

use shared::settings::Settings;

use crate::errors::{CommandError, ExitStatus};

/// Tends the dead letters
///
/// Each command holds the whole queue while it looks, so that two engineers never act on the same
/// letter; whatever it does not act on goes back in its order.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    List(list::Args),
    Show(show::Args),
    Replay(replay::Args),
    Discard(discard::Args),
}

/// Does what the verb says.
pub(crate) async fn run(verb: Verb, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    match verb {
        Verb::List(args) => list::run(&args, settings, json).await,
        Verb::Show(args) => show::run(&args, settings, json).await,
        Verb::Replay(args) => replay::run(args, settings, json).await,
        Verb::Discard(args) => discard::run(args, settings, json).await,
    }
}
