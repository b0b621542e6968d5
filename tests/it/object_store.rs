//! Files and the cache in an object store: a real S3 server, and what may go wrong with it.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    faults::proxy::{Proxy, Way},
    object_server::{KEY, KEY_ID, ObjectServer, Refusing},
    trial_balance::TrialBalance,
};

use crate::{
    audit::text,
    cache::Cached,
    process::Worker,
    wait::{SOON, until},
    world::{World, csv, job},
};

const ACCOUNTS: [(&str, &str); 2] = [("10", "5.25"), ("20", "-5.25")];
/// Bytes of an answer that pass before it is broken off.
const BEGINNING: usize = 100_000;
/// What the probes ask for.
const PROBES: &str = "HEAD /books/in/.aura-probe";

/// A world whose files lie in a bucket, whose cache is another prefix of it, and the proxy that leads
/// to its server.
struct Bucket {
    world: World,
    server: ObjectServer,
    proxy: Proxy,
}

impl Bucket {
    async fn new() -> Self {
        let mut world = World::new().await;
        let server = ObjectServer::start("books").await;
        let (proxy, through) = Proxy::before(&server.url).await;
        let folder = world.setting("AURA_INPUT_ROOTS").to_owned();
        world.lay_over(&[
            ("AURA_INPUT_ROOTS", &format!("s3://books/in,{folder}")),
            ("AURA_CACHE_URL", "s3://books/cache"),
            ("AURA_S3_ENDPOINT", through.as_str()),
            ("AURA_S3_ACCESS_KEY_ID", KEY_ID),
            ("AURA_S3_SECRET_ACCESS_KEY", KEY),
        ]);
        Self { world, server, proxy }
    }

    async fn with_worker() -> (Self, Worker) {
        let bucket = Self::new().await;
        let worker = bucket.world.worker(&[]).await;
        (bucket, worker)
    }

    /// Puts a file of one slice and returns its URL.
    async fn put(&self, key: &str, entity: &str) -> String {
        self.server.put(key, csv(entity, "2022-06", &ACCOUNTS)).await
    }

    /// Puts a file of so many accounts and returns its URL.
    async fn put_sample(&self, key: &str, accounts: u64, seed: u64) -> String {
        self.server.put(key, TrialBalance::new("A", "2022-06", accounts, seed).text()).await
    }

    /// A slice's Parquet file, once everything has reached it.
    async fn cached(&self, entity: &str) -> Cached {
        self.world.settled().await;
        let key = format!("cache/{entity}_2022-06_ingested.parquet");
        Cached::read(self.server.get(&key).await.expect("the slice has a Parquet file"))
    }

    async fn verify(&self, more: &[&str]) -> (i32, Vec<String>) {
        let arguments: Vec<&str> = ["verify", "--json"].iter().chain(more).copied().collect();
        let said = self.world.producer(&arguments).await;
        let found = said.json();
        let codes = found["findings"].as_array().expect("findings").iter();
        (said.code, codes.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect())
    }

    /// The codes with which attempts at the slice A failed.
    async fn failures(&self) -> Vec<String> {
        self.world.settled().await;
        let chain = self.world.chain("A", "2022-06").await;
        let failed = chain.iter().filter(|event| text(event, "event_type") == "error_occurred");
        let code =
            |event: &bson::Document| event.get_document("metadata").ok()?.get_str("code").ok().map(str::to_owned);
        failed.map(|event| code(event).unwrap_or_else(|| panic!("no code in {event}"))).collect()
    }
}

fn ended(receipt: &Value, status: &str, attempt: u32) {
    assert_eq!((&receipt["status"], &receipt["attempt"]), (&json!(status), &json!(attempt)), "{receipt:#}");
}

