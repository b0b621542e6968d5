//! A site: a database, a virtual host, a MongoDB database and folders on the stack of fault tests,
//! and the workers that are started there.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use lapin::BasicProperties;
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::{NoTls, Row, types::ToSql};
use url::Url;
use uuid::Uuid;

use super::{
    book::{Book, Publication},
    client::Client,
    proxy::Proxy,
    services::Services,
};
use crate::{
    checkout::checkout,
    program::{command, run},
    stack::{at, session},
    wait::{SOON, until},
    worker::Worker,
};

/// How long one query may take.
const QUERY: Duration = Duration::from_secs(20);

/// Proxies before all three services.
#[derive(Debug)]
pub struct Proxies {
    /// Before PostgreSQL.
    pub postgres: Proxy,
    /// Before RabbitMQ.
    pub rabbitmq: Proxy,
    /// Before MongoDB.
    pub mongodb: Proxy,
    settings: Vec<(String, String)>,
}

/// A site.
pub struct Site {
    name: String,
    folder: Option<TempDir>,
    settings: Vec<(String, String)>,
    workers: AtomicU32,
    /// The services.
    pub services: Services,
    /// MongoDB, this site's database.
    pub mongo: mongodb::Database,
    /// The client that publishes here.
    pub client: Client,
    /// What was published here.
    pub book: Book,
}

