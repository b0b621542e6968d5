//! A world of its own for each test: a database, a virtual host, a MongoDB database, and folders.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
pub(crate) use tests::required_columns::csv;
use tests::{
    checkout::checkout,
    stack::{at, session},
    trial_balance::TrialBalance,
};
use url::Url;
use uuid::Uuid;

use crate::{
    broker::Broker,
    process::{Said, Worker, command, run, run_with_input},
    stack::stack,
    store::{answered, sweep},
};

/// One test's services and folders. All of it goes when the test ends; `AURA_TEST_KEEP=1` keeps what
/// a failed test leaves.
pub(crate) struct World {
    name: String,
    settings: Vec<(String, String)>,
    folder: Option<TempDir>,
    workers: AtomicU32,
    /// PostgreSQL, in this test's database.
    pub(crate) postgres: tokio_postgres::Client,
    /// MongoDB, this test's database.
    pub(crate) mongo: mongodb::Database,
    /// RabbitMQ, in this test's virtual host.
    pub(crate) broker: Broker,
}

impl World {
    /// A new world, in which nothing runs yet.
    pub(crate) async fn new() -> Self {
        sweep().await;
        // The process number tells a later run whether the world's owner still lives.
        let random = Uuid::new_v4().simple().to_string();
        let name = format!("aura_t_{}_{}", std::process::id(), &random[..8]);
        answered(stack().create_database(&name).await);
        answered(stack().create_virtual_host(&name).await);
        let postgres = answered(session(&at(&stack().postgres, &name)).await);
        let mongo = answered(stack().mongo_database(&name).await);

        let folder = tempfile::Builder::new().prefix(&name).tempdir().expect("a folder");
        for part in ["in", "cache", "logs"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        let path = |part: &str| folder.path().join(part).display().to_string();
        let amqp = at(&stack().amqp, &name);
        let settings = [
            ("AURA_AMQP_URL", amqp.to_string()),
            ("AURA_POSTGRES_URL", at(&stack().postgres, &name).to_string()),
            ("AURA_MONGODB_URL", at(&stack().mongodb, &name).to_string()),
            ("AURA_INPUT_ROOTS", path("in")),
            ("AURA_CACHE_URL", path("cache")),
            ("AURA_LOG_DIR", path("logs")),
            ("AURA_SOURCES_DIR", checkout().join("deploy/sources").display().to_string()),
            ("AURA_HTTP_ADDR", "127.0.0.1:0".to_owned()),
            ("AURA_ACTOR", "tester".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let broker = Broker::connect(amqp.as_str()).await;
        Self { name, settings, folder: Some(folder), workers: AtomicU32::new(0), postgres, mongo, broker }
    }

    /// A new world with a running worker.
    pub(crate) async fn with_worker() -> (Self, Worker) {
        let world = Self::new().await;
        let worker = world.worker(&[]).await;
        (world, worker)
    }

    /// Starts a worker with further settings, or others than usual.
    pub(crate) async fn worker(&self, more: &[(&str, &str)]) -> Worker {
        let number = self.workers.fetch_add(1, Ordering::Relaxed) + 1;
        let logs = self.path().join("logs").join(format!("worker-{number}"));
        std::fs::create_dir(&logs).expect("a folder");
        let mut settings = self.settings_with(more);
        settings.push(("AURA_LOG_DIR".to_owned(), logs.display().to_string()));
        Worker::start(command("aura-worker", self.path(), &settings), logs.join("stdout")).await
    }

    /// Runs the producer to its end.
    pub(crate) async fn producer(&self, arguments: &[&str]) -> Said {
        let mut command = command("aura-producer", self.path(), &self.settings);
        command.args(arguments);
        run(command, Duration::from_secs(120)).await
    }

    /// Runs the producer to its end with this on its standard input.
    pub(crate) async fn producer_reads(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = command("aura-producer", self.path(), &self.settings);
        command.args(arguments);
        run_with_input(command, input.as_bytes(), Duration::from_secs(120)).await
    }

    /// A client and the URL of a broker's user whom nobody else here logs in as; its name is returned, too.
    pub(crate) async fn other_user(&self) -> (Broker, String, String) {
        answered(stack().create_user(&self.name).await);
        let mut url: Url = self.setting("AURA_AMQP_URL").parse().expect("a URL");
        url.set_username(&self.name).and_then(|()| url.set_password(Some(&self.name))).expect("a URL with a host");
        (Broker::connect(url.as_str()).await, url.to_string(), self.name.clone())
    }

    /// Lays other settings over those of this world, for all of its programs.
    pub(crate) fn lay_over(&mut self, more: &[(&str, &str)]) {
        self.settings = self.settings_with(more);
    }

    /// The settings of this world, with others laid over them.
    pub(crate) fn settings_with(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.settings.iter().cloned().chain(more).collect()
    }

    /// One of this world's settings.
    pub(crate) fn setting(&self, name: &str) -> &str {
        &self.settings.iter().rfind(|(key, _)| key == name).expect("a setting of the world").1
    }

    /// The name of its database, of its virtual host, and of a role that a test may make.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The folder of this world.
    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until the world ends").path()
    }

    /// A path below the input root.
    pub(crate) fn input(&self, name: &str) -> PathBuf {
        self.path().join("in").join(name)
    }

    /// Writes a file below the input root and returns its path as a message names it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.input(name);
        // Written beside and moved, so that no worker meets half a file.
        let partial = path.with_extension("partial");
        std::fs::write(&partial, content).expect("the input root can be written");
        std::fs::rename(&partial, &path).expect("a file can be moved");
        path.display().to_string()
    }

    /// Writes a generated file below the input root.
    pub(crate) fn sample(&self, name: &str, sample: &TrialBalance) -> String {
        self.write(name, sample.text())
    }

    /// Publishes a job as a plain client would, under an identity of its own.
    pub(crate) async fn send(&self, mut job: Value) -> Uuid {
        if job["job_id"].is_null() {
            job["job_id"] = json!(Uuid::new_v4());
        }
        let id = job["job_id"].as_str().and_then(|id| id.parse().ok()).expect("a job_id");
        self.broker.publish(job.to_string().as_bytes()).await;
        id
    }

    /// Publishes a job, waits for its receipt and returns that.
    pub(crate) async fn run(&self, job: Value) -> Value {
        let id = self.send(job).await;
        self.broker.receipt(id).await
    }

    /// Publishes a job, waits for its receipt, and makes sure that it ended so.
    #[track_caller]
    pub(crate) fn ends(&self, status: &'static str, job: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let receipt = self.run(job).await;
            assert_eq!(receipt["status"], status, "at {place}: {receipt:#}");
            receipt
        }
    }
}

/// The three fields that every message has.
pub(crate) fn job(file: &str, entity: &str, period: &str) -> Value {
    json!({"file": file, "entity": entity, "period": period})
}

/// The same job with further fields.
pub(crate) fn with(mut job: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        job[name] = value.clone();
    }
    job
}

impl Drop for World {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed && std::env::var_os("AURA_TEST_KEEP").is_some() {
            let folder = self.folder.take().map(TempDir::keep);
            eprintln!("kept: database, virtual host and MongoDB database {}, folder {folder:?}", self.name);
            return;
        }
        let removed = stack().remove_at_the_end(&self.name);
        if !failed && let Err(error) = removed {
            panic!("what belongs to {} was not removed: {error}", self.name);
        }
    }
}
