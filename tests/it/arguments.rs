//! Arguments: whatever stands in one, no command breaks off in itself.

use std::time::Duration;

use futures_util::StreamExt;

use crate::{
    process::{command, run},
    world::{World, csv, job},
};

/// Values that a program may stumble over, as numbers, times, ages, paths, patterns and texts.
const VALUES: [&str; 36] = [
    "",
    " ",
    "0",
    "1",
    "-1",
    "65536",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e999",
    "NaN",
    "-170141183460469231731687303715884105728",
    "999999999999999999.9999999999999999",
    "4294967295/s",
    "4294967295/m",
    "1/0",
    "0s",
    "3155760000s",
    "9223372036854775807w",
    "9999-99",
    "2022-16",
    "2022-99-99T99:99:99Z",
    "+262142-12-31T23:59:59.999999999Z",
    "-262143-01-01T00:00:00Z",
    "0000-01-01T00:00:00+23:59",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "{",
    "{entity}{entity}{period}",
    "}{ä€💥",
    "\u{202e}\u{1b}",
    "/",
    "/dev/null",
    "../..",
    "s3://",
    "file://%ff",
];

/// Commands that need no service, or fail before they ask one, with a place for the value.
const ALONE: [&[&str]; 19] = [
    &["check", "@"],
    &["check", "a.csv", "--source", "@"],
    &["check", "a.csv", "--entity", "@"],
    &["check", "a.csv", "--period", "@"],
    &["sources", "show", "@"],
    &["schema", "@"],
    &["status", "--namespace", "@", "--amqp-url", "@"],
    &["check", "a.csv", "--sources-dir", "@"],
    &["check", "a.csv", "--max-columns", "@"],
    &["check", "a.csv", "--max-record-bytes", "@"],
    &["check", "a.csv", "--nil-tolerance", "@"],
    &["check", "a.csv", "--log", "@"],
    &["publish", "--manifest", "@"],
    &["publish", "--scan", ".", "--pattern", "@"],
    &["publish", "--scan", "@", "--pattern", "{entity}_{period}.csv"],
    &["publish", "--split", "@"],
    &["archive", "check", "@"],
    &["archive", "check", "in", "--public-key", "@"],
    &["@"],
];

/// Commands that ask the services.
const CONNECTED: [&[&str]; 23] = [
    &["publish", "--file", "@", "--entity", "A", "--period", "2022-06"],
    &["archive", "write", "--year", "@", "--to", "a"],
    &["archive", "write", "--year", "2022", "--to", "@"],
    &["archive", "write", "--year", "2022", "--to", "b", "--entity", "@"],
    &["publish", "--file", "a.csv", "--entity", "A", "--period", "@"],
    &["publish", "--file", "a.csv", "--entity", "@", "--period", "2022-06"],
    &["publish", "--file", "a.csv", "--entity", "A", "--period", "2022-06", "--exported-at", "@"],
    &["publish", "--file", "a.csv", "--entity", "A", "--period", "2022-06", "--control-rows", "@"],
    &["publish", "--file", "a.csv", "--entity", "A", "--period", "2022-06", "--control-balance-sum", "@"],
    &["publish", "--file", "a.csv", "--entity", "A", "--period", "2022-06", "--batch-id", "@"],
    &["publish", "--file", "a.csv", "--entity", "A", "--period", "2022-06", "--wait", "--timeout", "@"],
    &["status", "@"],
    &["cancel", "@", "--reason", "@"],
    &["verify", "--entity", "A", "--period", "@"],
    &["period", "lock", "--entity", "Z", "--period", "@"],
    &["dead", "list", "--older-than", "@"],
    &["dead", "list", "--newer-than", "@"],
    &["dead", "list", "--code", "@"],
    &["dead", "show", "@"],
    &["dead", "replay", "--code", "none", "--rate", "@"],
    &["dead", "replay", "--entity", "B", "--canary", "--timeout", "@"],
    &["dead", "replay", "--entity", "B", "--rate", "@"],
    &["dead", "discard", "--id", "@", "--reason", "@"],
];

/// Runs one command, and says what was wrong with its end.
async fn broken(world: &World, arguments: Vec<String>) -> Option<String> {
    let mut producer = command("aura-producer", world.path(), &world.settings_with(&[]));
    producer.args(&arguments);
    let said = run(producer, Duration::from_secs(180)).await;
    let is_well = (0..=3).contains(&said.code) && !said.stderr.contains("panicked");
    (!is_well).then(|| format!("{arguments:?} ended with {}:\n{}", said.code, said.stderr))
}

fn with_value(template: &[&str], value: &str) -> Vec<String> {
    template.iter().map(|word| if *word == "@" { value } else { word }.to_owned()).collect()
}

#[tokio::test]
async fn a_command_line_that_cannot_be_used_is_told_to_programs_as_json_and_to_people_as_before() {
    let world = World::new().await;
    for arguments in [
        vec!["status", "nonsense"],
        vec!["status", "--nonsense"],
        vec!["nonsense"],
        vec!["publish", "--file"],
        vec!["period", "lock"],
        vec!["history"],
        vec!["check"],
    ] {
        let plain = world.producer(&arguments).await.expect(2);
        assert_eq!(plain.stdout, "", "{arguments:?}");
        let said = world.producer(&[&["--json"], arguments.as_slice()].concat()).await.expect(2);
        let error = &said.json()["error"];
        let message = error["message"].as_str().expect("a message");
        assert!(!message.is_empty() && !message.starts_with("error: "), "{arguments:?}: {error}");
        assert!(error["faults"].is_array() && plain.stderr.contains(message), "{arguments:?}: {error}");
        assert_eq!(said.stderr, plain.stderr, "{arguments:?}");
    }
    let missing = world.producer(&["history", "--json"]).await.expect(2).json();
    let faults: Vec<&str> =
        missing["error"]["faults"].as_array().unwrap().iter().filter_map(|fault| fault.as_str()).collect();
    assert!(faults.iter().any(|fault| fault.contains("--entity")), "{missing}");
    let hostile = world.producer(&["status", "\u{202e}\u{1b}[31m", "--json"]).await.expect(2);
    assert!(!hostile.stdout.contains(['\u{202e}', '\u{1b}']) && hostile.json()["error"]["message"].is_string());
}

#[tokio::test]
async fn no_value_of_an_argument_makes_a_command_panic() {
    let world = World::new().await;
    std::fs::write(world.path().join("a.csv"), csv("A", "2022-06", &[("10", "1")])).unwrap();
    let runs = ALONE.iter().flat_map(|template| VALUES.map(|value| with_value(template, value)));
    let broken: Vec<_> = futures_util::stream::iter(runs)
        .map(|arguments| broken(&world, arguments))
        .buffer_unordered(4)
        .filter_map(async |broken| broken)
        .collect()
        .await;
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[tokio::test]
async fn no_value_of_an_argument_makes_a_command_panic_that_asks_the_services() {
    let (world, _worker) = World::with_worker().await;
    std::fs::write(world.path().join("a.csv"), csv("A", "2022-06", &[("10", "1")])).unwrap();
    let file = world.write("bad.csv", csv("B", "2022-06", &[("10", "bad")]));
    world.ends("failed", job(&file, "B", "2022-06")).await;
    world.broker.dead(1).await;
    // One after the other: the queue of dead letters is one command's at a time.
    for template in CONNECTED {
        for value in VALUES {
            let broken = broken(&world, with_value(template, value)).await;
            assert_eq!(broken, None, "{}", broken.as_deref().unwrap_or_default());
        }
    }
}
