//! Outages: what does not answer, who waits for it, and when it is back.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::Pool;
use shared::{
    roots::Root,
    stores::{
        object_store::{ObjectError, Store},
        postgres::{self, PostgresError},
    },
    telemetry,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::interruption::is_exhaustion;

/// How often a job that reads from an input root looks whether that is away.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long an input root may take to answer.
pub(crate) const ROOT_TIMEOUT: Duration = Duration::from_secs(2);
/// What is said of a folder that does not answer.
pub(crate) const HANGS: &str = "it has not answered for 2 s";
/// Descriptors that must be free for jobs to go on.
const FREE_DESCRIPTORS: usize = 16;

/// What does not answer at present.
pub(crate) struct Outages {
    postgres_away: watch::Sender<bool>,
    /// What PostgreSQL, or the way to it, said when it was last asked in vain.
    postgres_said: Mutex<String>,
    /// Whether this process has no descriptors or memory left.
    exhausted: watch::Sender<bool>,
    /// The input roots that are away, and why.
    roots_away: Mutex<BTreeMap<Root, String>>,
    /// Claims of jobs that were given back while PostgreSQL could not be told.
    unreleased: Mutex<Vec<Uuid>>,
}

impl Default for Outages {
    fn default() -> Self {
        Self {
            postgres_away: watch::Sender::new(false),
            postgres_said: Mutex::default(),
            exhausted: watch::Sender::new(false),
            roots_away: Mutex::default(),
            unreleased: Mutex::default(),
        }
    }
}

impl Outages {
    /// Whether PostgreSQL is away.
    pub(crate) fn postgres_is_away(&self) -> bool {
        *self.postgres_away.borrow()
    }

    /// Why PostgreSQL is away, where it is: what it said, without passwords.
    pub(crate) fn postgres_outage(&self) -> Option<String> {
        self.postgres_is_away().then(|| self.postgres_said.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Waits until PostgreSQL is away, or this process is exhausted: no job can go on.
    pub(crate) async fn until_postgres_down(&self) {
        let (mut away, mut exhausted) = (self.postgres_away.subscribe(), self.exhausted.subscribe());
        // The senders live as long as this does.
        tokio::select! {
            _ = away.wait_for(|away| *away) => {}
            _ = exhausted.wait_for(|exhausted| *exhausted) => {}
        }
    }

    /// Waits until PostgreSQL answers, and this process is not exhausted.
    pub(crate) async fn until_postgres_up(&self) {
        let (mut away, mut exhausted) = (self.postgres_away.subscribe(), self.exhausted.subscribe());
        while *away.borrow_and_update() || *exhausted.borrow_and_update() {
            tokio::select! { _ = away.changed() => {}, _ = exhausted.changed() => {} }
        }
    }

    /// Whether this process has no descriptors or memory left.
    pub(crate) fn is_exhausted(&self) -> bool {
        *self.exhausted.borrow()
    }

    /// Notes that this process has no descriptors or memory left.
    pub(crate) fn note_exhausted(&self, reason: &str) {
        if !self.exhausted.send_replace(true) {
            tracing::error!(reason, "this worker has no descriptors or memory left; jobs are paused until it has");
        }
    }

    /// Asks whether this process can open files, and notes it if it cannot.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) fn probe_descriptors(&self) -> std::io::Result<()> {
        let opened: Result<Vec<File>, _> = (0..FREE_DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
        match opened {
            Err(error) if is_exhaustion(&error) => {
                self.note_exhausted(&error.to_string());
                Err(error)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Notes that PostgreSQL failed in a way that it may be away.
    pub(crate) fn postgres_failed(&self, error: &PostgresError) {
        // A process that cannot open a socket says nothing about who would answer.
        if is_exhaustion(error) {
            return self.note_exhausted(&telemetry::chain(error));
        }
        *self.postgres_said.lock().unwrap_or_else(PoisonError::into_inner) = telemetry::chain(error);
        if !self.postgres_away.send_replace(true) {
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "PostgreSQL does not answer; jobs are paused until it does");
        }
    }

    /// Asks PostgreSQL whether it answers, and notes it if it does not.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn probe_postgres(&self, pool: &Pool) -> Result<(), PostgresError> {
        let answer = postgres::probe(pool).await;
        if let Err(error) = &answer {
            self.postgres_failed(error);
        }
        answer
    }

    /// Notes that PostgreSQL answers again.
    pub(crate) fn postgres_answered(&self) {
        if self.postgres_away.send_replace(false) {
            tracing::info!("PostgreSQL answers again; jobs go on");
        }
    }

    /// Notes that this process can open files again.
    pub(crate) fn descriptors_are_free(&self) {
        self.exhausted.send_replace(false);
        tracing::info!("this worker has descriptors and memory again; jobs go on");
    }

    /// Keeps a claim to be given back once PostgreSQL answers.
    pub(crate) fn release_later(&self, claim: Uuid) {
        self.unreleased.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
    }

    /// The claims that are to be given back, which are not kept any longer.
    pub(crate) fn take_unreleased(&self) -> Vec<Uuid> {
        std::mem::take(&mut *self.unreleased.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether an input root is away.
    pub(crate) fn root_is_away(&self, root: &Root) -> bool {
        self.roots_away.lock().unwrap_or_else(PoisonError::into_inner).contains_key(root)
    }

    /// Notes that an input root does not answer.
    pub(crate) fn root_failed(&self, root: &Root, reason: &str) {
        let mut away = self.roots_away.lock().unwrap_or_else(PoisonError::into_inner);
        if away.insert(root.clone(), reason.to_owned()).is_none() {
            tracing::error!(%root, reason, "the input root does not answer; its jobs are paused until it does");
        }
    }

    /// The input roots that are away, and why.
    pub(crate) fn roots_away(&self) -> BTreeMap<Root, String> {
        self.roots_away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks an input root whether it answers, and notes it if it does not.
    pub(crate) async fn probe_root(&self, root: &Root) -> bool {
        match root {
            Root::Folder(path) => {
                let path = path.clone();
                let look = tokio::task::spawn_blocking(move || look_at_folder(&path));
                let answer = match tokio::time::timeout(ROOT_TIMEOUT, look).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) | Err(_) => Err(HANGS.to_owned()),
                };
                if let Err(reason) = &answer {
                    self.root_failed(root, reason);
                }
                answer.is_ok()
            }
            Root::Store(store) => {
                let answer = probe_store(store).await;
                if let Err(trouble) = &answer {
                    self.root_failed(root, &trouble.to_string());
                }
                answer.is_ok()
            }
        }
    }

    /// Waits until an input root is away.
    pub(crate) async fn until_root_down(&self, root: &Root) {
        while !self.root_is_away(root) {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Notes that an input root answers again.
    pub(crate) fn root_answered(&self, root: &Root) {
        if self.roots_away.lock().unwrap_or_else(PoisonError::into_inner).remove(root).is_some() {
            tracing::info!(%root, "the input root answers again; its jobs go on");
        }
    }
}

/// Looks whether a folder is there.
///
/// # Errors
/// Why it is not.
pub(crate) fn look_at_folder(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err("it is not a folder".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks an object store whether it answers, within the time that a root has.
pub(crate) async fn probe_store(store: &Store) -> Result<(), ObjectError> {
    let late = || Err(ObjectError::Away("did not answer in time".to_owned()));
    tokio::time::timeout(ROOT_TIMEOUT, store.probe()).await.unwrap_or_else(|_| late())
}
