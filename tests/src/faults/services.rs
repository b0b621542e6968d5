//! The services of a stack of its own, which may be stopped, killed and started again.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::process::Command;
use url::Url;

use crate::{
    checkout::checkout,
    stack::Stack,
    wait::{SOON, until},
};

/// How long `deploy/local` may take.
const LIMIT: Duration = Duration::from_secs(180);
/// How long a service may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// PostgreSQL.
    Postgres,
    /// RabbitMQ.
    RabbitMq,
    /// MongoDB.
    MongoDb,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
            Self::MongoDb => "mongodb",
        }
    }

    /// The signal that ends it without a farewell: PostgreSQL's is that of `pg_ctl stop -m immediate`.
    fn crash_signal(self) -> &'static str {
        match self {
            Self::Postgres => "QUIT",
            Self::RabbitMq | Self::MongoDb => "KILL",
        }
    }
}

/// A stack of `deploy/local`.
#[derive(Debug, Clone)]
pub struct Services {
    directory: PathBuf,
    /// Where they are; MongoDB is spoken to directly, so that a proxy can stand before it.
    pub stack: Stack,
}

/// Runs `deploy/local` for the stack of a directory, whose broker joins that of a peer.
pub(super) async fn local(directory: &Path, peer: Option<&Path>, arguments: &[&str]) -> String {
    let mut command = Command::new(checkout().join("deploy/local"));
    command.args(arguments).env("AURA_LOCAL_DIR", directory).stdin(Stdio::null()).kill_on_drop(true);
    match peer {
        Some(peer) => command.env("AURA_LOCAL_PEER", peer),
        None => command.env_remove("AURA_LOCAL_PEER"),
    };
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("deploy/local ends in time");
    let output = output.expect("deploy/local runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    // `status` fails where something is down, which is what is asked for here.
    assert!(output.status.success() || arguments[0] == "status", "deploy/local {arguments:?} failed:\n{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sends a signal to processes of this stack; one may have gone meanwhile.
async fn signal(name: &str, pids: &[u32]) {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "signal=$1; shift; for pid; do kill -s \"$signal\" \"$pid\" 2>/dev/null; done; true",
        "sh",
        name,
    ]);
    command.args(pids.iter().map(ToString::to_string));
    assert!(command.status().await.expect("a shell").success());
}

/// The children of a process.
fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // pid (name) state ppid …
        let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        if after_name.split(' ').nth(1).and_then(|ppid| ppid.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

/// Whether a process is there and no zombie.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// The process number of a service, if it runs: what `status` reads, without its asking a halted
/// service whether it answers.
fn running(directory: &Path, service: Service) -> Option<u32> {
    let file = match service {
        Service::Postgres => "services/postgres/data/postmaster.pid",
        Service::RabbitMq => "services/rabbitmq/pid",
        Service::MongoDb => "services/mongodb/data/mongod.lock",
    };
    let told = std::fs::read_to_string(directory.join(file)).unwrap_or_default();
    let pid = told.lines().next().and_then(|line| line.trim().parse().ok());
    pid.filter(|pid| is_alive(*pid))
}

/// Ends a service of a directory's stack at once, and returns when it is gone.
pub(super) async fn kill(directory: &Path, service: Service) {
    let pid = running(directory, service).unwrap_or_else(|| panic!("{} does not run", service.name()));
    signal(service.crash_signal(), &[pid]).await;
    until("the service is gone", SOON, async || (!is_alive(pid)).then_some(())).await;
}

impl Services {
    /// Starts the stack of a directory, as far as it does not run.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn up(directory: &Path) -> Self {
        // A test that was ended may have left servers halted.
        for service in [Service::Postgres, Service::RabbitMq, Service::MongoDb] {
            if let Some(pid) = running(directory, service) {
                signal("CONT", &children(pid)).await;
                signal("CONT", &[pid]).await;
            }
        }
        local(directory, None, &["up"]).await;
        let settings = local(directory, None, &["env"]).await;
        let settings: HashMap<&str, &str> = settings.lines().filter_map(|line| line.split_once('=')).collect();
        let url = |name: &str| Url::parse(settings[name]).expect("deploy/local prints URLs");
        let mut mongodb = url("AURA_MONGODB_URL");
        mongodb.set_query(Some("directConnection=true"));
        let stack = Stack {
            amqp: url("AURA_AMQP_URL"),
            management: url("AURA_LOCAL_RABBITMQ_MANAGEMENT_URL"),
            postgres: url("AURA_POSTGRES_URL"),
            mongodb,
            patience: ANSWER,
        };
        Self { directory: directory.to_owned(), stack }
    }

    /// Services that run in another way than those of a single stack.
    pub(super) fn at(directory: &Path, stack: Stack) -> Self {
        Self { directory: directory.to_owned(), stack }
    }

    /// The stack that fault tests share: `AURA_TEST_FAULTS_DIR`, else `.local/faults`.
    pub async fn of_fault_tests() -> Self {
        let directory = std::env::var_os("AURA_TEST_FAULTS_DIR").map(PathBuf::from);
        Self::up(&directory.unwrap_or_else(|| checkout().join(".local/faults"))).await
    }

    /// The same with another broker.
    #[must_use]
    pub fn with_broker(&self, amqp: Url, management: Url) -> Self {
        let stack = Stack { amqp, management, ..self.stack.clone() };
        Self { directory: self.directory.clone(), stack }
    }

    /// The same with PostgreSQL at another address.
    #[must_use]
    pub fn with_postgres(&self, postgres: Url) -> Self {
        let stack = Stack { postgres, ..self.stack.clone() };
        Self { directory: self.directory.clone(), stack }
    }

    /// Where the stack is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts a service and waits until it answers.
    pub async fn start(&self, service: Service) {
        local(&self.directory, None, &["up", service.name()]).await;
    }

    /// Stops a service cleanly.
    pub async fn stop(&self, service: Service) {
        local(&self.directory, None, &["down", service.name()]).await;
    }

    /// Ends a service at once, and returns when it is gone.
    pub async fn crash(&self, service: Service) {
        kill(&self.directory, service).await;
    }

    /// Halts every process of a service where it stands.
    pub async fn pause(&self, service: Service) {
        let pid = self.pid(service);
        // The parent first, so that it has no further child.
        signal("STOP", &[pid]).await;
        signal("STOP", &children(pid)).await;
    }

    /// Lets a halted service go on.
    pub async fn resume(&self, service: Service) {
        if let Some(pid) = running(&self.directory, service) {
            signal("CONT", &children(pid)).await;
            signal("CONT", &[pid]).await;
        }
    }

    /// The process number of a service, if it runs.
    pub fn pid_if_running(&self, service: Service) -> Option<u32> {
        running(&self.directory, service)
    }

    /// The process number of a service.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self, service: Service) -> u32 {
        running(&self.directory, service).unwrap_or_else(|| panic!("{} does not run", service.name()))
    }

    /// What `deploy/local status --json` says.
    pub async fn status(&self) -> Value {
        serde_json::from_str(&local(&self.directory, None, &["status", "--json"]).await).expect("status prints JSON")
    }

    /// Runs `rabbitmqctl` on this stack's node.
    pub async fn rabbitmqctl(&self, arguments: &[&str]) -> String {
        local(&self.directory, None, &[&["rabbitmqctl"], arguments].concat()).await
    }

    /// Asks the broker's management, without a body if that is null; none if it does not answer.
    pub async fn manage(&self, method: reqwest::Method, path: &str, body: &Value) -> Option<Value> {
        self.stack.manage(method, path, body).await.ok()
    }
}