#[tokio::test]
async fn a_file_in_a_bucket_is_loaded_and_cached_there_and_verify_finds_nothing() {
    let (bucket, worker) = Bucket::with_worker().await;
    let file = bucket.put("in/2022/a.csv", "A").await;
    let receipt = bucket.world.ends("success", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["file"], file);
    assert_eq!(
        bucket.world.balances("A", "2022-06").await,
        [("10".into(), "5.25".into()), ("20".into(), "-5.25".into())]
    );
    let cached = bucket.cached("A").await;
    assert_eq!(cached.balances(), bucket.world.balances("A", "2022-06").await);
    assert_eq!(cached.metadata["job_id"], receipt["job_id"].as_str().unwrap());
    assert_eq!(bucket.verify(&[]).await, (0, vec![]));

    bucket.world.ends("skipped", job(&file, "A", "2022-06")).await;
    let newer = bucket.server.put("in/newer.csv", csv("A", "2022-06", &[("10", "7")])).await;
    let receipt = bucket.world.ends("success", job(&newer, "A", "2022-06")).await;
    let cached = bucket.cached("A").await;
    assert_eq!(cached.metadata["job_id"], receipt["job_id"].as_str().unwrap(), "the object was put anew");
    assert_eq!(bucket.verify(&[]).await, (0, vec![]));
    let keys = ["cache/A_2022-06_ingested.parquet", "in/2022/a.csv", "in/newer.csv"];
    assert_eq!(bucket.server.keys().await, keys, "nothing else is left in the bucket");

    let port = |url: &str| url.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    let log = worker.text();
    for secret in [KEY, KEY_ID, &port(bucket.world.setting("AURA_S3_ENDPOINT"))] {
        assert!(!log.contains(secret), "the log shows {secret}");
    }
}

#[tokio::test]
async fn a_file_larger_than_memory_may_hold_is_read_from_a_copy_and_its_parquet_put_in_parts() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let sample = TrialBalance::new("A", "2022-06", 150_000, 7);
    let file = bucket.server.put("in/big.csv", sample.text()).await;
    bucket.server.refuse(Refusing::Parts);
    let receipt = bucket.world.ends("success", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["rows"], 150_000);
    until("the upload that broke off is aborted", SOON, async || {
        (bucket.server.asked("DELETE /books/cache/A_2022-06_ingested.parquet?uploadId=") > 0).then_some(())
    })
    .await;
    assert!(bucket.server.get("cache/A_2022-06_ingested.parquet").await.is_none(), "no reader sees a part");

    bucket.server.refuse(Refusing::Nothing);
    assert_eq!(bucket.world.slice("A", "2022-06").await.1, sample.totals().sum_text());
    assert_eq!(bucket.cached("A").await.rows, 150_000);
    assert!(bucket.server.asked("PUT /books/cache/A_2022-06_ingested.parquet?partNumber=2") > 0, "it went in parts");
    assert_eq!(bucket.verify(&[]).await, (0, vec![]));
    assert_eq!(bucket.server.asked("GET /books/in/big.csv"), 1, "the object was fetched once");
}

#[tokio::test]
async fn a_missing_object_is_tried_after_1_2_and_4_seconds_then_dead_lettered_and_replayed_once_it_is_there() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let id = bucket.world.send(job("s3://books/in/late.csv", "A", "2022-06")).await;
    let dead = bucket.world.broker.dead(1).await.remove(0);
    assert_eq!(dead.header("aura-error-code"), "file_not_found");
    let time = |name: &str| chrono::DateTime::parse_from_rfc3339(&dead.header(name)).expect(name);
    let waited = (time("aura-failed-at") - time("aura-first-failed-at")).num_milliseconds();
    assert!((7_000..12_000).contains(&waited), "{waited} ms between the first failure and the last");
    ended(&bucket.world.broker.receipt(id).await, "failed", 4);

    bucket.put("in/late.csv", "A").await;
    bucket.world.producer(&["dead", "replay", "--entity", "A"]).await.expect(0);
    ended(&bucket.world.broker.nth_receipt(id, 2).await, "success", 1);
}