impl Site {
    /// A new site, at which nothing runs yet.
    ///
    /// # Panics
    /// If the services do not let it be made.
    pub async fn new(services: &Services) -> Self {
        let services = services.clone();
        let random = Uuid::new_v4().simple().to_string();
        let name = format!("aura_f_{}_{}", std::process::id(), &random[..8]);
        let stack = &services.stack;
        stack.create_database(&name).await.expect("a database can be created");
        // The management may come up a moment after the broker.
        until("a virtual host is made", SOON, async || stack.create_virtual_host(&name).await.ok()).await;
        let mongo = stack.mongo_database(&name).await.expect("MongoDB's URL");

        let folder = tempfile::Builder::new().prefix(&name).tempdir().expect("a folder");
        for part in ["in", "other", "cache", "logs"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        let path = |part: &str| folder.path().join(part).display().to_string();
        let amqp = at(&stack.amqp, &name);
        let settings = [
            ("AURA_AMQP_URL", amqp.to_string()),
            ("AURA_POSTGRES_URL", at(&stack.postgres, &name).to_string()),
            ("AURA_MONGODB_URL", at(&stack.mongodb, &name).to_string()),
            ("AURA_INPUT_ROOTS", format!("{},{}", path("in"), path("other"))),
            ("AURA_CACHE_URL", path("cache")),
            ("AURA_LOG_DIR", path("logs")),
            ("AURA_SOURCES_DIR", checkout().join("deploy/sources").display().to_string()),
            ("AURA_HTTP_ADDR", "127.0.0.1:0".to_owned()),
            ("AURA_ACTOR", "tester".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let client = Client::connect(amqp.as_str()).await;
        let (workers, book) = (AtomicU32::new(0), Book::default());
        let site = Self { name, settings, folder: Some(folder), workers, services, mongo, client, book };
        site.producer(&["migrate"]).await;
        site.producer(&["topology"]).await;
        site
    }

    /// Proxies before the services, as workers see them.
    pub async fn proxies(&self) -> Proxies {
        let services = &self.services.stack;
        let (postgres, to_postgres) = Proxy::before(&at(&services.postgres, &self.name)).await;
        let (rabbitmq, to_rabbitmq) = Proxy::before(&at(&services.amqp, &self.name)).await;
        let (mongodb, to_mongodb) = Proxy::before(&at(&services.mongodb, &self.name)).await;
        let settings =
            [("AURA_POSTGRES_URL", to_postgres), ("AURA_AMQP_URL", to_rabbitmq), ("AURA_MONGODB_URL", to_mongodb)];
        let settings = settings.map(|(name, url)| (name.to_owned(), url.to_string())).to_vec();
        Proxies { postgres, rabbitmq, mongodb, settings }
    }

    /// Starts a worker and waits until it takes jobs.
    pub async fn worker(&self, more: &[(&str, &str)]) -> Worker {
        let mut worker = self.spawn("aura-worker", None, more);
        worker.takes_jobs().await;
        worker
    }

    /// Starts a worker that speaks to the services through proxies, and waits until it takes jobs.
    pub async fn worker_behind(&self, proxies: &Proxies, more: &[(&str, &str)]) -> Worker {
        let mut worker = self.spawn("aura-worker", Some(proxies), more);
        worker.takes_jobs().await;
        worker
    }

    /// Starts a worker of the build with failpoints, at one of them.
    pub fn worker_with_failpoint(&self, failpoint: &str, more: &[(&str, &str)]) -> Worker {
        let more: Vec<_> = more.iter().copied().chain([("AURA_TEST_FAILPOINT", failpoint)]).collect();
        self.spawn("aura-worker-failpoints", None, &more)
    }

    /// Starts a worker program without waiting for it.
    pub fn spawn(&self, program: &str, proxies: Option<&Proxies>, more: &[(&str, &str)]) -> Worker {
        let number = self.workers.fetch_add(1, Ordering::Relaxed) + 1;
        let logs = self.path().join("logs").join(format!("worker-{number}"));
        std::fs::create_dir(&logs).expect("a folder");
        let through = proxies.map_or(&[][..], |proxies| &proxies.settings);
        let mut settings: Vec<_> = self.settings.iter().chain(through).cloned().collect();
        settings.push(("AURA_LOG_DIR".to_owned(), logs.display().to_string()));
        settings.push(("AURA_WORKER_NAME".to_owned(), format!("worker-{number}")));
        settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Worker::spawn(command(program, self.path(), &settings), logs.join("stdout"))
    }

    /// Runs the producer to its end and returns its exit code, output and errors.
    pub async fn run_producer(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = command("aura-producer", self.path(), &self.settings);
        command.args(arguments);
        let said = run(command, Duration::from_secs(120)).await;
        (said.code, said.stdout, said.stderr)
    }

    /// Runs the producer, which must succeed.
    ///
    /// # Panics
    /// If it does not.
    pub async fn producer(&self, arguments: &[&str]) -> String {
        let (code, told, errors) = self.run_producer(arguments).await;
        assert_eq!(code, 0, "aura-producer {arguments:?}:\n{told}\n{errors}");
        told
    }

    /// The folder of this site.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until the site goes").path()
    }

    /// Leaves everything as it is when the site goes; returns where it is.
    pub fn keep(&mut self) -> String {
        let folder = self.folder.take().map(TempDir::keep).unwrap_or_default();
        format!("databases and virtual host {}, folder {}", self.name, folder.display())
    }

    /// The address of its virtual host.
    pub fn amqp(&self) -> Url {
        at(&self.services.stack.amqp, &self.name)
    }

    /// The name of its databases and virtual host.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes a file below the site's folder, so that a reader sees all of it or nothing.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        let partial = path.with_extension("partial");
        std::fs::write(&partial, content).expect("a file can be written");
        std::fs::rename(&partial, &path).expect("a file can be moved");
        path
    }

    /// Publishes a job until it is confirmed, and enters it in the book.
    pub async fn publish(&self, publication: Publication) -> Uuid {
        self.publish_with(publication, BasicProperties::default()).await
    }

    /// The same with properties.
    pub async fn publish_with(&self, publication: Publication, properties: BasicProperties) -> Uuid {
        let (id, body) = (publication.job_id, publication.body.clone());
        self.book.enter(publication);
        self.client.publish(body.as_bytes(), properties).await;
        id
    }

    /// The rows of a query; none if PostgreSQL does not answer.
    pub async fn rows(&self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Option<Vec<Row>> {
        query(&at(&self.services.stack.postgres, &self.name), statement, values).await
    }

    /// A count; none if PostgreSQL does not answer.
    pub async fn count(&self, statement: &str) -> Option<i64> {
        Some(self.rows(statement, &[]).await?.first()?.get(0))
    }

    /// Waits until a count is so much.
    pub async fn counts(&self, statement: &str, number: i64, limit: Duration) {
        let what = format!("{statement} is {number}");
        until(&what, limit, async || (self.count(statement).await == Some(number)).then_some(())).await;
    }

    /// The run of a job as JSON.
    pub async fn run(&self, job_id: Uuid) -> Value {
        let statement = "SELECT row_to_json(r)::text FROM ingestion_runs r WHERE job_id = $1";
        let rows = self.rows(statement, &[&job_id]).await.expect("PostgreSQL answers");
        rows.first().map_or(Value::Null, |row| serde_json::from_str(row.get(0)).expect("JSON"))
    }

    /// A session of its own in the site's database.
    pub async fn session(&self) -> tokio_postgres::Client {
        let url = at(&self.services.stack.postgres, &self.name);
        session(&url).await.expect("PostgreSQL answers")
    }
}

async fn query(url: &Url, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Option<Vec<Row>> {
    let ask = async {
        let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await.ok()?;
        let serving = tokio::spawn(connection);
        let rows = client.query(statement, values).await.ok();
        drop(client);
        let _ = serving.await;
        rows
    };
    tokio::time::timeout(QUERY, ask).await.ok()?
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let folder = self.folder.take().map(TempDir::keep);
            eprintln!("kept: {} and {folder:?}", self.name);
            return;
        }
        if self.folder.is_none() {
            return;
        }
        // What remains disturbs no other site.
        let _ = self.services.stack.remove_at_the_end(&self.name);
    }
}
