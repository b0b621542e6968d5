//! Dry runs: what a worker tells is what then happens, and nothing is left of them.

use serde_json::{Value, json};
use tests::{faults::proxy::Proxy, random::Random};
use url::Url;
use uuid::Uuid;

use crate::{
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// Everything that a dry run must leave as it is.
const LEFT: [&str; 11] = [
    "SELECT coalesce(md5(string_agg(gl_accounts::text, '|' ORDER BY gl_accounts::text)), '-') FROM gl_accounts",
    "SELECT coalesce(md5(string_agg(c::text, '|' ORDER BY c::text)), '-') FROM gl_balance_changes c",
    "SELECT coalesce(md5(string_agg(a::text, '|' ORDER BY a::text)), '-') FROM gl_absent_accounts a",
    "SELECT coalesce(md5(string_agg(r::text, '|' ORDER BY r::text)), '-') FROM gl_rejected_rows r",
    "SELECT coalesce(md5(string_agg(s::text, '|' ORDER BY s::text)), '-') FROM slices s",
    "SELECT coalesce(md5(string_agg(r::text, '|' ORDER BY r::text)), '-') FROM ingestion_runs r",
    "SELECT coalesce(md5(string_agg(c::text, '|' ORDER BY c::text)), '-') FROM audit_chains c",
    "SELECT count(*)::text FROM audit_outbox",
    "SELECT count(*)::text FROM cache_tasks",
    "SELECT count(*)::text FROM metadata_outbox",
    "SELECT count(*)::text FROM dry_run_guard",
];

async fn left(world: &World) -> Vec<String> {
    let mut left = Vec::new();
    for question in LEFT {
        left.push(world.one::<String>(question, &[]).await);
    }
    let mut files: Vec<String> = std::fs::read_dir(world.setting("AURA_CACHE_URL"))
        .map(|entries| entries.map(|entry| format!("{:?}", entry.expect("an entry").path())).collect())
        .unwrap_or_default();
    files.sort();
    left.extend(files);
    left
}

/// Another session of PostgreSQL's.
async fn session(world: &World) -> tokio_postgres::Client {
    let url = Url::parse(world.setting("AURA_POSTGRES_URL")).expect("a URL");
    tests::stack::session(&url).await.expect("PostgreSQL answers")
}

/// A dry run of one job that is about to be published with these fields.
async fn tried(world: &World, message: &Value, code: i32) -> Value {
    let said = world.producer_reads(&["publish", "--manifest", "-", "--dry-run", "--json"], &message.to_string()).await;
    assert_eq!(said.code, code, "{}{}", said.stdout, said.stderr);
    said.json()["jobs"][0].clone()
}

#[tokio::test]
async fn what_a_dry_run_tells_is_what_then_happens_for_two_hundred_random_jobs() {
    let world = World::new().await;
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(sources.join("summed.toml"), "repeated_keys = 'sum'\n").unwrap();
    let _worker = world.worker(&[("AURA_SOURCES_DIR", sources.to_str().unwrap())]).await;
    let mut random = Random::new(31);
    let mut loaded: Option<(&str, Value)> = None;
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let (mut gone, mut waited) = (Vec::new(), false);
    for number in 0..200 {
        let entity = random.one_of(&["A", "B", "C"]);
        let mut rows: Vec<(String, String)> = Vec::new();
        for account in 0..random.between(1, 8) {
            let balance = random.one_of(&["1", "2.50", "-7", "0.0001", "99999999", "bad"]);
            let balance = if balance == "bad" && random.percent(60) { "3" } else { balance };
            rows.push((format!("{account:02}"), balance.to_owned()));
        }
        let rows: Vec<(&str, &str)> = rows.iter().map(|(code, balance)| (code.as_str(), balance.as_str())).collect();
        let file = world.write(&format!("{number}.csv"), csv(entity, "2022-06", &rows));
        let file = if random.percent(5) { format!("{file}.gone") } else { file };
        let at = format!("2022-07-{:02}T{:02}:00:00Z", random.between(1, 27), random.between(0, 23));
        let more = json!({
            "job_id": Uuid::from_u128(number + 1),
            "mode": random.one_of(&["upsert", "replace"]),
            "source": random.one_of(&["default", "default", "summed", "none"]),
            "exported_at": if random.percent(70) { format!("2022-08-01T00:{:02}:{:02}Z", number / 60, number % 60) } else { at },
        });
        // Some come again, with another identity.
        let (entity, message) = match &loaded {
            Some((entity, earlier)) if random.percent(15) => {
                (*entity, with(Value::clone(earlier), json!({"job_id": more["job_id"]})))
            }
            _ => (entity, with(job(&file, entity, "2022-06"), more)),
        };
        // A fourth is asked by the producer, and must leave everything as it is.
        let would = if number % 4 == 0 {
            world.settled().await;
            let before = left(&world).await;
            let would = tried_whatever(&world, &message).await;
            assert_eq!(left(&world).await, before, "job {number} left something: {would:#}");
            would
        } else {
            let told = world.broker.dry_run(&message).await;
            json!({"would": told["would"], "told": told})
        };
        // Retries of a file that is not there take seconds: after the first one, the others are sent together.
        let is_gone = message["file"].as_str().is_some_and(|file| file.ends_with(".gone"));
        if is_gone && std::mem::replace(&mut waited, true) {
            gone.push((number, would, message));
            continue;
        }
        let sent = message.clone();
        world.send(message).await;
        let receipt = world.broker.receipt(Uuid::from_u128(number + 1)).await;
        let status = receipt["status"].as_str().unwrap();
        let expected = match status {
            "success" => "load",
            "skipped" => "skip",
            "superseded" => "supersede",
            _ => "fail",
        };
        *seen.entry(expected.to_owned()).or_default() += 1;
        assert_eq!(would["would"], expected, "job {number}: {would:#}\n{receipt:#}");
        let told = &would["told"];
        if expected == "fail" {
            fails_alike(&would, &receipt);
            continue;
        }
        assert_eq!(told["fingerprint"], receipt["fingerprint"]);
        if expected != "load" {
            continue;
        }
        loaded = Some((entity, sent));
        for name in ["inserted", "updated", "unchanged", "deleted", "absent", "failed"] {
            assert_eq!(told["effect"][name], receipt[name], "job {number}, {name}: {would:#}");
        }
        let after = world
            .rows(&format!("SELECT count(*) AS rows, trim_scale(sum(balance))::text AS sum FROM gl_accounts WHERE entity = '{entity}'"))
            .await;
        assert_eq!(
            (&told["effect"]["slice_rows"], &told["effect"]["slice_sum"]),
            (&after[0]["rows"], &after[0]["sum"])
        );
        if number % 4 > 0 {
            continue;
        }
        let history = ["history", "--entity", entity, "--period", "2022-06", "--json"];
        let changes = world.producer(&history).await.expect(0).json()["changes"].clone();
        let largest = told["effect"]["largest"].as_array().unwrap();
        for moved in largest.iter().filter(|_| receipt["unchanged"] != 0 || receipt["updated"] != 0) {
            let kept = changes.as_array().unwrap().iter().any(|change| {
                change["job_id"] == receipt["job_id"]
                    && change["account_code"] == moved["account_code"]
                    && change["movement"] == moved["movement"]
            });
            assert!(kept, "job {number}: {moved:#} did not happen: {changes:#}");
        }
    }
    assert!(gone.len() > 2, "{seen:?}");
    for (_, _, message) in &gone {
        world.send(message.clone()).await;
    }
    for (number, would, _) in &gone {
        assert_eq!(would["would"], "fail", "job {number}: {would:#}");
        fails_alike(would, &world.broker.receipt(Uuid::from_u128(number + 1)).await);
    }
    assert!(["load", "skip", "supersede", "fail"].iter().all(|would| seen.contains_key(*would)), "{seen:?}");
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
}

/// What was told of a job that fails is what its receipt says.
#[track_caller]
fn fails_alike(would: &Value, receipt: &Value) {
    for field in ["code", "rows"] {
        assert_eq!(would["told"]["error"][field], receipt["error"][field], "{would:#}\n{receipt:#}");
    }
}

/// The same, whether it would fail or not. A file that is not there is told of by the producer, too.
async fn tried_whatever(world: &World, message: &Value) -> Value {
    let said = world.producer_reads(&["publish", "--manifest", "-", "--dry-run", "--json"], &message.to_string()).await;
    assert!(said.code == 0 || said.code == 1, "{}{}", said.stdout, said.stderr);
    said.json()["jobs"][0].clone()
}

#[tokio::test]
async fn dead_letters_are_tried_where_they_are_and_their_files_compared() {
    let (world, _worker) = World::with_worker().await;
    let mut ids = Vec::new();
    for entity in ["A", "B", "C"] {
        let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "bad")]));
        ids.push(world.ends("failed", job(&file, entity, "2022-06")).await["job_id"].as_str().unwrap().to_owned());
    }
    world.broker.dead(3).await;
    world.write("A.csv", csv("A", "2022-06", &[("10", "5"), ("20", "-7.25")]));
    std::fs::remove_file(world.path().join("in").join("C.csv")).unwrap();
    world.settled().await;
    let before = left(&world).await;
    let report = world.producer(&["dead", "replay", "--all", "--dry-run", "--json"]).await.expect(1).json();
    assert_eq!(left(&world).await, before);
    assert_eq!(report["would"], json!({"fail": 2, "load": 1}), "{report:#}");
    let of = |entity: &str| {
        let jobs = report["jobs"].as_array().unwrap();
        jobs.iter().find(|job| job["entity"] == entity).unwrap().clone()
    };
    assert_eq!(
        (&of("A")["file_now"], &of("B")["file_now"], &of("C")["file_now"]),
        (&json!("corrected"), &json!("same"), &json!("gone"))
    );
    let effect = &of("A")["told"]["effect"];
    assert_eq!((&effect["net_movement"], &effect["largest"][0]["movement"]), (&json!("-2.25"), &json!("-7.25")));
    assert_eq!(world.broker.dead(3).await.len(), 3, "no letter was taken");
    let text = world.producer(&["dead", "replay", "--all", "--dry-run"]).await.expect(1).stdout;
    assert!(text.contains("net movement -2.25") && text.contains("nothing was changed"), "{text}");
    // Trying it changed neither its attempts nor its round.
    let (code, shown) = {
        let said = world.producer(&["dead", "show", &ids[0], "--json"]).await;
        (said.code, said.json())
    };
    assert_eq!(
        (code, &shown["attempts"], &shown["replays"], &shown["state"]),
        (0, &json!(1), &json!(0), &json!("waiting"))
    );
    let replayed = world.producer(&["dead", "replay", "--entity", "A", "--wait", "--json"]).await.expect(0).json();
    assert_eq!(replayed["outcomes"]["ended"], json!({"success": 1}));
}

