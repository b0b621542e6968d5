//! Other programs that load the same files: how each is called, each as a process of its own, as its users call it.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Bench, files::File, floor::header};
use crate::checkout::checkout;

/// Where all of them load the rows: a table with Aura's key.
pub const TABLE: &str = "rivals.loaded";
/// How long one may take for its files.
const LIMIT: Duration = Duration::from_secs(300);
/// The columns of the key.
const KEY: [&str; 4] = ["entity", "period", "company_code", "account_code"];

/// What a program is to do with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Load them into an empty table.
    First,
    /// Load later ones of the same slices over those that are there.
    Again,
}

/// A program that people load files into PostgreSQL with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// `psql \copy` into a temporary table, and one INSERT ... ON CONFLICT DO UPDATE out of it.
    PsqlMerge,
    /// A script of a few lines of Python: many rows to an INSERT ... ON CONFLICT DO UPDATE.
    Script,
    /// dlt, which hands the files to COPY without reading them.
    DltFiles,
    /// dlt, which reads the files into Arrow tables.
    DltArrow,
    /// pgloader.
    Pgloader,
}

impl Rival {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::PsqlMerge, Self::Script, Self::DltFiles, Self::DltArrow, Self::Pgloader];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::PsqlMerge => "psql, staged and merged",
            Self::Script => "Python, INSERT ON CONFLICT",
            Self::DltFiles => "dlt, files as they are",
            Self::DltArrow => "dlt, Arrow tables",
            Self::Pgloader => "pgloader",
        }
    }

    /// Why it cannot do a task, if it cannot.
    pub fn refusal(self, task: Task) -> Option<&'static str> {
        let cannot = self == Self::Pgloader && task == Task::Again;
        cannot.then_some("it cannot: it has no merge, and gives up where a row is there already")
    }

    /// Its name in what `deploy/bench.d/rivals` says, if that installs it.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::PsqlMerge => None,
            Self::Script => Some("script"),
            Self::DltFiles | Self::DltArrow => Some("dlt"),
            Self::Pgloader => Some("pgloader"),
        }
    }
}

/// What it takes to run them.
pub struct Rivals {
    url: String,
    psql: String,
    /// Where deploy/bench.d/rivals has installed them.
    home: PathBuf,
    /// Where they keep what they write beside the database.
    work: PathBuf,
}

impl Rivals {
    /// The rivals in the database of a bench.
    ///
    /// # Panics
    /// If they can have no folder or no schema.
    pub async fn of(bench: &Bench) -> Self {
        let work = bench.world.path().join("rivals");
        fs::create_dir(&work).expect("a folder");
        let url = bench.world.setting("AURA_POSTGRES_URL").to_owned();
        let home = checkout().join(".local/bench/rivals");
        Self { url, psql: bench.machine.psql().to_owned(), home, work }
    }

    /// Why a rival cannot be run here, if it cannot.
    pub fn not_installed(&self, rival: Rival) -> Option<String> {
        let package = rival.package()?;
        let Ok(missing) = fs::read_to_string(self.home.join("not-installed")) else {
            return Some(format!("not installed: deploy/bench.d/rivals {} has not been run", self.home.display()));
        };
        let prefix = format!("{package}: ");
        let why = missing.lines().find_map(|line| line.strip_prefix(&prefix))?;
        Some(format!("not installed: {why}"))
    }

    /// Makes the table anew and forgets what rivals know of the last one.
    ///
    /// # Panics
    /// If the database does not do it.
    pub async fn reset(&self, bench: &Bench, file: &File) {
        let schemas = "SET client_min_messages = warning; DROP SCHEMA IF EXISTS rivals, rivals_staging CASCADE; \
                       CREATE SCHEMA rivals";
        bench.world.execute(schemas).await;
        bench.floor.table(TABLE, file).await;
        // It is not there before the first one.
        let _ = fs::remove_dir_all(&self.work);
        fs::create_dir(&self.work).expect("a folder");
    }

