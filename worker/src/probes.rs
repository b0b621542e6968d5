//! Probes: asks again and again whether everything that jobs need answers.

use std::{path::Path, sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use futures_util::future::join_all;
use shared::roots::Root;
use tokio_util::sync::CancellationToken;

use crate::{
    outage::{Outages, ROOT_TIMEOUT},
    run::ownership,
    services::Services,
};

/// How often is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// In how many rounds of that the queue of jobs is looked at once.
const LOOK_AT_QUEUE: u64 = 10;
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

/// Asks a folder whether it answers. One that hangs is asked once until it does, so that threads do
/// not pile up behind it.
async fn look_at_folder(outages: &Outages, root: &Root, path: &Path) {
    let path = path.to_owned();
    let mut look = tokio::task::spawn_blocking(move || path.is_dir());
    let answer = match tokio::time::timeout(ROOT_TIMEOUT, &mut look).await {
        Ok(answer) => answer,
        Err(_) => {
            outages.root_failed(root);
            look.await
        }
    };
    if answer.unwrap_or(false) {
        outages.root_answered(root);
    } else {
        outages.root_failed(root);
    }
}
