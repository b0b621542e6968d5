//! A world whose services may be broken: one session of PostgreSQL for each query, a client that publishes
//! until it is confirmed, and a book of what was published.

use std::{path::PathBuf, time::Duration};

use lapin::BasicProperties;
use serde_json::Value;
use tokio_postgres::{NoTls, Row, types::ToSql};
use url::Url;
use uuid::Uuid;

use super::{Ground, PRODUCER, Rest, World, write_whole};
use crate::{
    faults::{
        book::{Book, Publication},
        client::Client,
        proxy::Proxy,
        services::Services,
    },
    program::{command, command_of, run},
    stack::{at, session},
    wait::until,
    worker::Worker,
};

/// How many of the first workers are of another release, where there is one.
const FIRST_OF_OTHER: u32 = 3;
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

/// Clients of services that may be broken, and go on when these are back.
pub struct Shaken {
    /// The services.
    pub services: Services,
    /// The client that publishes here.
    pub client: Client,
    /// What was published here.
    pub book: Book,
    /// The folder of the programs of another release, of which some workers are.
    other_release: Option<PathBuf>,
}

impl World<Shaken> {
    /// A new world with schema and topology, in which nothing runs yet.
    ///
    /// # Panics
    /// If the services do not let it be made.
    pub async fn new(services: &Services) -> Self {
        Self::beside(services, None).await
    }

    /// The same with the schema of another release, whose programs are in this folder. The first workers are of it,
    /// and then every other one.
    ///
    /// # Panics
    /// If the services, or those programs, do not let it be made.
    pub async fn beside(services: &Services, other_release: Option<PathBuf>) -> Self {
        let ground = Ground::new(&services.stack, "aura_f_", &["in", "other"], "").await;
        let client = Client::connect(ground.amqp().as_str()).await;
        let shaken = Shaken { services: services.clone(), client, book: Book::default(), other_release };
        let world = ground.with(shaken, Rest::MayStay);
        for verb in ["migrate", "topology"] {
            let mut command = match &world.other_release {
                Some(folder) => command_of(&folder.join("aura-producer"), world.path(), &world.settings),
                None => command("aura-producer", world.path(), &world.settings),
            };
            command.arg(verb);
            run(command, PRODUCER).await.expect(0);
        }
        world
    }

    /// Proxies before the services, as workers see them.
    pub async fn proxies(&self) -> Proxies {
        let (postgres, to_postgres) = Proxy::before(&at(&self.stack.postgres, &self.name)).await;
        let (rabbitmq, to_rabbitmq) = Proxy::before(&at(&self.stack.amqp, &self.name)).await;
        let mongodb = at(&self.stack.mongodb, &self.name);
        let (mongodb, to_mongodb) = match mongodb.port() {
            Some(_) => Proxy::before(&mongodb).await,
            // The members of a replica set say themselves where they are: workers go there.
            None => (Proxy::to(String::new()).await, mongodb),
        };
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
        let (number, logs) = self.next_worker();
        let through = proxies.map_or(&[][..], |proxies| &proxies.settings);
        let mut settings: Vec<_> = self.settings.iter().chain(through).cloned().collect();
        settings.push(("AURA_LOG_DIR".to_owned(), logs.display().to_string()));
        settings.push(("AURA_WORKER_NAME".to_owned(), format!("worker-{number}")));
        settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let is_other = program == "aura-worker" && (number <= FIRST_OF_OTHER || number % 2 == 0);
        let command = match &self.other_release {
            Some(folder) if is_other => command_of(&folder.join(program), self.path(), &settings),
            Some(_) | None => command(program, self.path(), &settings),
        };
        Worker::spawn(command, logs.join("stdout"))
    }

    /// Runs the producer, which must succeed.
    ///
    /// # Panics
    /// If it does not.
    pub async fn producer(&self, arguments: &[&str]) -> String {
        let said = self.run_producer(arguments).await;
        assert_eq!(said.code, 0, "aura-producer {arguments:?}:\n{}\n{}", said.stdout, said.stderr);
        said.stdout
    }

    /// Writes a file below the world's folder, so that a reader sees all of it or nothing.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        write_whole(&path, content);
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
        query(&at(&self.stack.postgres, &self.name), statement, values).await
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

    /// A session of its own in the world's database.
    pub async fn session(&self) -> tokio_postgres::Client {
        let url = at(&self.stack.postgres, &self.name);
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
