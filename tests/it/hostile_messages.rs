//! Nothing that a stranger sends stops a worker: a corpus of hostile messages, each followed by a good job.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties,
    options::BasicConsumeOptions,
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use tests::hostile::{
    messages::{End, Hostile, all},
    wire::{Answer, Wire},
};
use url::Url;
use uuid::Uuid;

use crate::{
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// A letter that was taken out of `aura.dead`: its body and its cause.
type Letters = Arc<Mutex<Vec<(Vec<u8>, Option<String>)>>>;

/// Takes every dead letter out as it comes.
async fn collect(world: &World) -> (Connection, Letters) {
    let connection = Connection::connect(world.setting("AURA_AMQP_URL"), ConnectionProperties::default()).await;
    let connection = connection.expect("the broker answers");
    let channel = connection.create_channel().await.expect("a channel");
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let consume = channel.basic_consume("aura.dead".into(), "".into(), options, FieldTable::default());
    let mut consumer = consume.await.expect("a consumer");
    let letters = Letters::default();
    let list = Arc::clone(&letters);
    tokio::spawn(async move {
        let _channel = channel;
        while let Some(Ok(delivery)) = consumer.next().await {
            let headers = delivery.properties.headers().clone().unwrap_or_default();
            let code = headers.inner().get("aura-error-code").and_then(AMQPValue::as_long_string);
            let code = code.map(|code| String::from_utf8_lossy(code.as_bytes()).into_owned());
            list.lock().expect("the list").push((delivery.data, code));
        }
    });
    (connection, letters)
}

/// How a message has ended, if it has.
fn end_of(world: &World, letters: &Letters, hostile: &Hostile) -> Option<End> {
    let mut letters = letters.lock().expect("the list");
    if let Some(place) = letters.iter().position(|(body, _)| *body == hostile.body) {
        let (_, code) = letters.swap_remove(place);
        return Some(match code.as_deref() {
            Some("invalid_message") => End::Refused,
            Some("file_not_found") => End::Fails("file_not_found"),
            Some("unknown_source") => End::Fails("unknown_source"),
            Some(_) => End::Fails("something else"),
            None => End::Rejected,
        });
    }
    let message: Value = serde_json::from_slice(&hostile.body).unwrap_or_default();
    let id: Uuid = message["job_id"].as_str()?.parse().ok()?;
    let receipts = world.broker.receipts_of(id);
    receipts.iter().any(|(_, receipt)| receipt.body["status"] == "success").then_some(End::Loads)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_of_a_stranger_stops_a_worker_or_changes_what_others_get() {
    let (world, mut worker) = World::with_worker().await;
    let (_connection, letters) = collect(&world).await;
    let url = Url::parse(world.setting("AURA_AMQP_URL")).expect("a URL");
    let number = AtomicU32::new(0);
    let next = |file: &dyn Fn(&str) -> String| {
        let entity = format!("H{:04}", number.fetch_add(1, Ordering::Relaxed));
        with(job(&file(&entity), &entity, "2022-06"), json!({"job_id": Uuid::new_v4()}))
    };
    let good = || next(&|entity| world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")])));
    let missing = || next(&|entity| world.input(&format!("{entity}-missing.csv")).display().to_string());
    let corpus = all(good, missing);
    assert!(corpus.len() >= 230, "{} messages", corpus.len());

    let mut wire = None;
    let (mut late, mut wrong, mut untaken) = (Vec::new(), Vec::new(), Vec::new());
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for hostile in &corpus {
        let answer = tokio::task::block_in_place(|| {
            let connection = wire.get_or_insert_with(|| Wire::connect(&url).expect("the broker answers"));
            connection.publish("aura.jobs", &hostile.key, &hostile.properties, &hostile.body)
        });
        match answer.unwrap_or_else(|error| panic!("{}: the broker says nothing ({error})", hostile.name)) {
            Answer::Confirmed if hostile.end == End::Fails("file_not_found") => late.push(hostile),
            Answer::Confirmed => {
                let ended = async || end_of(&world, &letters, hostile);
                let end = until(&format!("{} ends", hostile.name), SOON, ended).await;
                *ends.entry(format!("{end:?}")).or_default() += 1;
                if end != hostile.end {
                    wrong.push(format!("{} ended as {end:?}, not {:?}", hostile.name, hostile.end));
                }
            }
            Answer::Refused => {
                untaken.push(hostile.name.as_str());
                wire = None;
            }
        }
        world.ends("success", good()).await;
        assert!(worker.exit().is_none(), "{} ended the worker", hostile.name);
    }
    for hostile in late {
        let ended = async || end_of(&world, &letters, hostile);
        let end = until(&format!("{} ends", hostile.name), SOON, ended).await;
        if end != hostile.end {
            wrong.push(format!("{} ended as {end:?}, not {:?}", hostile.name, hostile.end));
        }
    }
    println!("{} messages: {ends:?}; the broker did not take {untaken:?}", corpus.len());
    assert!(wrong.is_empty(), "{} ended otherwise:\n{}", wrong.len(), wrong.join("\n"));
    // What RabbitMQ itself cannot read: NaN, properties that are cut off, a mode of delivery that there is not.
    assert!(untaken.len() < 50, "the broker did not take {untaken:?}");
    let warned = worker.text().matches("the broker is lost").count();
    assert_eq!(warned, 0, "the worker lost its connection:\n{}", worker.tail());
}