#[tokio::test]
async fn an_object_outside_the_roots_is_refused_before_anything_is_asked_for() {
    let (bucket, _worker) = Bucket::with_worker().await;
    bucket.put("secret.csv", "A").await;
    for file in [
        "s3://books/secret.csv",
        "s3://books/in/../secret.csv",
        "s3://books/in/%2e%2e/secret.csv",
        "s3://books/in.csv",
        "s3://other/in/a.csv",
        "s3://id:key@books/in/a.csv",
        "s3://books/in/a.csv?versionId=1",
        "gs://books/in/a.csv",
        "http://books/in/a.csv",
    ] {
        let receipt = bucket.world.ends("failed", job(file, "A", "2022-06")).await;
        assert_eq!(receipt["error"]["code"], "file_not_allowed", "{file}");
        ended(&receipt, "failed", 1);
    }
    assert_eq!(bucket.server.asked("GET "), 0);
}

#[tokio::test]
async fn a_transfer_that_stands_still_is_given_up_and_gone_on_with() {
    let (bucket, worker) = Bucket::with_worker().await;
    let file = bucket.put_sample("in/a.csv", 5_000, 1).await;
    let mut standing = bucket.server.cut_after(BEGINNING);
    let id = bucket.world.send(job(&file, "A", "2022-06")).await;
    standing.stands().await;
    // Nobody ever lets it go on, and the store answers everybody else.
    ended(&bucket.world.broker.receipt(id).await, "success", 1);
    assert_eq!(bucket.server.asked("GET /books/in/a.csv"), 2);
    assert!(!worker.text().contains("the input root does not answer"));
}

#[tokio::test]
async fn a_publisher_that_lost_its_lock_does_not_put_an_older_file_over_a_newer_one() {
    let (bucket, worker) = Bucket::with_worker().await;
    let old = bucket.put("in/old.csv", "A").await;
    let new = bucket.server.put("in/new.csv", csv("A", "2022-06", &[("10", "7")])).await;
    let mut standing = bucket.server.hold_put();
    let first = bucket.world.send(job(&old, "A", "2022-06")).await;
    standing.stands().await;
    // The session that holds the lock on the slice's file ends, and its owner does not notice.
    let holder = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                  AND (classid::bigint << 32 | objid::bigint) = hashtextextended('cache:A:2022-06', 0)";
    assert_eq!(bucket.world.one::<i64>(holder, &[]).await, 1);
    let second = bucket.world.ends("success", job(&new, "A", "2022-06")).await;
    bucket.world.settled().await;
    standing.go_on();
    ended(&bucket.world.broker.receipt(first).await, "success", 1);
    assert!(worker.text().contains("it was replaced meanwhile"), "{}", worker.tail());
    assert_eq!(bucket.cached("A").await.metadata["job_id"], second["job_id"].as_str().unwrap());
    assert_eq!(bucket.verify(&[]).await, (0, vec![]));
}

#[tokio::test]
async fn an_object_that_is_too_large_is_not_fetched() {
    let bucket = Bucket::new().await;
    let _worker = bucket.world.worker(&[("AURA_MAX_FILE_BYTES", "100")]).await;
    let file = bucket.put("in/a.csv", "A").await;
    let receipt = bucket.world.ends("failed", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "file_too_large");
}

#[tokio::test]
async fn an_object_that_is_replaced_between_two_reads_has_changed_and_the_next_attempt_loads_the_new_one() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let file = bucket.put_sample("in/a.csv", 5_000, 1).await;
    let mut standing = bucket.server.cut_after(BEGINNING);
    let id = bucket.world.send(job(&file, "A", "2022-06")).await;
    standing.stands().await;
    bucket.put_sample("in/a.csv", 6_000, 2).await;
    standing.go_on();
    let receipt = bucket.world.broker.receipt(id).await;
    ended(&receipt, "success", 2);
    assert_eq!(receipt["rows"], 6_000);
    assert_eq!(bucket.failures().await, ["file_changed"]);
}

