//! Brings a fault about, for as long as it lasts, and takes it back.

use std::time::Duration;

use super::{
    Crew,
    plan::{Fault, Step},
    stream::entity,
};
use crate::faults::{
    Proxies, World,
    clock::skewed,
    machines::Machines,
    proxy::{Proxy, Way},
    services::Service,
};

fn proxy(proxies: &Proxies, service: Service) -> &Proxy {
    match service {
        Service::Postgres => &proxies.postgres,
        Service::RabbitMq => &proxies.rabbitmq,
        Service::MongoDb => &proxies.mongodb,
    }
}

async fn with_way(proxies: &Proxies, service: Service, way: Way, step: &Step) {
    let proxy = proxy(proxies, service);
    proxy.set(way);
    if way == Way::Shut {
        proxy.cut();
    }
    tokio::time::sleep(step.lasting).await;
    proxy.set(Way::Open);
}

/// Brings a fault about and takes it back.
pub(super) async fn bring_about(
    world: &World,
    crew: &mut Crew<'_>,
    proxies: &Proxies,
    machines: Option<&Machines>,
    step: &Step,
) {
    let lasting = tokio::time::sleep(step.lasting);
    let services = &world.services;
    match step.fault {
        Fault::KillWorker => crew.one(step.place).kill(),
        Fault::HaltWorker => {
            crew.signal(step.place, "STOP");
            lasting.await;
            crew.signal(step.place, "CONT");
        }
        Fault::EndWorker => {
            crew.signal(step.place, "TERM");
            lasting.await;
            // Half of them are told twice.
            if step.place.is_multiple_of(2) {
                crew.signal(step.place, "TERM");
            }
            crew.one(step.place).ended(Duration::from_secs(60)).await;
        }
        Fault::SkewWorker(by) => {
            let clock = skewed(by);
            let clock = clock.each_ref().map(|(name, value)| (*name, value.as_str()));
            crew.replace(step.place, "aura-worker", &clock);
        }
        Fault::StartTogether => crew.start_together().await,
        Fault::DieAt(name) => {
            crew.replace(step.place, "aura-worker-failpoints", &[("AURA_TEST_FAILPOINT", name)]);
            // Should no job come to that step meanwhile, it lives on until it is killed.
            lasting.await;
            crew.one(step.place).kill();
        }
        Fault::Kill(service) => {
            services.crash(service).await;
            lasting.await;
            services.start(service).await;
        }
        Fault::Halt(service) => {
            services.pause(service).await;
            lasting.await;
            services.resume(service).await;
        }
        Fault::Cut(service) => proxy(proxies, service).cut(),
        Fault::Slow(service) => with_way(proxies, service, Way::Slow(Duration::from_millis(40)), step).await,
        Fault::Hole(service) => with_way(proxies, service, Way::Hole, step).await,
        Fault::Shut(service) => with_way(proxies, service, Way::Shut, step).await,
        Fault::LoseCommitReplies => {
            proxies.postgres.lose_commit_replies(3);
            lasting.await;
            proxies.postgres.lose_commit_replies(0);
        }
        Fault::LoseDeadLetterReplies => {
            proxies.postgres.lose_dead_letter_replies(6);
            lasting.await;
            proxies.postgres.lose_dead_letter_replies(0);
        }
        Fault::MemoryAlarm => {
            services.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
            lasting.await;
            services.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "2GB"]).await;
        }
        Fault::HideInputRoot => {
            let (root, away) = (world.path().join("in"), world.path().join("in.away"));
            std::fs::rename(&root, &away).expect("the root can be moved");
            lasting.await;
            std::fs::rename(&away, &root).expect("the root can be moved back");
        }
        Fault::BlockCache => {
            let (cache, away) = (world.path().join("cache"), world.path().join("cache.away"));
            std::fs::rename(&cache, &away).expect("the cache can be moved");
            // A file of that name takes no other.
            std::fs::write(&cache, "").expect("a file");
            lasting.await;
            std::fs::remove_file(&cache).expect("the file can be removed");
            std::fs::rename(&away, &cache).expect("the cache can be moved back");
        }
        Fault::HoldSlice => {
            let session = world.session().await;
            let lock = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
            let name = format!("slice:{}:2022-06", entity(step.place as u64));
            session.execute(lock, &[&name]).await.expect("PostgreSQL answers");
            lasting.await;
        }
        Fault::Cluster(breakage) => {
            let machines = machines.expect("a cluster");
            if let Err(told) = breakage.bring_about(machines, step.place, step.lasting).await {
                crew.wrong.push(format!("after '{}' the cluster did not become whole:\n{told}", breakage.name()));
            }
        }
    }
}
