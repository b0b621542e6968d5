//! Anchors: what finds books and trail that were rewritten together.

use bson::doc;
use serde_json::json;
use tests::object_server::{self, ObjectServer, Refusing};
use uuid::Uuid;

use crate::{
    process::{Said, Worker},
    world::{World, csv, job},
};

// Keys of nobody's, as openssl makes them.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIwUF1ZOHVu9Jsp4cBpzVoBN9F+Md3O1zk+6BnvATH+P\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAXNdy5xkbTKF9tEOCBE+s88ZeLrfsGSeqtBsgKNO/YT4=\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEATGx8YuvhVUYjUBw29smsttreEQ32xVsd5qhL98FVTj4=\n-----END PUBLIC KEY-----\n";
/// What an attacker who would make a job undone puts back.
const TABLES: [&str; 6] =
    ["gl_accounts", "ingestion_runs", "slices", "audit_chains", "gl_balance_changes", "gl_absent_accounts"];

/// What only these tests do.
trait Anchored {
    async fn loads(&self, entity: &str, accounts: &[(&str, &str)]);
    /// A file of this world, with this in it.
    fn file(&self, name: &str, text: &str) -> String;
    /// Looks at everything, and holds it against an anchor.
    async fn held_against(&self, anchor: &str, key: &str) -> Said;
}

impl Anchored for World {
    async fn loads(&self, entity: &str, accounts: &[(&str, &str)]) {
        let file = self.write(&format!("{entity}-{}.csv", Uuid::new_v4()), csv(entity, "2022-06", accounts));
        self.ends("success", job(&file, entity, "2022-06")).await;
        self.settled().await;
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    async fn held_against(&self, anchor: &str, key: &str) -> Said {
        self.producer(&["verify", "--anchor", anchor, "--public-key", key, "--json"]).await
    }
}

#[tokio::test]
async fn books_and_trail_that_were_rewritten_together_are_found_by_an_anchor_from_before() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    let (key, public) = (world.file("anchor.key", KEY), world.file("anchor.pub", PUBLIC));
    let anchor = world.path().join("anchor").display().to_string();
    world.loads("A", &[("10", "5"), ("20", "-5")]).await;
    for table in TABLES {
        world.execute(&format!("CREATE TABLE before_{table} AS TABLE {table}")).await;
    }
    world.loads("A", &[("10", "7"), ("20", "-7")]).await;
    world.loads("B", &[("10", "1")]).await;

    let said = world.producer(&["anchor", "--key", &key, "--to", &anchor, "--json"]).await.expect(0).json();
    assert_eq!((&said["chains"], &said["events"]), (&json!(2), &json!(24)), "{said:#}");
    world.held_against(&anchor, &public).await.expect(0);
    let again = world.producer(&["anchor", "--key", &key, "--to", &anchor]).await.expect(2);
    assert!(again.stderr.contains("cannot be written"), "an anchor is never overwritten: {}", again.stderr);
    // What is added later is no finding.
    world.loads("B", &[("10", "2")]).await;
    world.held_against(&anchor, &public).await.expect(0);

    // Whoever may write everywhere makes the second job of A undone, in both stores.
    for table in TABLES {
        world
            .execute(&format!(
                "DELETE FROM {table} WHERE entity = 'A'; \
                 INSERT INTO {table} SELECT * FROM before_{table} WHERE entity = 'A'"
            ))
            .await;
    }
    let trail = world.mongo.collection::<bson::Document>("audit_trail");
    trail.delete_many(doc! { "entity": "A", "seq": { "$gt": 8 } }).await.expect("they go");
    let kept: String = world.one("SELECT job_id::text FROM slices WHERE entity = 'A'", &[]).await;
    let metadata = world.mongo.collection::<bson::Document>("gl_metadata");
    metadata.delete_many(doc! { "entity": "A", "_id": { "$ne": kept } }).await.expect("they go");
    world.execute("INSERT INTO cache_tasks SELECT entity, period, job_id FROM slices WHERE entity = 'A'").await;
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
    let found = world.held_against(&anchor, &public).await.expect(1).json();
    assert_eq!(found["findings"].as_array().map(Vec::len), Some(1), "{found:#}");
    let finding = &found["findings"][0];
    assert_eq!((&finding["code"], &finding["entity"]), (&json!("anchor_broken"), &json!("A")), "{found:#}");

