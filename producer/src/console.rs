//! `console`: what the other commands tell and do, as pages in a browser and as JSON for programs.
//!
//! Every page is made of a value that is also its JSON form. What is shown is kept live by server-sent events that say
//! what has changed; the browser then asks for the page again. Without scripts the pages work all the same.

mod acts;
mod answer;
mod batches;
mod dead;
mod entrance;
mod jobs;
mod layout;
mod live;
mod markup;
mod now;
mod openapi;
mod people;
mod periods;
mod problem;
mod router;
mod server;
mod sessions;
mod sign_in;
mod slices;
mod sources;

use std::{fmt, sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use serde::Serialize;
use shared::settings::Settings;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use self::{acts::Acts, layout::Scripts, people::People, sessions::Sessions, sources::Checks};
use crate::{
    db,
    errors::{CommandError, ExitStatus},
    now::watch::Watch,
    output,
};

/// Connections to PostgreSQL: few, since each statement is short.
const CONNECTIONS: usize = 6;
/// Slices that are verified at a time: each takes connections of its own.
const VERIFIED: usize = 2;
/// How long one statement of a page may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the console in the browser until it is ended
///
/// It reads only, unless AURA_CONSOLE_USERS_PATH says who may do what: viewers look, operators replay and discard,
/// controllers lock periods, too. Behind a reverse proxy AURA_CONSOLE_USER_HEADER says who asks; otherwise people sign
/// in with a token each.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer console
  aura-producer console --make-token
  aura-producer console --console-addr 0.0.0.0:9465 --console-users-path console-users.toml")]
pub(crate) struct Args {
    /// Prints a new token, and what the file of users needs of it, and ends
    #[arg(long)]
    make_token: bool,
}

/// What every page stands on.
pub(crate) struct Console {
    settings: Settings,
    pool: Pool,
    people: People,
    sessions: Sessions,
    acts: Acts,
    checks: Checks,
    watch: Watch,
    scripts: Scripts,
    /// Slices that may be verified at a time.
    verifying: Semaphore,
    stop: CancellationToken,
}

/// A new token. Only its hash is kept anywhere.
#[derive(Serialize)]
struct Token {
    token: String,
    token_sha256: String,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "token         {}", self.token)?;
        writeln!(f, "file of users token_sha256 = \"{}\"", self.token_sha256)
    }
}

/// Serves until told to stop.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    if args.make_token {
        let token = people::new_token();
        let token_sha256 = people::hash(&token);
        output::print(json, &Token { token, token_sha256 })?;
        return Ok(ExitStatus::Done);
    }
    let people = People::open(settings)?;
    let scripts = Scripts::open(&settings.console.assets);
    if let Some(missing) = scripts.missing() {
        output::remark(&missing);
    }
    let pool = db::open(settings, CONNECTIONS, STATEMENT_TIMEOUT)?;
    db::check(&pool, settings).await?;
    let listener = TcpListener::bind(settings.console.addr)
        .await
        .map_err(|source| CommandError::Listen { address: settings.console.addr, source })?;
    let address = listener.local_addr().map_err(CommandError::Output)?;
    let stop = CancellationToken::new();
    server::end_on_signals(&stop).map_err(CommandError::Output)?;
    let watch = Watch::start(settings.clone(), pool.clone(), stop.clone());
    let console = Arc::new(Console {
        settings: settings.clone(),
        pool,
        people,
        sessions: Sessions::new(settings.console.session),
        acts: Acts::new(watch.changes()),
        checks: Checks::new(),
        watch,
        scripts,
        verifying: Semaphore::new(VERIFIED),
        stop: stop.clone(),
    });
    output::remark(&format!("the console is at http://{address}/ {}", console.people.words()));
    server::serve(listener, router::router(&console), stop).await;
    console.acts.end(&console.pool).await;
    Ok(ExitStatus::Done)
}
