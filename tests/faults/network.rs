//! The network between a worker and its services: cut, slow, a black hole.

use std::time::Duration;

use serde_json::json;
use tests::faults::{proxy::Way, services::Service, site::Proxies};

use crate::run::{ended, export, is_whole, publish_many, site, spent_one_attempt_each};

const SOON: Duration = Duration::from_secs(40);

fn proxy(proxies: &Proxies, service: Service) -> &tests::faults::proxy::Proxy {
    match service {
        Service::Postgres => &proxies.postgres,
        Service::RabbitMq => &proxies.rabbitmq,
        Service::MongoDb => &proxies.mongodb,
    }
}

#[tokio::test]
async fn connections_cut_again_and_again_lose_and_double_nothing() {
    let (_hold, site) = site().await;
    let proxies = site.proxies().await;
    let mut worker = site.worker_behind(&proxies, &[]).await;
    let publishing = publish_many(&site, "E", 240);
    let cutting = async {
        for round in 1..=6 {
            ended(&site, 30 * round).await;
            proxy(&proxies, [Service::Postgres, Service::RabbitMq, Service::MongoDb][round as usize % 3]).cut();
        }
    };
    tokio::join!(publishing, cutting);
    assert_eq!(is_whole(&site).await.outcome("success"), 240);
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn a_slow_network_only_takes_longer() {
    let (_hold, site) = site().await;
    let proxies = site.proxies().await;
    let _worker = site.worker_behind(&proxies, &[]).await;
    for service in [Service::Postgres, Service::RabbitMq, Service::MongoDb] {
        proxy(&proxies, service).set(Way::Slow(Duration::from_millis(20)));
    }
    publish_many(&site, "E", 24).await;
    assert_eq!(is_whole(&site).await.outcome("success"), 24);
    spent_one_attempt_each(&site).await;
}

#[tokio::test]
async fn a_black_hole_before_postgresql_is_an_outage_and_no_bad_file() {
    let (_hold, site) = site().await;
    let proxies = site.proxies().await;
    let mut worker = site.worker_behind(&proxies, &[]).await;
    publish_many(&site, "E", 40).await;
    ended(&site, 5).await;
    proxies.postgres.set(Way::Hole);
    let told = worker.is_ready(false, SOON).await;
    assert_ne!(told["checks"]["postgresql"], "ok", "{told}");
    proxies.postgres.set(Way::Open);
    worker.is_ready(true, SOON).await;
    assert_eq!(is_whole(&site).await.outcome("success"), 40);
    spent_one_attempt_each(&site).await;
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn a_black_hole_before_the_broker_is_noticed_and_healed() {
    let (_hold, site) = site().await;
    let proxies = site.proxies().await;
    let mut worker = site.worker_behind(&proxies, &[]).await;
    publish_many(&site, "E", 40).await;
    ended(&site, 5).await;
    proxies.rabbitmq.set(Way::Hole);
    worker.is_ready(false, SOON).await;
    proxies.rabbitmq.set(Way::Open);
    worker.is_ready(true, SOON).await;
    site.publish(export(&site, "LATER", 10, 10, json!({}))).await;
    assert_eq!(is_whole(&site).await.outcome("success"), 41);
    assert!(worker.exit().is_none(), "the worker ended");
}

#[tokio::test]
async fn a_black_hole_before_mongodb_holds_no_job_up() {
    let (_hold, site) = site().await;
    let proxies = site.proxies().await;
    let _worker = site.worker_behind(&proxies, &[]).await;
    proxies.mongodb.set(Way::Hole);
    publish_many(&site, "E", 20).await;
    ended(&site, 20).await;
    proxies.mongodb.set(Way::Open);
    assert_eq!(is_whole(&site).await.outcome("success"), 20);
    spent_one_attempt_each(&site).await;
}
