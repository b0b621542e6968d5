//! `topology`: declares the exchanges and queues.

use std::{fmt, time::Duration};

use lapin::{Channel, Connection};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    broker::{
        amqp::{self, AmqpError, within},
        topology::{Topology, TopologyError},
    },
    settings::Settings,
};
use tokio::time::timeout;

use crate::{
    errors::{CommandError, ExitStatus},
    output,
};

/// How long the broker may take to declare everything, and to close a channel or a connection.
const DECLARE: Duration = Duration::from_secs(30);
const CLOSE: Duration = Duration::from_secs(5);

/// Declares the exchanges and queues that are not there yet
///
/// Producer and worker do so by themselves; this is for setting up a broker beforehand. Something
/// that is there with other arguments is named, and the exit code is 3: the broker cannot be used.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  aura-producer topology --namespace aura")]
pub(crate) struct Args {}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Declared {
    exchanges: Vec<String>,
    queues: Vec<String>,
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exchanges.iter().try_for_each(|name| writeln!(f, "exchange {name}"))?;
        self.queues.iter().try_for_each(|name| writeln!(f, "queue    {name}"))
    }
}

/// Connects and declares everything.
pub(crate) async fn declare(settings: &Settings, topology: &Topology) -> Result<Connection, CommandError> {
    let connection = amqp::connect(&settings.amqp_url, "aura-producer");
    let connection = connection.await.map_err(CommandError::broker(settings))?;
    let late = AmqpError::Timeout { what: "declare the topology", limit: DECLARE };
    let declared = timeout(DECLARE, topology.declare(&connection)).await;
    let declared = declared.unwrap_or(Err(TopologyError::Unreached { source: late }));
    let failed = |source| CommandError::Topology { url: settings.amqp_url.to_string(), source: Box::new(source) };
    declared.map_err(failed)?;
    Ok(connection)
}

/// Closes a channel whose connection is closed next.
///
/// lapin closes a channel that is dropped by itself, a moment later. If the connection is closed in that moment, lapin
/// takes the channel's state for an error of the connection, and ends that without a word to the broker.
pub(crate) async fn close(channel: &Channel) {
    let _ = within(CLOSE, "close a channel", channel.close(200, "done".into())).await;
}

/// Closes a connection cleanly, if that takes no longer than a moment.
///
/// lapin may never answer: a connection that ends by itself just before drops the request and whoever waits for it.
pub(crate) async fn hang_up(connection: Connection) {
    // What was to be done on it is done; the broker also notices a connection that just goes.
    let _ = within(CLOSE, "close", connection.close(200, "done".into())).await;
}

/// Declares everything and names it.
pub(crate) async fn run(settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let topology = Topology::new(&settings.namespace);
    hang_up(declare(settings, &topology).await?).await;
    let mut queues = vec![topology.jobs];
    queues.extend(topology.retries.into_iter().map(|retry| retry.name));
    queues.push(topology.dead);
    queues.push(topology.dry_runs);
    output::print(json, &Declared { exchanges: vec![topology.jobs_exchange, topology.events], queues })?;
    Ok(ExitStatus::Done)
}
