//! A world whose services stand as long as its tests: one session of PostgreSQL, and a plain client of RabbitMQ.

use std::path::PathBuf;

use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{Ground, Rest, World, write_whole};
use crate::{
    broker::Broker,
    checkout::checkout,
    console::Console,
    program::{Said, command},
    stack::{answered, session, stack, sweep},
    trial_balance::TrialBalance,
    worker::Worker,
};

/// What all such worlds' names start with.
const PREFIX: &str = "aura_t_";

/// Clients of services that stand; a test fails as soon as one of these does not answer.
pub struct Steady {
    /// PostgreSQL, in this test's database.
    pub postgres: tokio_postgres::Client,
    /// RabbitMQ, in this test's virtual host.
    pub broker: Broker,
}

impl World<Steady> {
    /// A new world, in which nothing runs yet.
    pub async fn new() -> Self {
        Self::of_database("").await
    }

    /// A new world whose database does not order texts by their bytes.
    pub async fn in_another_order() -> Self {
        Self::of_database("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'").await
    }

    async fn of_database(options: &str) -> Self {
        sweep(PREFIX).await;
        let ground = Ground::new(stack(), PREFIX, &["in"], options).await;
        let postgres = answered(session(&ground.postgres()).await);
        let broker = Broker::connect(ground.amqp().as_str()).await;
        ground.with(Steady { postgres, broker }, Rest::Goes)
    }

    /// A new world with a running worker.
    pub async fn with_worker() -> (Self, Worker) {
        let world = Self::new().await;
        let worker = world.worker(&[]).await;
        (world, worker)
    }

    /// Starts a worker with further settings, or others than usual, and waits until it is ready.
    pub async fn worker(&self, more: &[(&str, &str)]) -> Worker {
        let (_, logs) = self.next_worker();
        let mut settings = self.settings_with(more);
        settings.push(("AURA_LOG_DIR".to_owned(), logs.display().to_string()));
        Worker::start(command("aura-worker", self.path(), &settings), logs.join("stdout")).await
    }

    /// Starts a console with further settings, at an address of its own, and waits until it is served.
    ///
    /// # Panics
    /// If it is not.
    pub async fn console(&self, more: &[(&str, &str)]) -> Console {
        let (_, logs) = self.next_worker();
        let mut settings = self.settings_with(&[("AURA_CONSOLE_ADDR", "127.0.0.1:0")]);
        let assets =
            std::env::var("AURA_CONSOLE_ASSETS").map_or_else(|_| checkout().join(".local/assets"), PathBuf::from);
        settings.push(("AURA_CONSOLE_ASSETS".to_owned(), assets.display().to_string()));
        settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        settings.push(("AURA_LOG_DIR".to_owned(), logs.display().to_string()));
        Console::start(command("aura-producer", self.path(), &settings), logs.join("stdout")).await
    }

    /// Runs the producer to its end.
    pub async fn producer(&self, arguments: &[&str]) -> Said {
        self.run_producer(arguments).await
    }

    /// A client and the URL of a broker's user whom nobody else here logs in as; its name is returned, too.
    pub async fn other_user(&self) -> (Broker, String, String) {
        answered(self.stack.create_user(&self.name).await);
        let mut url: Url = self.setting("AURA_AMQP_URL").parse().expect("a URL");
        url.set_username(&self.name).and_then(|()| url.set_password(Some(&self.name))).expect("a URL with a host");
        (Broker::connect(url.as_str()).await, url.to_string(), self.name.clone())
    }

    /// A path below the input root.
    pub fn input(&self, name: &str) -> PathBuf {
        self.path().join("in").join(name)
    }

    /// Writes a file below the input root and returns its path as a message names it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.input(name);
        write_whole(&path, content);
        path.display().to_string()
    }

    /// Writes a generated file below the input root.
    pub fn sample(&self, name: &str, sample: &TrialBalance) -> String {
        self.write(name, sample.text())
    }

    /// Publishes a job as a plain client would, under an identity of its own.
    pub async fn send(&self, mut job: Value) -> Uuid {
        if job["job_id"].is_null() {
            job["job_id"] = json!(Uuid::new_v4());
        }
        let id = job["job_id"].as_str().and_then(|id| id.parse().ok()).expect("a job_id");
        self.broker.publish(job.to_string().as_bytes()).await;
        id
    }

    /// Publishes a job, waits for its receipt and returns that.
    pub async fn run(&self, job: Value) -> Value {
        let id = self.send(job).await;
        self.broker.receipt(id).await
    }

    /// Publishes a job, waits for its receipt, and makes sure that it ended so.
    #[track_caller]
    pub fn ends(&self, status: &'static str, job: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let receipt = self.run(job).await;
            assert_eq!(receipt["status"], status, "at {place}: {receipt:#}");
            receipt
        }
    }
}

/// The three fields that every message has.
pub fn job(file: &str, entity: &str, period: &str) -> Value {
    json!({"file": file, "entity": entity, "period": period})
}

/// The same job with further fields.
pub fn with(mut job: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        job[name] = value.clone();
    }
    job
}
