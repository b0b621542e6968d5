//! Outages: what does not answer, who waits for it, and when it is back.

use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::Pool;
use futures_util::future::join_all;
use rustix::io::Errno;
use shared::{
    roots::Root,
    stores::{
        object_store::{ObjectError, Store},
        postgres::{self, PostgresError},
    },
    telemetry,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{run::claim, services::Services};

/// How often is asked whether everything answers.
const INTERVAL: Duration = Duration::from_secs(1);
/// In how many rounds of that the queue of jobs is looked at once.
const LOOK_AT_QUEUE: u64 = 10;
/// How long an input root may take to answer.
const ROOT_TIMEOUT: Duration = Duration::from_secs(2);

/// Descriptors that must be free for jobs to go on.
const FREE_DESCRIPTORS: usize = 16;

/// What does not answer at present.
pub(crate) struct Outages {
    postgres_away: watch::Sender<bool>,
    /// Whether this process has no descriptors or memory left.
    exhausted: watch::Sender<bool>,
    roots_away: Mutex<BTreeSet<Root>>,
    /// Claims of jobs that were given back while PostgreSQL could not be told.
    unreleased: Mutex<Vec<Uuid>>,
}

impl Default for Outages {
    fn default() -> Self {
        Self {
            postgres_away: watch::Sender::new(false),
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

    fn watch_descriptors(&self) {
        if self.is_exhausted() && self.probe_descriptors().is_ok() {
            self.exhausted.send_replace(false);
            tracing::info!("this worker has descriptors and memory again; jobs go on");
        }
    }

    /// Notes that PostgreSQL failed in a way that it may be away.
    pub(crate) fn postgres_failed(&self, error: &PostgresError) {
        // A process that cannot open a socket says nothing about who would answer.
        if is_exhaustion(error) {
            return self.note_exhausted(&telemetry::chain(error));
        }
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

    /// Keeps a claim to be given back once PostgreSQL answers.
    pub(crate) fn release_later(&self, claim: Uuid) {
        self.unreleased.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
    }

    /// Whether an input root is away.
    pub(crate) fn root_is_away(&self, root: &Root) -> bool {
        self.roots_away.lock().unwrap_or_else(PoisonError::into_inner).contains(root)
    }

    /// Notes that an input root does not answer.
    pub(crate) fn root_failed(&self, root: &Root) {
        self.root_failed_because(root, "it cannot be read");
    }

    fn root_failed_because(&self, root: &Root, reason: &str) {
        if self.roots_away.lock().unwrap_or_else(PoisonError::into_inner).insert(root.clone()) {
            tracing::error!(%root, reason, "the input root does not answer; its jobs are paused until it does");
        }
    }

    /// The input roots that are away.
    pub(crate) fn roots_away(&self) -> Vec<Root> {
        self.roots_away.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    async fn watch_postgres(&self, pool: &Pool) {
        if self.probe_postgres(pool).await.is_err() || !self.postgres_is_away() && self.nothing_to_release() {
            return;
        }
        let claims = std::mem::take(&mut *self.unreleased.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = claim::release(pool, &claims).await {
            self.unreleased.lock().unwrap_or_else(PoisonError::into_inner).extend(claims);
            self.postgres_failed(&error);
        } else if self.postgres_away.send_replace(false) {
            tracing::info!("PostgreSQL answers again; jobs go on");
        }
    }

    fn nothing_to_release(&self) -> bool {
        self.unreleased.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Asks an input root whether it answers, and notes it if it does not.
    pub(crate) async fn probe_root(&self, root: &Root) -> bool {
        match root {
            Root::Folder(path) => {
                let path = path.clone();
                let look = tokio::task::spawn_blocking(move || path.is_dir());
                let answers = matches!(tokio::time::timeout(ROOT_TIMEOUT, look).await, Ok(Ok(true)));
                if !answers {
                    self.root_failed(root);
                }
                answers
            }
            Root::Store(store) => {
                let answer = probe_store(store).await;
                if let Err(trouble) = &answer {
                    self.root_failed_because(root, &trouble.to_string());
                }
                answer.is_ok()
            }
        }
    }

    /// Waits until an input root is away.
    pub(crate) async fn until_root_down(&self, root: &Root) {
        while !self.root_is_away(root) {
            tokio::time::sleep(INTERVAL / 2).await;
        }
    }

    fn root_answered(&self, root: &Root) {
        if self.roots_away.lock().unwrap_or_else(PoisonError::into_inner).remove(root) {
            tracing::info!(%root, "the input root answers again; its jobs go on");
        }
    }

    /// Asks one input root again and again whether it answers.
    async fn watch_root(&self, root: &Root) {
        loop {
            match root {
                Root::Folder(path) => self.look_at_folder(root, path).await,
                Root::Store(_) => {
                    if self.probe_root(root).await {
                        self.root_answered(root);
                    }
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Asks a folder whether it answers. One that hangs is asked once until it does, so that threads do
    /// not pile up behind it.
    async fn look_at_folder(&self, root: &Root, path: &Path) {
        let path = path.to_owned();
        let mut look = tokio::task::spawn_blocking(move || path.is_dir());
        let answer = match tokio::time::timeout(ROOT_TIMEOUT, &mut look).await {
            Ok(answer) => answer,
            Err(_) => {
                self.root_failed(root);
                look.await
            }
        };
        if answer.unwrap_or(false) {
            self.root_answered(root);
        } else {
            self.root_failed(root);
        }
    }
}

/// Whether an error means that this process or its machine has no descriptors or memory left.
pub(crate) fn is_exhaustion(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
        if code.is_some_and(|code| exhausted.contains(&code)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Asks an object store whether it answers, within the time that a root has.
async fn probe_store(store: &Store) -> Result<(), ObjectError> {
    let late = || Err(ObjectError::Away("did not answer in time".to_owned()));
    tokio::time::timeout(ROOT_TIMEOUT, store.probe()).await.unwrap_or_else(|_| late())
}

/// Asks again and again whether everything answers, until told to stop.
pub(crate) async fn watch(services: Arc<Services>, stop: CancellationToken) {
    let outages = &services.outages;
    let postgres = async {
        loop {
            outages.watch_descriptors();
            outages.watch_postgres(&services.pool).await;
            if !outages.postgres_is_away() {
                // The reading that there is goes on to hold.
                let _ = services.clock.read(&services.pool).await;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let roots = join_all(services.roots.all().iter().map(|root| outages.watch_root(root)));
    let broker = async {
        let mut rounds = 0_u64..;
        loop {
            tokio::time::sleep(INTERVAL).await;
            // The consumer's supervisor tells of a broker that is away; this only keeps up with it.
            let _ = services.publisher.ensure_connected().await;
            if rounds.next().is_some_and(|round| round % LOOK_AT_QUEUE == 0) {
                let could_take = services.metrics.running() < services.places && !outages.postgres_is_away();
                let waiting = services.publisher.depth(&services.topology.jobs).await;
                services.progress.jobs_wait(could_take && waiting.is_ok_and(|waiting| waiting > 0));
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = postgres => {}
        _ = roots => {}
        () = broker => {}
    }
}
