//! A world of its own for each test: a database, a virtual host, a MongoDB database, and folders.

mod derived;
mod ledger;
mod shaken;
mod steady;

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

pub use shaken::{Proxies, Shaken};
pub use steady::{Steady, job, with};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

use crate::{
    checkout::checkout,
    program::{Said, command, ends, run, run_with_input},
    stack::{Stack, answered, at},
    wait::{SOON, until},
};

/// How long the producer may take.
const PRODUCER: Duration = Duration::from_secs(120);

/// What becomes of a world when its test ends.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// It has to go; `AURA_TEST_KEEP=1` keeps what a failed test leaves.
    Goes,
    /// What a failed test leaves is kept; what cannot be removed disturbs no other world.
    MayStay,
}

/// One test's services and folders, and the clients that it uses them with.
pub struct World<Clients> {
    name: String,
    settings: Vec<(String, String)>,
    folder: Option<TempDir>,
    workers: AtomicU32,
    stack: Stack,
    rest: Rest,
    /// MongoDB, this world's database.
    pub mongo: mongodb::Database,
    clients: Clients,
}

/// A world's clients stand in it like its own parts.
impl<Clients> Deref for World<Clients> {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

/// What a world has before there are clients, which connect to it.
struct Ground {
    name: String,
    settings: Vec<(String, String)>,
    folder: TempDir,
    stack: Stack,
    mongo: mongodb::Database,
}

impl Ground {
    /// New databases, PostgreSQL's with options, a new virtual host, and folders, of which some are input roots.
    async fn new(stack: &Stack, prefix: &str, roots: &[&str], options: &str) -> Self {
        // The process number tells a later run whether the world's owner still lives.
        let random = Uuid::new_v4().simple().to_string();
        let name = format!("{prefix}{}_{}", std::process::id(), &random[..8]);
        answered(stack.create_database(&name, options).await);
        // The management may come up a moment after the broker.
        until("a virtual host is made", SOON, async || stack.create_virtual_host(&name).await.ok()).await;
        let mongo = answered(stack.mongo_database(&name).await);

        let folder = tempfile::Builder::new().prefix(&name).tempdir().expect("a folder");
        for part in [roots, &["cache", "logs"]].concat() {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        let path = |part: &str| folder.path().join(part).display().to_string();
        let roots: Vec<_> = roots.iter().map(|root| path(root)).collect();
        let settings = [
            ("AURA_AMQP_URL", at(&stack.amqp, &name).to_string()),
            ("AURA_POSTGRES_URL", at(&stack.postgres, &name).to_string()),
            ("AURA_MONGODB_URL", at(&stack.mongodb, &name).to_string()),
            ("AURA_INPUT_ROOTS", roots.join(",")),
            ("AURA_CACHE_URL", path("cache")),
            ("AURA_LOG_DIR", path("logs")),
            ("AURA_SOURCES_DIR", checkout().join("deploy/sources").display().to_string()),
            ("AURA_HTTP_ADDR", "127.0.0.1:0".to_owned()),
            ("AURA_ACTOR", "tester".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { name, settings, folder, stack: stack.clone(), mongo }
    }

    fn amqp(&self) -> Url {
        at(&self.stack.amqp, &self.name)
    }

    fn postgres(&self) -> Url {
        at(&self.stack.postgres, &self.name)
    }

    fn with<Clients>(self, clients: Clients, rest: Rest) -> World<Clients> {
        let Self { name, settings, folder, stack, mongo } = self;
        let (folder, workers) = (Some(folder), AtomicU32::new(0));
        World { name, settings, folder, workers, stack, rest, mongo, clients }
    }
}

impl<Clients> World<Clients> {
    /// The name of its database, of its virtual host, and of a role that a test may make.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of this world.
    ///
    /// # Panics
    /// If the world was told to stay.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until the world ends").path()
    }

    /// The address of its virtual host.
    pub fn amqp(&self) -> Url {
        at(&self.stack.amqp, &self.name)
    }

    /// One of this world's settings.
    ///
    /// # Panics
    /// If it has no such setting.
    pub fn setting(&self, name: &str) -> &str {
        &self.settings.iter().rfind(|(key, _)| key == name).expect("a setting of the world").1
    }

    /// The settings of this world, with others laid over them.
    pub fn settings_with(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.settings.iter().cloned().chain(more).collect()
    }

    /// Lays other settings over those of this world, for all of its programs.
    pub fn lay_over(&mut self, more: &[(&str, &str)]) {
        self.settings = self.settings_with(more);
    }

    /// Runs the producer to its end and returns what it said, whatever that is.
    pub async fn run_producer(&self, arguments: &[&str]) -> Said {
        let mut command = command("aura-producer", self.path(), &self.settings);
        command.args(arguments);
        run(command, PRODUCER).await
    }

    /// Runs the producer, and kills it if it takes longer than commands may; whether it ended. What it says goes to a
    /// file of the log folder.
    pub async fn producer_ends(&self, arguments: &[&str]) -> bool {
        let mut command = command("aura-producer", self.path(), &self.settings);
        let said = std::fs::File::create(self.path().join("logs/producer-said")).expect("the log folder");
        command.args(arguments).stdout(said.try_clone().expect("a file")).stderr(said);
        ends(command, PRODUCER).await
    }

    /// The same with this on its standard input.
    pub async fn producer_reads(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = command("aura-producer", self.path(), &self.settings);
        command.args(arguments);
        run_with_input(command, input.as_bytes(), PRODUCER).await
    }

    /// The number and the folder of logs of a further worker.
    fn next_worker(&self) -> (u32, PathBuf) {
        let number = self.workers.fetch_add(1, Ordering::Relaxed) + 1;
        let logs = self.path().join("logs").join(format!("worker-{number}"));
        std::fs::create_dir(&logs).expect("a folder");
        (number, logs)
    }

    /// Leaves everything as it is when the world ends; returns where it is.
    pub fn keep(&mut self) -> String {
        let folder = self.folder.take().map(TempDir::keep).unwrap_or_default();
        format!("database, virtual host and MongoDB database {}, folder {}", self.name, folder.display())
    }
}

/// Writes a file beside its place and moves it there, so that a reader sees all of it or nothing.
fn write_whole(path: &Path, content: impl AsRef<[u8]>) {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, content).expect("a file can be written");
    std::fs::rename(&partial, path).expect("a file can be moved");
}

impl<Clients> Drop for World<Clients> {
    fn drop(&mut self) {
        if self.folder.is_none() {
            return;
        }
        let failed = std::thread::panicking();
        let stays = match self.rest {
            Rest::Goes => std::env::var_os("AURA_TEST_KEEP").is_some(),
            Rest::MayStay => true,
        };
        if failed && stays {
            eprintln!("kept: {}", self.keep());
            return;
        }
        let removed = self.stack.remove_at_the_end(&self.name);
        if let (Err(error), Rest::Goes, false) = (removed, self.rest, failed) {
            panic!("what belongs to {} was not removed: {error}", self.name);
        }
    }
}
