//! The book: what was published, and what each of it holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    amount::text,
    digest::sha256,
    required_columns::{HEADER, line},
};

/// One export of a slice: accounts and balances in units of 10⁻⁹.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The legal entity.
    pub entity: String,
    /// The period.
    pub period: String,
    /// The accounts in the order of the file.
    pub rows: Vec<(String, i128)>,
}

impl Export {
    /// An export of so many accounts, whose balances follow from a number.
    pub fn numbered(entity: &str, period: &str, accounts: u32, number: i128) -> Self {
        let row = |account: u32| (format!("{:06}", 1_000 + account), number * 1_000_000_000 + i128::from(account));
        Self { entity: entity.to_owned(), period: period.to_owned(), rows: (0..accounts).map(row).collect() }
    }

    /// The file.
    pub fn text(&self) -> String {
        let lines = self.rows.iter().map(|(code, balance)| line(&self.entity, &self.period, code, &text(*balance)));
        std::iter::once(HEADER.to_owned()).chain(lines).collect()
    }

    /// SHA-256 of the file.
    pub fn fingerprint(&self) -> String {
        sha256(self.text().as_bytes())
    }
}

/// What a message is.
#[derive(Debug, Clone)]
pub enum Content {
    /// A job whose file is good.
    Good(Export),
    /// A job that fails, with one of these codes.
    Failing(Vec<&'static str>),
    /// No job.
    Refused,
}

/// A message that was accepted, or will be.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The identity of the job.
    pub job_id: Uuid,
    /// The body.
    pub body: String,
    /// The body as JSON.
    pub message: Value,
    /// What it is.
    pub content: Content,
    /// Ways to end beside those that its content has: `cancelled`, or an error code.
    pub allowed: BTreeSet<&'static str>,
    /// When it was entered in the book.
    pub entered_at: DateTime<Utc>,
    /// Where a job without any time stands among those of its slice, which one publisher published one
    /// after the other, each once the one before was confirmed.
    pub place: Option<u64>,
    /// Whether its publisher let it expire: then it may lie among the dead as the broker put it there.
    pub expires: bool,
}

impl Publication {
    /// A job for a good file.
    pub fn of(file: &Path, export: &Export, more: Value) -> Self {
        Self::new(file, &export.entity, &export.period, more, Content::Good(export.clone()))
    }

    /// A job that fails with one of these codes.
    pub fn failing(file: &Path, entity: &str, period: &str, codes: &[&'static str], more: Value) -> Self {
        Self::new(file, entity, period, more, Content::Failing(codes.to_vec()))
    }

    /// A message that is not a job.
    pub fn refused(file: &Path, entity: &str, period: &str) -> Self {
        Self::new(file, entity, period, json!({"colour": "blue"}), Content::Refused)
    }

    fn new(file: &Path, entity: &str, period: &str, more: Value, content: Content) -> Self {
        let mut message = json!({"file": file, "entity": entity, "period": period, "job_id": Uuid::new_v4()});
        for (name, value) in more.as_object().into_iter().flatten() {
            message[name] = value.clone();
        }
        let job_id = message["job_id"].as_str().and_then(|id| id.parse().ok()).expect("a job_id");
        let (allowed, entered_at) = (BTreeSet::new(), Utc::now());
        let body = message.to_string();
        Self { job_id, body, message, content, allowed, entered_at, place: None, expires: false }
    }

    /// The same, which may also end so.
    #[must_use]
    pub fn or(mut self, outcome: &'static str) -> Self {
        self.allowed.insert(outcome);
        self
    }

    /// Its slice.
    pub fn slice(&self) -> (String, String) {
        let text = |name: &str| self.message[name].as_str().unwrap_or_default().to_owned();
        (text("entity"), text("period"))
    }

    /// When its file was exported, if the message says so.
    pub fn exported_at(&self) -> Option<DateTime<Utc>> {
        self.message["exported_at"].as_str()?.parse().ok()
    }

    /// Whether it makes the slice exactly the file.
    pub fn replaces(&self) -> bool {
        self.message["mode"] == "replace"
    }
}

/// Everything that was published in a world.
#[derive(Debug, Default)]
pub struct Book {
    publications: Mutex<BTreeMap<Uuid, Publication>>,
    excepted: Mutex<BTreeSet<Uuid>>,
}

impl Book {
    /// Enters a publication; the same job again changes nothing.
    pub fn enter(&self, publication: Publication) {
        self.publications.lock().expect("the book").entry(publication.job_id).or_insert(publication);
    }

    /// Lets a job also end so.
    pub fn allow(&self, job_id: Uuid, outcome: &'static str) {
        if let Some(publication) = self.publications.lock().expect("the book").get_mut(&job_id) {
            publication.allowed.insert(outcome);
        }
    }

    /// The message lay in a queue that was deleted on purpose: it may be gone.
    pub fn except(&self, job_id: Uuid) {
        self.excepted.lock().expect("the book").insert(job_id);
    }

    /// Whether a job may be gone.
    pub fn is_excepted(&self, job_id: Uuid) -> bool {
        self.excepted.lock().expect("the book").contains(&job_id)
    }

    /// What was published, by job.
    pub fn all(&self) -> BTreeMap<Uuid, Publication> {
        self.publications.lock().expect("the book").clone()
    }

    /// The content of a job's file was put right, and the job will be replayed.
    pub fn mend(&self, job_id: Uuid, export: &Export) {
        if let Some(publication) = self.publications.lock().expect("the book").get_mut(&job_id) {
            publication.content = Content::Good(export.clone());
        }
    }
}
