//! Probes: asks again and again whether everything that jobs need answers.

use std::{path::Path, sync::Arc, time::Duration};

use rustix::fs::Access;

use deadpool_postgres::Pool;
use futures_util::future::join_all;
use shared::{roots::Root, stores::cache::CacheStore};
use tokio_util::sync::CancellationToken;

use crate::{
    outage::{self, HANGS, Outages, ROOT_TIMEOUT},
    run::ownership,
    services::Services,
};

/// How often is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// In how many rounds of that the queue of jobs is looked at once.
const LOOK_AT_QUEUE: u64 = 10;
/// How often the places are looked at that jobs can do without.
const LOOK_AT_PLACES: Duration = Duration::from_secs(10);
/// The places, as a person would call them.
pub(crate) const CACHE: &str = "the Parquet cache";
pub(crate) const PROFILES: &str = "the folder of mapping profiles";
/// In how many rounds of that the settings of PostgreSQL are looked at once.
const LOOK_AT_DURABILITY: u64 = 10;

/// Asks again and again whether everything answers, until told to stop.
pub(crate) async fn watch(services: Arc<Services>, stop: CancellationToken) {
    let outages = &services.outages;
    let postgres = async {
        let mut rounds = 0_u64..;
        loop {
            watch_descriptors(outages);
            watch_postgres(outages, &services.pool).await;
            if !outages.postgres_is_away() {
                // The reading that there is goes on to hold.
                let _ = services.clock.read(&services.pool).await;
                if rounds.next().is_some_and(|round| round % LOOK_AT_DURABILITY == 0)
                    && let Err(error) = services.durability.look(&services.pool).await
                {
                    tracing::debug!(error = &error as &dyn std::error::Error, "PostgreSQL's settings cannot be read");
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let roots = join_all(services.roots.all().iter().map(|root| watch_root(outages, root)));
    let broker = async {
        let mut rounds = 0_u64..;
        loop {
            tokio::time::sleep(INTERVAL).await;
            // The consumer's supervisor tells of a broker that is away; this only keeps up with it.
            let _ = services.publisher.ensure_connected().await;
            if rounds.next().is_some_and(|round| round % LOOK_AT_QUEUE == 0) {
                look_at_queues(&services).await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = postgres => {}
        _ = roots => {}
        () = broker => {}
        () = watch_places(&services) => {}
    }
}

/// Notes how much lies in the queues, and whether nobody takes it.
async fn look_at_queues(services: &Services) {
    let could_take = services.metrics.running() < services.places && !services.outages.postgres_is_away();
    let mut waits = false;
    for queue in [&services.topology.jobs, &services.topology.dead] {
        if let Ok(messages) = services.publisher.depth(queue).await {
            services.progress.depth(queue, messages.into());
            waits |= *queue == services.topology.jobs && messages > 0;
        }
    }
    services.progress.jobs_wait(could_take && waits);
}

/// Looks again and again at what jobs can do without: nobody would notice before it is missed.
async fn watch_places(services: &Services) {
    let profiles = async {
        loop {
            let folder = services.sources.folder().to_owned();
            let look =
                move || outage::look_at_folder(&folder).map_err(|reason| format!("{}: {reason}", folder.display()));
            ask_folder(look, |answer| services.faults.note(PROFILES, answer)).await;
            tokio::time::sleep(LOOK_AT_PLACES).await;
        }
    };
    let cache = async {
        loop {
            match services.cache.clone() {
                CacheStore::Folder(folder) => {
                    ask_folder(move || look_at_cache(&folder), |answer| services.faults.note(CACHE, answer)).await;
                }
                CacheStore::Objects(store) => {
                    let answer = outage::probe_store(&store).await.map_err(|error| error.to_string());
                    services.faults.note(CACHE, answer);
                }
            }
            tokio::time::sleep(LOOK_AT_PLACES).await;
        }
    };
    tokio::join!(profiles, cache);
}

/// Looks whether files can be made in the cache's folder, or the folder itself where it is not there yet.
fn look_at_cache(folder: &Path) -> Result<(), String> {
    let there = folder.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(folder);
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", there.display());
    outage::look_at_folder(there).map_err(|error| told(&error))?;
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| told(&error))
}

fn watch_descriptors(outages: &Outages) {
    if outages.is_exhausted() && outages.probe_descriptors().is_ok() {
        outages.descriptors_are_free();
    }
}

/// Gives back the claims that were kept, once PostgreSQL answers, and only then lets jobs go on.
async fn watch_postgres(outages: &Outages, pool: &Pool) {
    if outages.probe_postgres(pool).await.is_err() {
        return;
    }
    let claims = outages.take_unreleased();
    if claims.is_empty() && !outages.postgres_is_away() {
        return;
    }
    if let Err(error) = ownership::release(pool, &claims).await {
        claims.into_iter().for_each(|claim| outages.release_later(claim));
        outages.postgres_failed(&error);
    } else {
        outages.postgres_answered();
    }
}

/// Asks one input root again and again whether it answers.
async fn watch_root(outages: &Outages, root: &Root) {
    loop {
        match root {
            Root::Folder(path) => look_at_folder(outages, root, path).await,
            Root::Store(_) => {
                if outages.probe_root(root).await {
                    outages.root_answered(root);
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Asks whether an input root's folder answers.
async fn look_at_folder(outages: &Outages, root: &Root, path: &Path) {
    let path = path.to_owned();
    let tell = |answer: Result<(), String>| match answer {
        Ok(()) => outages.root_answered(root),
        Err(reason) => outages.root_failed(root, &reason),
    };
    ask_folder(move || outage::look_at_folder(&path), tell).await;
}

/// Looks at a folder on a thread of its own, and tells what that comes to. One that hangs is told, and then waited
/// for, so that threads do not pile up behind it.
async fn ask_folder(look: impl FnOnce() -> Result<(), String> + Send + 'static, tell: impl Fn(Result<(), String>)) {
    let mut look = tokio::task::spawn_blocking(look);
    let answer = match tokio::time::timeout(ROOT_TIMEOUT, &mut look).await {
        Ok(answer) => answer,
        Err(_) => {
            tell(Err(HANGS.to_owned()));
            look.await
        }
    };
    tell(answer.unwrap_or_else(|error| Err(error.to_string())));
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[tokio::test]
    async fn a_folder_that_hangs_is_told_and_asked_by_one_thread_until_it_answers() {
        let (release, hanging) = mpsc::channel::<()>();
        let told = Mutex::new(Vec::new());
        let look = move || {
            hanging.recv().unwrap();
            Ok(())
        };
        ask_folder(look, |answer| {
            if answer.is_err() {
                release.send(()).unwrap();
            }
            told.lock().unwrap().push(answer);
        })
        .await;
        assert_eq!(told.into_inner().unwrap(), [Err(HANGS.to_owned()), Ok(())]);
    }
}
