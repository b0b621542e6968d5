//! What has reached a world's audit trail, metadata and cache, once everything has.

use std::fs::File;

use bson::{Document, doc};
use futures_util::TryStreamExt;

use super::{Steady, World};
use crate::{
    audit::{hash, number, text},
    cached::Cached,
};

impl World<Steady> {
    /// The events of a slice in their order, after making sure that the chain is whole.
    pub async fn chain(&self, entity: &str, period: &str) -> Vec<Document> {
        self.settled().await;
        let events = self.mongo.collection::<Document>("audit_trail");
        let found = events.find(doc! {"entity": entity, "period": period}).sort(doc! {"seq": 1}).await;
        let events: Vec<Document> = found.expect("MongoDB answers").try_collect().await.expect("events");
        let mut before = "0".repeat(64);
        for (place, event) in events.iter().enumerate() {
            let seq = number(event.get("seq").expect("a seq"));
            assert_eq!(seq, place as i64 + 1, "the chain of {entity} {period} has a gap: {event}");
            assert_eq!(text(event, "prev_hash"), before, "event {seq} does not follow its forerunner");
            assert_eq!(text(event, "hash"), hash(event), "event {seq} was changed: {event}");
            before = text(event, "hash");
        }
        let head = "SELECT hash FROM audit_chains WHERE entity = $1 AND period = $2";
        let head = self.postgres.query_opt(head, &[&entity, &period]).await.expect("the heads are there");
        assert_eq!(head.map_or("0".repeat(64), |row| row.get(0)), before, "PostgreSQL knows another head");
        events
    }

    /// The types of a slice's events, in their order.
    pub async fn events(&self, entity: &str, period: &str) -> Vec<String> {
        self.chain(entity, period).await.iter().map(|event| text(event, "event_type")).collect()
    }

    /// A job's `gl_metadata` document.
    pub async fn metadata(&self, job_id: uuid::Uuid) -> Option<Document> {
        self.settled().await;
        let metadata = self.mongo.collection::<Document>("gl_metadata");
        metadata.find_one(doc! {"_id": job_id.to_string()}).await.expect("MongoDB answers")
    }

    /// Reads a slice's Parquet file, once everything has reached it.
    pub async fn cached(&self, entity: &str, period: &str) -> Cached {
        self.settled().await;
        let path = self.path().join("cache").join(format!("{entity}_{period}_ingested.parquet"));
        Cached::read(File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// The names of the files in the cache.
    pub fn cache_files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.path().join("cache")).expect("the cache");
        let mut names: Vec<_> =
            files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