#[tokio::test]
async fn a_dry_run_waits_for_its_slice_and_a_job_for_a_dry_run_of_its_slice() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    // Somebody works on the slice.
    let session = session(&world).await;
    session.batch_execute("BEGIN").await.unwrap();
    session.batch_execute("SELECT pg_advisory_xact_lock(hashtextextended('slice:A:2022-06', 0))").await.unwrap();
    let message = job(&file, "A", "2022-06");
    let trying = tried(&world, &message, 0);
    let freeing = async {
        // Those that found it taken were rolled back, and are counted all the same.
        let begun =
            "SELECT coalesce(sum(n_tup_ins), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'dry_run_guard'";
        until("it was tried in vain", SOON, async || (world.one::<i64>(begun, &[]).await > 1).then_some(())).await;
        session.batch_execute("COMMIT").await.unwrap();
    };
    let (told, ()) = tokio::join!(trying, freeing);
    assert_eq!(told["would"], "load", "{told:#}");
    // Two dry runs and the job itself, all at once.
    let (one, two, receipt) =
        tokio::join!(tried(&world, &message, 0), tried(&world, &message, 0), world.ends("success", message.clone()));
    for told in [one, two] {
        assert!(["load", "skip"].contains(&told["would"].as_str().unwrap()), "{told:#}");
    }
    assert_eq!(receipt["attempt"], 1, "a dry run spends no attempt");
    assert_eq!(world.slice("A", "2022-06").await, (1, "5".to_owned()));
    assert_eq!(world.one::<i64>("SELECT count(*) FROM ingestion_runs", &[]).await, 1);
}

