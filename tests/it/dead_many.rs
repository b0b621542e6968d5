//! More dead letters than a broker hands over at once: every one is seen, or the command says that it was not.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::World;

const DEAD: &str = "aura.dead";

/// The body of a letter, and the identity of its job.
fn body(number: usize) -> String {
    json!({"job_id": id(number), "file": "/in/a.csv", "entity": "E", "period": "2022-06"}).to_string()
}

fn id(number: usize) -> Uuid {
    Uuid::from_u128(number as u128)
}

/// A world in which so many letters lie in the queue.
async fn with_letters(number: usize) -> World {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    world.producer(&["topology"]).await.expect(0);
    world.broker.fill(DEAD, (0..number).map(body)).await;
    world
}

/// Makes sure that a list has the jobs of these numbers, in this order.
#[track_caller]
fn lists(list: &Value, numbers: impl ExactSizeIterator<Item = usize>) {
    let jobs = list["jobs"].as_array().expect("jobs");
    assert_eq!((&list["letters"], &list["seen"]), (&json!(numbers.len()), &json!(numbers.len())));
    assert_eq!((jobs.len(), &list["truncated"]), (numbers.len(), &json!(false)));
    for (job, number) in jobs.iter().zip(numbers) {
        assert_eq!(job["job_id"], id(number).to_string(), "at the place of {number}");
    }
}

#[tokio::test]
async fn twenty_thousand_dead_letters_are_all_seen_by_every_command() {
    let world = with_letters(20_000).await;
    lists(&world.producer(&["dead", "list", "--json"]).await.expect(0).json(), 0..20_000);
    let last = id(19_999).to_string();
    let shown = world.producer(&["dead", "show", &last, "--json"]).await.expect(0).json();
    assert_eq!(shown["job_id"], last);
    let none = ["dead", "list", "--entity", "OTHER"];
    let told = world.producer(&none).await.expect(0).stdout;
    assert!(told.contains("no dead job listed; aura.dead holds 20000 letters"), "{told}");
    let replayed = world.producer(&["dead", "replay", &last, "--json"]).await.expect(0).json();
    assert_eq!((&replayed["jobs"][0]["job_id"], &replayed["letters"]), (&json!(last), &json!(20_000)));
    let discard = ["dead", "discard", &id(9).to_string(), &id(20_001).to_string(), "--reason", "a test", "--json"];
    let discarded = world.producer(&discard).await.expect(1).json();
    assert_eq!(discarded["missing"], json!([id(20_001)]));
    assert_eq!((&discarded["jobs"][0]["job_id"], &discarded["seen"]), (&json!(id(9)), &json!(19_999)));
    assert_eq!((world.broker.depth(DEAD).await, world.broker.depth("aura.jobs").await), (19_998, 1));
}

#[tokio::test]
async fn more_letters_than_a_prefetch_can_say_are_all_seen_and_stay_in_their_order() {
    const NUMBER: usize = 66_000;
    let world = with_letters(NUMBER).await;
    let ends = [id(0).to_string(), id(NUMBER - 1).to_string()];
    let discard = ["dead", "discard", &ends[0], &ends[1], "--reason", "a test", "--json"];
    let discarded = world.producer(&discard).await.expect(0).json();
    assert_eq!((discarded["jobs"].as_array().map(Vec::len), &discarded["seen"]), (Some(2), &json!(NUMBER)));
    lists(&world.producer(&["dead", "list", "--json"]).await.expect(0).json(), 1..NUMBER - 1);
}
