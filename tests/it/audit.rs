//! The audit trail, checked against the contract's words alone: nothing of Aura's own code is used.

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
pub(crate) use tests::audit::hash;

use crate::world::World;

impl World {
    /// The events of a slice in their order, after making sure that the chain is whole.
    pub(crate) async fn chain(&self, entity: &str, period: &str) -> Vec<Document> {
        self.settled().await;
        let events = self.mongo.collection::<Document>("audit_trail");
        let found = events.find(doc! {"entity": entity, "period": period}).sort(doc! {"seq": 1}).await;
        let events: Vec<Document> = found.expect("MongoDB answers").try_collect().await.expect("events");
        let mut before = "0".repeat(64);
        for (place, event) in events.iter().enumerate() {
            let seq = whole(event.get("seq").expect("a seq"));
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
    pub(crate) async fn events(&self, entity: &str, period: &str) -> Vec<String> {
        self.chain(entity, period).await.iter().map(|event| text(event, "event_type")).collect()
    }

    /// A job's `gl_metadata` document.
    pub(crate) async fn metadata(&self, job_id: uuid::Uuid) -> Option<Document> {
        self.settled().await;
        let metadata = self.mongo.collection::<Document>("gl_metadata");
        metadata.find_one(doc! {"_id": job_id.to_string()}).await.expect("MongoDB answers")
    }
}

/// A field as text.
pub(crate) fn text(document: &Document, name: &str) -> String {
    document.get_str(name).unwrap_or_else(|_| panic!("{name} is not text in {document}")).to_owned()
}

/// A whole number of any width.
pub(crate) fn whole(value: &Bson) -> i64 {
    tests::audit::whole(value).unwrap_or_else(|| panic!("{value} is not a whole number"))
}
