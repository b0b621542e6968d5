//! Alerts that a minute cannot show, since workers take a minute to be sure: `deploy/monitoring/test` runs these.

use std::{net::TcpListener, time::Duration};

use reqwest::Method;
use serde_json::json;
use tests::{faults::World, wait::until};

use crate::{
    alerts::watching,
    run::{bad, publish_many, world_to_break},
};

const MINUTES: Duration = Duration::from_secs(240);

/// Turns on what RabbitMQ tells Prometheus, at a port of its own, until its node is started again.
async fn metrics_of_the_broker(world: &World) -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let port = free.port();
    let plugins = world.services.directory().join("services/rabbitmq/enabled_plugins");
    std::fs::write(&plugins, "[rabbitmq_management, rabbitmq_prometheus].").expect("a file can be written");
    let listen = format!("[{{port, {port}}}, {{ip, \"127.0.0.1\"}}]");
    // A node on which it was turned on before listens where it was told to then.
    let set = format!(
        "application:stop(rabbitmq_prometheus), application:set_env(rabbitmq_prometheus, tcp_config, {listen}, [{{persistent, true}}])."
    );
    world.services.rabbitmqctl(&["eval", &set]).await;
    let ensure = format!("rabbit_plugins:ensure(\"{}\").", plugins.display());
    world.services.rabbitmqctl(&["eval", &ensure]).await;
    world.services.rabbitmqctl(&["eval", "application:ensure_all_started(rabbitmq_prometheus)."]).await;
    free.to_string()
}

#[tokio::test]
async fn receipts_that_nobody_takes_outcomes_that_cannot_be_written_down_and_a_broker_under_alarm_are_told() {
    let (_hold, world) = world_to_break().await;
    let worker = world.worker(&[("AURA_CONCURRENCY", "2")]).await;
    let prometheus = watching(&[&worker]).await;

    // A queue of somebody's own, bound to all receipts, which is full with the first one.
    let full = json!({"durable": true, "arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}});
    let queue = format!("queues/{}/somebody.full", world.name());
    world.services.manage(Method::PUT, &queue, &full).await.expect("a queue is declared");
    let bind = format!("bindings/{}/e/aura.events/q/somebody.full", world.name());
    world.services.manage(Method::POST, &bind, &json!({"routing_key": "#"})).await;
    publish_many(&world, "E", 4).await;
    prometheus.fires(&["AuraReceiptsRefused"], MINUTES).await;
    world.services.manage(Method::DELETE, &queue, &json!(null)).await;

    // Somebody holds the table of the dead letters, so that none can be written down.
    let session = world.session().await;
    session.batch_execute("BEGIN; LOCK TABLE dead_letters IN SHARE MODE").await.expect("the table is free");
    world.publish(bad(&world, "BAD")).await;
    prometheus.fires(&["AuraOutcomesStuck"], MINUTES).await;
    drop(session);
    prometheus.is_quiet_about(&["AuraOutcomesStuck"], MINUTES).await;

    let broker = metrics_of_the_broker(&world).await;
    prometheus.watches_brokers(&[&broker]);
    // The broker takes no messages, so that no job is begun once the worker has published something.
    worker.signal("STOP");
    publish_many(&world, "W", 6).await;
    world.services.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    let alarm = async || {
        let nodes = world.services.manage(Method::GET, "nodes", &json!(null)).await?;
        nodes[0]["mem_alarm"].as_bool().filter(|raised| *raised)
    };
    until("the broker raises its alarm", MINUTES, alarm).await;
    worker.signal("CONT");
    let fires = prometheus.fires(&["AuraRabbitMqAlarm", "AuraRabbitMqAway"], MINUTES * 2);
    let told = tokio::time::timeout(MINUTES, fires).await;
    // The alarm is over whatever came of it: others use the broker, too.
    world.services.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "2GB"]).await;
    told.expect("both are told");
    prometheus.is_quiet_about(&["AuraRabbitMqAlarm", "AuraRabbitMqAway"], MINUTES).await;
}