    /// What a rival takes for files, from the start of its process to its end; or why it failed.
    ///
    /// # Errors
    /// What it said last.
    pub async fn run(&self, rival: Rival, task: Task, files: &[File]) -> Result<Duration, String> {
        timed(self.command(rival, task, files)).await
    }

    /// What a rival takes to start and to end again, without any file.
    ///
    /// # Errors
    /// What it said last.
    pub async fn start_up(&self, rival: Rival) -> Result<Duration, String> {
        timed(match rival {
            Rival::PsqlMerge => command(&self.psql, &["--version"]),
            Rival::Script => self.python("upsert.py", &["--startup"]),
            Rival::DltFiles | Rival::DltArrow => self.python("dlt_load.py", &["--startup"]),
            Rival::Pgloader => command("pgloader", &["--version"]),
        })
        .await
    }

    fn command(&self, rival: Rival, task: Task, files: &[File]) -> Command {
        let disposition = match task {
            Task::First => "append",
            Task::Again => "merge",
        };
        match rival {
            Rival::PsqlMerge => self.psql_merge(files),
            Rival::Script => with_files(self.python("upsert.py", &[TABLE]), files),
            Rival::DltFiles => with_files(self.python("dlt_load.py", &["files", disposition, TABLE]), files),
            Rival::DltArrow => with_files(self.python("dlt_load.py", &["arrow", disposition, TABLE]), files),
            Rival::Pgloader => self.pgloader(files),
        }
    }

    fn psql_merge(&self, files: &[File]) -> Command {
        let columns = header(files.first().expect("a file"));
        let mut psql = command(&self.psql, &["-qX", "-v", "ON_ERROR_STOP=1", &self.url]);
        psql.args(["-c", &format!("CREATE TEMPORARY TABLE staged (LIKE {TABLE})")]);
        for file in files {
            let copy = format!("\\copy staged ({columns}) FROM '{}' WITH (FORMAT csv, HEADER)", file.path.display());
            psql.args(["-c", &copy, "-c", &format!("{}; TRUNCATE staged", merge(&columns))]);
        }
        psql
    }

    /// pgloader takes all files of a folder: these must be alone in theirs.
    fn pgloader(&self, files: &[File]) -> Command {
        let folder = files.first().and_then(|file| file.path.parent()).expect("a file in a folder");
        let mut pgloader = command("pgloader", &["--quiet", "--root-dir"]);
        pgloader.arg(&self.work).arg(checkout().join("deploy/bench.d/pgloader.load"));
        pgloader.env("DATABASE_URL", &self.url).env("FOLDER", folder).env("TABLE", TABLE);
        pgloader
    }

    fn python(&self, script: &str, arguments: &[&str]) -> Command {
        // -B: it leaves no compiled files beside the scripts.
        let mut python = command(self.home.join("python/bin/python"), &["-B"]);
        python.arg(checkout().join("deploy/bench.d").join(script)).args(arguments);
        python.env("DATABASE_URL", &self.url).env("PIPELINES_DIR", &self.work);
        python
    }
}

/// Writes what is staged over what is there, but leaves a row alone that is the same.
fn merge(columns: &str) -> String {
    let others: Vec<&str> = columns.split(',').filter(|name| !KEY.contains(name)).collect();
    let of = |table: &str| others.iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO {TABLE} AS loaded ({columns}) SELECT {columns} FROM staged ON CONFLICT ({}) \
         DO UPDATE SET ({}) = ROW({}) WHERE ROW({}) IS DISTINCT FROM ROW({})",
        KEY.join(", "),
        others.join(", "),
        of("excluded"),
        of("loaded"),
        of("excluded")
    )
}

fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn with_files(mut command: Command, files: &[File]) -> Command {
    command.args(files.iter().map(|file| &file.path));
    command
}

async fn timed(command: Command) -> Result<Duration, String> {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(Stdio::null());
    let began = Instant::now();
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Err(_) => return Err(format!("stopped: it had not ended after {} s", LIMIT.as_secs())),
        Ok(Err(error)) => return Err(format!("does not start: {error}")),
        Ok(Ok(output)) => output,
    };
    let took = began.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(format!("failed ({}): {}", output.status, last.trim()))
}