#[tokio::test]
async fn an_object_that_is_replaced_by_a_shorter_one_has_changed_too() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let file = bucket.put_sample("in/a.csv", 5_000, 1).await;
    let mut standing = bucket.server.cut_after(BEGINNING);
    let id = bucket.world.send(job(&file, "A", "2022-06")).await;
    standing.stands().await;
    bucket.put("in/a.csv", "A").await;
    standing.go_on();
    ended(&bucket.world.broker.receipt(id).await, "success", 2);
    assert_eq!(bucket.failures().await, ["file_changed"]);
}

#[tokio::test]
async fn a_transfer_that_is_cut_off_goes_on_where_it_was() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let file = bucket.put_sample("in/a.csv", 5_000, 1).await;
    for _ in 0..2 {
        let mut standing = bucket.server.cut_after(BEGINNING);
        tokio::spawn(async move {
            standing.stands().await;
            standing.go_on();
        });
    }
    let receipt = bucket.world.run(job(&file, "A", "2022-06")).await;
    ended(&receipt, "success", 1);
    assert_eq!(receipt["rows"], 5_000);
    assert_eq!(bucket.server.asked("GET /books/in/a.csv"), 3);
}

#[tokio::test]
async fn a_connection_that_is_cut_below_http_goes_on_where_it_was() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let file = bucket.put_sample("in/a.csv", 20_000, 1).await;
    bucket.proxy.set(Way::Slow(Duration::from_millis(100)));
    let id = bucket.world.send(job(&file, "A", "2022-06")).await;
    until("the object is asked for", SOON, async || (bucket.server.asked("GET /books/in/a.csv") > 0).then_some(()))
        .await;
    bucket.proxy.cut();
    bucket.proxy.set(Way::Open);
    let receipt = bucket.world.broker.receipt(id).await;
    ended(&receipt, "success", 1);
    assert_eq!(receipt["rows"], 20_000);
}

#[tokio::test]
async fn a_slow_transfer_is_waited_for() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let file = bucket.put_sample("in/a.csv", 20_000, 1).await;
    // Some 60 pieces, each of which waits: longer than any one request to a store that stands still may take.
    bucket.proxy.set(Way::Slow(Duration::from_millis(350)));
    let began = std::time::Instant::now();
    let receipt = bucket.world.run(job(&file, "A", "2022-06")).await;
    ended(&receipt, "success", 1);
    assert!(began.elapsed() > Duration::from_secs(6), "it was not slow: {:?}", began.elapsed());
}

#[tokio::test]
async fn reads_that_are_refused_for_a_while_count_as_attempts() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let file = bucket.put("in/a.csv", "A").await;
    bucket.server.refuse(Refusing::Reads);
    let id = bucket.world.send(job(&file, "A", "2022-06")).await;
    until("the job waits for its next attempt", SOON, async || {
        let waiting = "SELECT count(*) FROM ingestion_runs WHERE status = 'retrying'";
        (bucket.world.one::<i64>(waiting, &[]).await == 1).then_some(())
    })
    .await;
    bucket.server.refuse(Refusing::Nothing);
    let receipt = bucket.world.broker.receipt(id).await;
    ended(&receipt, "success", 2);
    assert_eq!(bucket.failures().await, ["storage_unavailable"]);
    assert!(bucket.server.asked("GET /books/in/a.csv") > 2, "one attempt asks more than once");
}

#[tokio::test]
async fn a_store_that_answers_503_to_everything_is_waited_for() {
    let (bucket, worker) = Bucket::with_worker().await;
    let file = bucket.put("in/a.csv", "A").await;
    bucket.server.refuse(Refusing::Everything);
    let id = bucket.world.send(job(&file, "A", "2022-06")).await;
    says(&worker, false, "input_root s3://books/in").await;
    parked(&worker, 1).await;
    bucket.server.refuse(Refusing::Nothing);
    ended(&bucket.world.broker.receipt(id).await, "success", 1);
    assert_eq!(bucket.failures().await, Vec::<String>::new());
    assert_eq!(bucket.world.broker.depth("aura.dead").await, 0);
}

