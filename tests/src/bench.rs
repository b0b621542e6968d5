//! Measures: what Aura takes for a piece of work, with the floor of the same rows beside it in the same run.
//!
//! The floor is what PostgreSQL takes for the rows alone: a COPY into a table with the same key. It alternates with
//! the work, so that a machine that is busy for a while slows both.

pub mod client;
pub mod figures;
pub mod files;
pub mod floor;
pub mod machine;
pub mod picture;
pub mod reference;
pub mod rivals;
mod scenarios;
pub mod spent;

pub use scenarios::{SCENARIOS, Scenario};

use std::path::PathBuf;

use crate::{
    bench::{client::Client, floor::Floor, machine::Machine},
    worker::Worker,
    world::{Steady, World},
};

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Rows of the large file.
    pub rows: u64,
    /// How often small files are measured.
    pub times: u64,
    /// How often the others are measured.
    pub large_times: u64,
    /// Entities of a month-end.
    pub entities: u64,
    /// Rows of the file that is loaded by other programs, too.
    pub rival_rows: u64,
    /// Rows of the ledger that a month-end is loaded beside.
    pub growth_rows: u64,
}

/// One scenario's services, and what it measures with.
pub struct Bench {
    /// How much is measured.
    pub extent: Extent,
    /// The machine's processes.
    pub machine: Machine,
    /// PostgreSQL alone.
    pub floor: Floor,
    /// Who publishes and waits.
    pub client: Client,
    world: World<Steady>,
}

impl Bench {
    /// New databases and a new virtual host; no worker runs yet.
    pub async fn new(extent: &Extent) -> Self {
        let world = World::<Steady>::new().await;
        let machine = Machine::here();
        let floor = Floor::new(&world, &machine).await;
        let client = Client::connect(world.amqp().as_str()).await;
        Self { extent: extent.clone(), machine, floor, client, world }
    }

    /// Starts so many workers.
    pub async fn workers(&self, number: usize) -> Vec<Worker> {
        let mut workers = Vec::new();
        for _ in 0..number {
            workers.push(self.world.worker(&[]).await);
        }
        workers
    }

    /// A path below the input root.
    pub fn input(&self, name: &str) -> PathBuf {
        self.world.input(name)
    }

    /// The address of the broker.
    pub fn amqp(&self) -> String {
        self.world.amqp().to_string()
    }

    /// Runs statements in the ledger's database.
    pub async fn execute(&self, statements: &str) {
        self.world.execute(statements).await;
    }

    /// One value of the ledger's database.
    pub async fn one<T>(&self, query: &str) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        self.world.one(query, &[]).await
    }

    /// Waits until everything that was committed has reached MongoDB and the cache.
    pub async fn settled(&self) {
        self.world.settled().await;
    }
}