#[tokio::test]
async fn a_transaction_of_a_dry_run_cannot_commit_whatever_its_code_does() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    for end in ["COMMIT", "PREPARE TRANSACTION 'x'", "SET CONSTRAINTS ALL IMMEDIATE"] {
        let session = session(&world).await;
        session.batch_execute("BEGIN; INSERT INTO dry_run_guard (id) VALUES (1)").await.unwrap();
        session.batch_execute("INSERT INTO batches (batch_id) VALUES (gen_random_uuid())").await.unwrap();
        assert!(session.batch_execute(end).await.is_err(), "{end}");
    }
    assert_eq!(world.one::<i64>("SELECT count(*) FROM batches", &[]).await, 0);
    assert!(session(&world).await.batch_execute("INSERT INTO dry_run_nothing (id) VALUES (1)").await.is_err());
}

#[tokio::test]
async fn without_a_worker_a_dry_run_says_so_and_one_that_is_killed_leaves_nothing() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    let rows: Vec<(String, String)> = (0..60_000).map(|number| (number.to_string(), "1".to_owned())).collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(code, balance)| (code.as_str(), balance.as_str())).collect();
    let file = world.write("a.csv", csv("A", "2022-06", &rows));
    let message = job(&file, "A", "2022-06");
    let said = world.producer_reads(&["publish", "--manifest", "-", "--dry-run"], &message.to_string()).await;
    assert_eq!(said.code, 3, "{}", said.stdout);
    assert!(said.stderr.contains("only a worker can try"), "{}", said.stderr);
    let mut worker = world.worker(&[]).await;
    let before = left(&world).await;
    let text = message.to_string();
    let asking = world.producer_reads(&["publish", "--manifest", "-", "--dry-run", "--json"], &text);
    let killing = async {
        let busy = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND relation = 'dry_run_guard'::regclass \
                    AND mode = 'RowExclusiveLock'";
        until("it is being tried", SOON, async || (world.one::<i64>(busy, &[]).await > 0).then_some(())).await;
        worker.kill();
    };
    let (asked, ()) = tokio::join!(asking, killing);
    // Nobody answers, and the question does not come to the next worker.
    assert_eq!((asked.code, &asked.json()["would"]), (3, &json!({"unknown": 1})), "{}", asked.stderr);
    assert!(asked.stderr.contains("still waiting for 1 dry run (not taken yet: 0; workers: 0)"), "{}", asked.stderr);
    assert!(asked.stderr.contains("no worker is left that could answer"), "{}", asked.stderr);
    let gone =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'aura-worker'";
    until("PostgreSQL has rolled back", SOON, async || (world.one::<i64>(gone, &[]).await == 0).then_some(())).await;
    assert_eq!(left(&world).await, before);
    let _worker = world.worker(&[]).await;
    world.ends("success", message).await;
}