/// Waits until `/readyz` is so, and makes sure that it names this where it is not ready.
async fn says(worker: &Worker, ready: bool, part: &str) {
    until(&format!("/readyz says {ready} and {part}"), SOON, async || {
        let (code, body) = worker.get("/readyz").await?;
        ((code == 200) == ready && (ready || body.contains(part))).then_some(())
    })
    .await;
}

/// Waits until jobs were parked so often.
async fn parked(worker: &Worker, times: u64) {
    until(&format!("jobs were parked {times} times"), SOON, async || {
        let metrics = worker.get("/metrics").await?.1;
        let parked = metrics.lines().find_map(|line| line.strip_prefix("aura_parked_total ")?.parse::<u64>().ok());
        parked.filter(|parked| *parked >= times)
    })
    .await;
}

#[tokio::test]
async fn while_a_store_is_away_its_jobs_wait_unspent_and_those_of_other_roots_go_on() {
    let (bucket, worker) = Bucket::with_worker().await;
    let file = bucket.put("in/a.csv", "A").await;
    bucket.proxy.set(Way::Shut);
    bucket.proxy.cut();
    let id = bucket.world.send(job(&file, "A", "2022-06")).await;
    says(&worker, false, "input_root s3://books/in").await;
    let metrics = worker.get("/metrics").await.expect("metrics").1;
    let paused = metrics.lines().find(|line| line.contains("input_root s3://books/in"));
    assert!(paused.is_some_and(|line| line.ends_with(" 1")), "{metrics}");

    // Rows commit and the receipt goes out; the Parquet file waits with the store.
    let beside = bucket.world.write("b.csv", csv("B", "2022-06", &ACCOUNTS));
    ended(&bucket.world.run(job(&beside, "B", "2022-06")).await, "success", 1);
    assert!(bucket.world.one::<i64>("SELECT count(*) FROM cache_tasks", &[]).await > 0);
    assert!(bucket.world.broker.receipts_of(id).is_empty());
    // What was parked once has been taken again, and has found the store still away.
    parked(&worker, 2).await;

    bucket.proxy.set(Way::Open);
    ended(&bucket.world.broker.receipt(id).await, "success", 1);
    says(&worker, true, "").await;
    for entity in ["A", "B"] {
        assert_eq!(bucket.cached(entity).await.balances(), bucket.world.balances(entity, "2022-06").await);
    }
    assert_eq!(bucket.failures().await, Vec::<String>::new());
    assert_eq!(bucket.verify(&[]).await, (0, vec![]));
    let told = worker.text().contains("cannot be connected to") || worker.text().contains("ended the connection");
    assert!(told, "the log tells why:\n{}", worker.tail());
}

#[tokio::test]
async fn a_store_that_stands_still_in_the_middle_of_a_transfer_is_given_up_and_waited_for() {
    let (bucket, worker) = Bucket::with_worker().await;
    let file = bucket.put_sample("in/a.csv", 5_000, 1).await;
    let mut standing = bucket.server.cut_after(BEGINNING);
    let id = bucket.world.send(job(&file, "A", "2022-06")).await;
    standing.stands().await;
    bucket.proxy.set(Way::Hole);
    says(&worker, false, "input_root s3://books/in").await;
    parked(&worker, 1).await;
    standing.go_on();
    bucket.proxy.cut();
    bucket.proxy.set(Way::Open);
    ended(&bucket.world.broker.receipt(id).await, "success", 1);
    assert_eq!(bucket.failures().await, Vec::<String>::new());
}

