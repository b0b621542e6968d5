//! A cluster of three machines, as `deploy/local up --cluster` runs it, which may be broken.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::json;
use tokio::process::Command;
use url::Url;

use super::services::Services;
use crate::{
    checkout::checkout,
    stack::Stack,
    wait::{SOON, until},
};

/// How long `deploy/local` may take.
const LIMIT: Duration = Duration::from_secs(240);
/// How long a service may take to answer: longer than it takes PostgreSQL to have another primary.
const ANSWER: Duration = Duration::from_secs(60);
/// How long Patroni may take to answer.
const PATRONI: Duration = Duration::from_secs(1);

/// The number of a machine.
pub type Number = usize;
/// How many there are.
pub const MACHINES: Number = 3;

/// The cluster of a directory.
#[derive(Debug)]
pub struct Machines {
    directory: PathBuf,
    network: String,
}

async fn local(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(checkout().join("deploy/local"));
    command.args(arguments).env("AURA_LOCAL_DIR", directory).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("deploy/local ends in time");
    output.expect("deploy/local runs")
}

async fn done(directory: &Path, arguments: &[&str]) -> String {
    let output = local(directory, arguments).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "deploy/local {arguments:?} failed:\n{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Machines {
    /// Starts the cluster of a directory, as far as it does not run.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn up(directory: &Path) -> (Self, Services) {
        done(directory, &["up", "--cluster"]).await;
        let settings = done(directory, &["env"]).await;
        let settings: HashMap<&str, &str> = settings.lines().filter_map(|line| line.split_once('=')).collect();
        let url = |name: &str| Url::parse(settings[name]).expect("deploy/local prints URLs");
        let stack = Stack {
            amqp: url("AURA_AMQP_URL"),
            management: url("AURA_LOCAL_RABBITMQ_MANAGEMENT_URL"),
            postgres: url("AURA_POSTGRES_URL"),
            mongodb: url("AURA_MONGODB_URL"),
            patience: ANSWER,
        };
        // 198.18.N.1,198.18.N.2,198.18.N.3
        let first = stack.mongodb.host_str().and_then(|hosts| hosts.split(',').next());
        let network = first.and_then(|host| host.rsplit_once('.')).expect("addresses of a network").0.to_owned();
        (Self { directory: directory.to_owned(), network }, Services::at(directory, stack))
    }

    /// Ends what is broken, starts what does not run, and returns once all are there and PostgreSQL has a synchronous
    /// standby.
    ///
    /// # Errors
    /// What `deploy/local` says, if they do not come back.
    pub async fn become_whole(&self) -> Result<(), String> {
        let output = local(&self.directory, &["up"]).await;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Does something to a machine.
    ///
    /// # Panics
    /// If it cannot be done.
    pub async fn machine(&self, number: Number, arguments: &[&str]) {
        let number = number.to_string();
        done(&self.directory, &[&["machine", &number], arguments].concat()).await;
    }

    /// The machine whose PostgreSQL takes writes.
    ///
    /// # Panics
    /// If there is none.
    pub async fn leader(&self) -> Number {
        until("PostgreSQL has a primary", SOON, async || {
            for number in 1..=MACHINES {
                let url = format!("http://{}.{number}:8008/primary", self.network);
                let answer = crate::http::client().get(url).timeout(PATRONI).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }

    /// Has PostgreSQL's primary change places with its synchronous standby.
    pub async fn switch_over(&self) {
        let leader = self.leader().await;
        let url = format!("http://{}.{leader}:8008/switchover", self.network);
        let asked = crate::http::client().post(url).json(&json!({"leader": format!("pg{leader}")})).timeout(LIMIT);
        let answer = asked.send().await.expect("Patroni answers");
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        // 503: it could not be finished in the time that Patroni gives it; what comes of it is seen.
        assert!(status.is_success() || status.as_u16() == 503, "no switchover: {status} {text}");
    }
}
