//! `dead`: the dead letters, listed, shown, replayed and discarded, and none lost.

pub(crate) mod advice;
pub(crate) mod discard;
pub(crate) mod filter;
pub(crate) mod list;
pub(crate) mod operation;
pub(crate) mod operations;
mod outgoing;
mod queue;
pub(crate) mod reconcile;
pub(crate) mod replay;
pub(crate) mod settled;
pub(crate) mod show;
mod taking;
pub(crate) mod written;

use shared::settings::Settings;

use crate::errors::{CommandError, ExitStatus};

/// Tends the dead letters
///
/// Looking at them reads what is written down in PostgreSQL. Replay and discard hold the whole queue, so that two
/// engineers never act on the same letter; whatever they do not act on goes back in its order.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    List(list::Args),
    Show(show::Args),
    Replay(Box<replay::Args>),
    Discard(discard::Args),
    Operations(operations::Args),
}

impl Verb {
    /// Returns whether it only looks.
    pub(crate) fn only_reads(&self) -> bool {
        match self {
            Self::List(_) | Self::Show(_) => true,
            Self::Operations(args) => args.only_reads(),
            Self::Replay(_) | Self::Discard(_) => false,
        }
    }
}

/// Does what the verb says.
pub(crate) async fn run(verb: Verb, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    match verb {
        Verb::List(args) => list::run(&args, settings, json).await,
        Verb::Show(args) => show::run(&args, settings, json).await,
        Verb::Replay(args) => replay::run(*args, settings, json).await,
        Verb::Discard(args) => discard::run(args, settings, json).await,
        Verb::Operations(args) => operations::run(&args, settings, json).await,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use lapin::{BasicProperties, types::FieldTable};
    use shared::{
        message::{envelope, letter::Letter},
        timestamp::micros_text,
    };
    use uuid::Uuid;

    pub(crate) fn now() -> DateTime<Utc> {
        "2022-07-01T12:00:00Z".parse().unwrap()
    }

    /// A letter that died so many minutes ago.
    pub(crate) fn letter(job: u128, entity: &str, code: &str, minutes: i64, replays: u32) -> Letter {
        let mut headers = FieldTable::default();
        envelope::set(&mut headers, envelope::ERROR_CODE, code);
        let died = now() - chrono::TimeDelta::minutes(minutes);
        envelope::set(&mut headers, envelope::FAILED_AT, micros_text(died));
        envelope::set_integer(&mut headers, envelope::REPLAYS, replays);
        let properties = BasicProperties::default()
            .with_message_id(Uuid::from_u128(job).to_string().into())
            .with_correlation_id(Uuid::from_u128(9).to_string().into())
            .with_headers(headers);
        let body = format!(r#"{{"file": "/in/{entity}.csv", "entity": "{entity}", "period": "2022-06"}}"#);
        Letter::read(&properties, body.as_bytes(), now())
    }
}