#[tokio::test]
async fn credentials_that_do_not_suffice_are_told_and_are_no_outage() {
    let bucket = Bucket::new().await;
    let worker = bucket.world.worker(&[("AURA_S3_SECRET_ACCESS_KEY", "another-key")]).await;
    let file = bucket.put("in/a.csv", "A").await;
    let receipt = bucket.world.ends("failed", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "storage_unavailable");
    let message = receipt["error"]["message"].as_str().unwrap();
    assert!(message.contains("credentials") && message.contains("replay"), "{message}");
    assert!(!message.contains("127.0.0.1") && !message.contains(KEY_ID), "{message}");
    ended(&receipt, "failed", 4);
    assert!(bucket.server.asked(PROBES) > 0);
    says(&worker, true, "").await;
    assert!(!worker.text().contains("another-key") && !worker.text().contains(KEY_ID));
}

#[tokio::test]
async fn an_object_of_the_cache_that_is_gone_older_or_broken_is_found_and_put_back() {
    let (bucket, _worker) = Bucket::with_worker().await;
    for entity in ["A", "B", "C"] {
        let file = bucket.put(&format!("in/{entity}.csv"), entity).await;
        bucket.world.ends("success", job(&file, entity, "2022-06")).await;
    }
    let key = |entity: &str| format!("cache/{entity}_2022-06_ingested.parquet");
    bucket.world.settled().await;
    let old = bucket.server.get(&key("B")).await.unwrap();
    let newer = bucket.server.put("in/newer.csv", csv("B", "2022-06", &[("10", "7")])).await;
    bucket.world.ends("success", job(&newer, "B", "2022-06")).await;
    bucket.world.settled().await;
    bucket.server.delete(&key("A")).await;
    bucket.server.put(&key("B"), old.clone()).await;
    bucket.server.put(&key("C"), old.slice(..old.len() - 20)).await;
    bucket.server.put("cache/unnamed.parquet", old).await;
    let found =
        ["parquet_unknown", "parquet_missing", "parquet_stale", "parquet_unreadable"].map(str::to_owned).to_vec();
    assert_eq!(bucket.verify(&["--repair"]).await, (1, found));
    bucket.world.settled().await;
    assert_eq!(bucket.verify(&[]).await, (1, vec!["parquet_unknown".to_owned()]));

    bucket.proxy.set(Way::Shut);
    bucket.proxy.cut();
    let said = bucket.world.producer(&["verify"]).await.expect(3);
    assert!(said.stderr.contains("the cache s3://books/cache cannot be read"), "{}", said.stderr);
}

#[tokio::test]
async fn a_worker_that_cannot_build_a_client_says_so_and_ends_with_2() {
    let world = World::new().await;
    for (name, value, told) in [
        ("AURA_INPUT_ROOTS", "az://books/in", "az://books/in cannot be reached with these settings"),
        ("AURA_CACHE_URL", "http://books/cache", "AURA_CACHE_URL must be"),
        ("AURA_S3_ENDPOINT", "books", "AURA_S3_ENDPOINT is not an address"),
    ] {
        let command = crate::process::command("aura-worker", world.path(), &world.settings_with(&[(name, value)]));
        let said = crate::process::run(command, Duration::from_secs(20)).await.expect(2);
        assert!(said.stderr.contains(told), "{}", said.stderr);
    }
}

#[tokio::test]
async fn a_buckets_files_are_published_by_name_or_by_pattern() {
    let (bucket, _worker) = Bucket::with_worker().await;
    let file = bucket.put("in/A_2022-06.csv", "A").await;
    let arguments = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--wait", "--json"];
    let said = bucket.world.producer(&arguments).await.expect(0).json();
    assert_eq!(said["successful"], 1, "{said:#}");

    bucket.put("in/B_2022-06.csv", "B").await;
    bucket.put("in/deeper/C_2022-06.csv", "C").await;
    let scan = |prefix| ["publish", "--scan", prefix, "--pattern", "{entity}_{period}.csv", "--wait", "--json"];
    let said = bucket.world.producer(&scan("s3://books/in/")).await.expect(0).json();
    assert_eq!((&said["total"], &said["successful"], &said["skipped"]), (&json!(2), &json!(1), &json!(1)), "{said:#}");
    bucket.world.producer(&scan("s3://books/none")).await.expect(2);
}
