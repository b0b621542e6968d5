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
        let columns = self.table(files.first().expect("a file")).await;
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
        self.drop_table().await;
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
            self.table(file).await;
        }
        let bytes = Bytes::from(fs::read(&file.path).expect("the file is there"));
        let statement = format!("COPY copied ({columns}) FROM STDIN WITH (FORMAT csv, HEADER)");
        let began = Instant::now();
        let sink = self.session.copy_in(&statement).await.expect("a copy begins");
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes).await.expect("a copy goes on");
        let rows = sink.finish().await.expect("a copy ends");
        let took = began.elapsed();
        assert_eq!(rows, file.rows);
        took
    }

    /// Makes the table for files of one form; returns the names of its columns.
    async fn table(&self, file: &File) -> String {
        let header = header(file);
        let amounts = ["balance", "balance_carryforward", "debit_period", "credit_period"];
        let kind = |name: &str| if amounts.contains(&name) { "numeric" } else { "text" };
        let columns: Vec<_> = header.split(',').map(|name| format!("{name} {}", kind(name))).collect();
        self.drop_table().await;
        let table = format!(
            "CREATE TABLE copied ({}, PRIMARY KEY (entity, period, company_code, account_code))",
            columns.join(", ")
        );
        self.session.batch_execute(&table).await.expect("a table can be made");
        header
    }

    async fn drop_table(&self) {
        let drop = "SET client_min_messages = warning; DROP TABLE IF EXISTS copied";
        self.session.batch_execute(drop).await.expect("a table can be dropped");
    }
}

fn header(file: &File) -> String {
    let reader = BufReader::new(fs::File::open(&file.path).expect("the file is there"));
    reader.lines().next().expect("a header").expect("text")
}
