//! The floor: what PostgreSQL takes for the rows alone.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::Client;

use super::{files::File, machine::Machine};
use crate::{
    stack::{answered, session},
    world::{Steady, World},
};

/// PostgreSQL without Aura: a table with the same key, in the same database.
pub struct Floor {
    session: Client,
    url: String,
    psql: String,
}

impl Floor {
    /// A floor in the database of a world.
    pub async fn new(world: &World<Steady>, machine: &Machine) -> Self {
        let url: url::Url = world.setting("AURA_POSTGRES_URL").parse().expect("a URL");
        Self { session: answered(session(&url).await), url: url.to_string(), psql: machine.psql().to_owned() }
    }

    /// What `psql \copy` takes for files, each in a transaction of its own, in so many sessions at a time.
    ///
    /// # Panics
    /// If it fails.
    pub async fn copy(&self, files: &[File], sessions: usize) -> Duration {
        let columns = self.table("copied", files.first().expect("a file")).await;
        let shares: Vec<Vec<&File>> =
            (0..sessions).map(|share| files.iter().skip(share).step_by(sessions).collect()).collect();
        let began = Instant::now();
        let running: Vec<_> = shares
            .iter()
            .map(|share| {
                let mut command = Command::new(&self.psql);
                command.args(["-qX", "-v", "ON_ERROR_STOP=1", &self.url]).stdin(Stdio::null());
                for file in share {
                    let copy =
                        format!("\\copy copied ({columns}) FROM '{}' WITH (FORMAT csv, HEADER)", file.path.display());
                    command.args(["-c", &copy]);
                }
                command.spawn().expect("psql starts")
            })
            .collect();
        for mut psql in running {
            assert!(psql.wait().expect("psql ends").success(), "psql failed");
        }
        let took = began.elapsed();
        let rows: i64 = self.session.query_one("SELECT count(*) FROM copied", &[]).await.expect("the rows").get(0);
        assert_eq!(rows as u64, files.iter().map(|file| file.rows).sum::<u64>(), "psql copied every row");
        self.drop_table("copied").await;
        took
    }

    /// What a COPY of a small file takes, in a session that is there, to its commit. Each file goes into a table that
    /// holds others.
    ///
    /// # Panics
    /// If it fails.
    pub async fn copy_in_session(&self, file: &File) -> Duration {
        let columns = header(file);
        let exists = "SELECT to_regclass('copied') IS NOT NULL";
        if !self.session.query_one(exists, &[]).await.expect("an answer").get::<_, bool>(0) {
            self.table("copied", file).await;
        }
        let bytes = Bytes::from(fs::read(&file.path).expect("the file is there"));
        let began = Instant::now();
        let rows = self.send("copied", &columns, bytes).await;
        let took = began.elapsed();
        assert_eq!(rows, file.rows);
        took
    }

    /// Makes a table that holds files and nothing else, so that what another program loaded can be compared with it.
    ///
    /// # Panics
    /// If it fails.
    pub async fn fill(&self, name: &str, files: &[File]) {
        let columns = self.table(name, files.first().expect("a file")).await;
        for file in files {
            let bytes = Bytes::from(fs::read(&file.path).expect("the file is there"));
            assert_eq!(self.send(name, &columns, bytes).await, file.rows);
        }
    }

    /// Copies a file's bytes into a table; returns how many rows they were.
    async fn send(&self, name: &str, columns: &str, bytes: Bytes) -> u64 {
        let statement = format!("COPY {name} ({columns}) FROM STDIN WITH (FORMAT csv, HEADER)");
        let sink = self.session.copy_in(&statement).await.expect("a copy begins");
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes).await.expect("a copy goes on");
        sink.finish().await.expect("a copy ends")
    }

    /// Makes a table with the key for files of one form, in place of one that is there; returns the names of its
    /// columns.
    ///
    /// # Panics
    /// If it fails.
    pub async fn table(&self, name: &str, file: &File) -> String {
        let header = header(file);
        let amounts = ["balance", "balance_carryforward", "debit_period", "credit_period"];
        let kind = |name: &str| if amounts.contains(&name) { "numeric" } else { "text" };
        let columns: Vec<_> = header.split(',').map(|name| format!("{name} {}", kind(name))).collect();
        self.drop_table(name).await;
        let table = format!(
            "CREATE TABLE {name} ({}, PRIMARY KEY (entity, period, company_code, account_code))",
            columns.join(", ")
        );
        self.session.batch_execute(&table).await.expect("a table can be made");
        header
    }

    async fn drop_table(&self, name: &str) {
        let drop = format!("SET client_min_messages = warning; DROP TABLE IF EXISTS {name}");
        self.session.batch_execute(&drop).await.expect("a table can be dropped");
    }
}

/// The names of a file's columns, as its first line has them.
///
/// # Panics
/// If the file cannot be read.
pub fn header(file: &File) -> String {
    let reader = BufReader::new(fs::File::open(&file.path).expect("the file is there"));
    reader.lines().next().expect("a header").expect("text")
}