#[tokio::test]
async fn a_dry_run_has_its_answer_even_if_the_broker_never_confirms_that_its_connection_closes() {
    let (mut world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let (proxy, mut through) = Proxy::before(&world.amqp()).await;
    // Nor does it end a connection that says nothing.
    through.set_query(Some("heartbeat=0"));
    world.lay_over(&[("AURA_AMQP_URL", through.as_str())]);
    // What the producer says as it closes its connection.
    proxy.swallow_at(b"done");
    assert_eq!(tried(&world, &job(&file, "A", "2022-06"), 0).await["would"], "load");
    assert!(proxy.has_swallowed());
}

/// A dry run that waits for its slice, and what happens to it meanwhile.
async fn tried_while(world: &World, message: &Value, code: i32, meanwhile: impl AsyncFnOnce()) -> Value {
    let session = session(world).await;
    let lock = "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('slice:A:2022-06', 0))";
    session.batch_execute(lock).await.expect("a lock");
    let trying = tried(world, message, code);
    let happening = async {
        let begun =
            "SELECT coalesce(sum(n_tup_ins), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'dry_run_guard'";
        until("it was tried in vain", SOON, async || (world.one::<i64>(begun, &[]).await > 1).then_some(())).await;
        meanwhile().await;
        session.batch_execute("COMMIT").await.expect("the lock is given back");
    };
    tokio::join!(trying, happening).0
}

#[tokio::test]
async fn a_dry_run_is_answered_although_its_worker_loses_the_broker_meanwhile() {
    let world = World::new().await;
    let (proxy, through) = Proxy::before(&world.amqp()).await;
    let worker = world.worker(&[("AURA_AMQP_URL", through.as_str())]).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let message = job(&file, "A", "2022-06");
    let losing = async || {
        proxy.cut();
        worker.says("the broker is lost; connecting again").await;
    };
    assert_eq!(tried_while(&world, &message, 0, losing).await["would"], "load");
    worker.says("the broker is lost for dry runs; connecting again").await;
    assert_eq!(tried(&world, &message, 0).await["would"], "load", "it takes further ones");
}

#[tokio::test]
async fn who_asked_a_worker_that_is_stopped_is_told_so() {
    let world = World::new().await;
    let mut worker = world.worker(&[("AURA_DRAIN_SECONDS", "1")]).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let message = job(&file, "A", "2022-06");
    let stopping = async || assert_eq!(worker.stop().await, Some(0));
    let told = tried_while(&world, &message, 3, stopping).await;
    assert_eq!((&told["would"], &told["why"]), (&json!("unknown"), &json!("the worker was stopped; ask again")));
}