    // And has another file loaded in its place: each store agrees with the other, and the chain is as long as before.
    world.loads("A", &[("10", "9"), ("20", "-9")]).await;
    world.producer(&["verify"]).await.expect(0);
    let found = world.held_against(&anchor, &public).await.expect(1).json();
    let finding = &found["findings"][0];
    assert_eq!((&finding["code"], &finding["entity"]), (&json!("anchor_broken"), &json!("A")), "{found:#}");
    let detail = finding["detail"].as_str().expect("a text");
    assert!(detail.contains("event 16 with another hash"), "{detail}");
    // The other slice is as it was.
    let only = ["verify", "--entity", "B", "--anchor", &anchor, "--public-key", &public];
    world.producer(&only).await.expect(0);
}

#[tokio::test]
async fn an_anchor_counts_only_with_the_signature_of_the_key_that_is_named() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    let (key, public) = (world.file("anchor.key", KEY), world.file("anchor.pub", PUBLIC));
    let other = world.file("other.pub", OTHER);
    let anchor = world.path().join("anchor").display().to_string();
    world.loads("A", &[("10", "5")]).await;
    world.producer(&["anchor", "--key", &key, "--to", &anchor]).await.expect(0);
    let strange = world.held_against(&anchor, &other).await.expect(2);
    assert!(strange.stderr.contains("the signature is not of this anchor and this key"), "{}", strange.stderr);
    let text = std::fs::read_to_string(&anchor).expect("the anchor");
    assert!(text.lines().any(|line| line.starts_with("A 2022-06 8 ")), "{text}");
    let changed = world.file("changed", &text.replacen("A 2022-06 8 ", "A 2022-06 7 ", 1));
    let changed = world.held_against(&changed, &public).await.expect(2);
    assert!(changed.stderr.contains("the signature is not of this anchor and this key"), "{}", changed.stderr);
    let none = world.file("none", "aura-anchor 1\n");
    let none = world.held_against(&none, &public).await.expect(2);
    assert!(none.stderr.contains("has no signature"), "{}", none.stderr);
    let swapped = world.producer(&["anchor", "--key", &public, "--to", "another"]).await.expect(2);
    assert!(swapped.stderr.contains("openssl genpkey"), "{}", swapped.stderr);
}

#[tokio::test]
async fn an_anchor_in_an_object_store_is_never_overwritten_and_holds_as_a_file_does() {
    let (mut world, _worker): (World, Worker) = World::with_worker().await;
    let server = ObjectServer::start("anchors").await;
    world.loads("A", &[("10", "5")]).await;
    world.lay_over(&[
        ("AURA_S3_ENDPOINT", server.url.as_str()),
        ("AURA_S3_ACCESS_KEY_ID", object_server::KEY_ID),
        ("AURA_S3_SECRET_ACCESS_KEY", object_server::KEY),
    ]);
    let (key, public) = (world.file("anchor.key", KEY), world.file("anchor.pub", PUBLIC));
    let place = "s3://anchors/aura/2026-11-28";
    let anchor = ["anchor", "--key", &key, "--to", place];
    world.producer(&anchor).await.expect(0);
    world.held_against(place, &public).await.expect(0);
    let again = world.producer(&anchor).await.expect(2);
    assert!(again.stderr.contains("there is an object of that name"), "{}", again.stderr);
    let missing = world.held_against("s3://anchors/aura/2026-11-27", &public).await.expect(2);
    assert!(missing.stderr.contains("it is not there"), "{}", missing.stderr);
    let no_object = world.producer(&["anchor", "--key", &key, "--to", "http://anchors/a"]).await.expect(2);
    assert!(no_object.stderr.contains("s3://BUCKET/KEY"), "{}", no_object.stderr);
    server.refuse(Refusing::Everything);
    let refused = world.held_against(place, &public).await.expect(3);
    assert!(refused.stderr.contains("the store answered 503"), "{}", refused.stderr);
}
