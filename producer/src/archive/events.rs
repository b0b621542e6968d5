//! The chain of one slice, read out of MongoDB into the archive, each event verified as it goes by.

use bson::{Document, doc};
use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::stores::{
    audit_chain,
    mongo::{Mongo, MongoError},
};

use super::{
    chain::Follower,
    slices::Known,
    table_file::{Cell, TableError, TableFile},
};
use crate::documents::Documents;

/// A chain cannot be copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrailError {
    #[error(transparent)]
    Mongo(#[from] MongoError),
    #[error(transparent)]
    Table(#[from] TableError),
    /// It is not what it should be.
    #[error("{0}")]
    Doubtful(String),
}

/// Copies a slice's chain up to its head.
///
/// # Errors
/// If MongoDB or the file fails, or the chain does not lead from its beginning to its head.
pub(super) async fn copy(mongo: &Mongo, slice: &Known, file: &mut TableFile) -> Result<Follower, TrailError> {
    let chain = doc! { "entity": &slice.entity, "period": &slice.period, "seq": { "$lte": slice.events } };
    let trail = &mongo.audit_trail;
    let mut events = Documents::find("read an audit chain", trail, chain, Document::new(), doc! { "seq": 1 });
    let mut follower = Follower::new();
    while let Some(document) = events.next().await? {
        take(&document, slice, &mut follower, file)?;
    }
    follower.ends_at(u64::try_from(slice.events).unwrap_or(0), &slice.head).map_err(TrailError::Doubtful)?;
    Ok(follower)
}

fn take(document: &Document, slice: &Known, follower: &mut Follower, file: &mut TableFile) -> Result<(), TrailError> {
    let event = audit_chain::from_bson(document);
    let text = audit_chain::canonical(&event).map_err(|error| TrailError::Doubtful(error.to_string()))?;
    let stored = document.get_str("hash").unwrap_or_default();
    follower.follow((&slice.entity, &slice.period), &text, &event, stored).map_err(TrailError::Doubtful)?;
    let value = |name: &'static str| event.get(name).and_then(Value::as_str);
    let known = |name| value(name).map(Cell::Text).ok_or("it is not text");
    let at = value("timestamp").and_then(|at| at.parse::<DateTime<Utc>>().ok()).ok_or("it is not a time");
    let cells = [
        Ok(Cell::Text(&slice.entity)),
        Ok(Cell::Text(&slice.period)),
        Ok(Cell::Units(follower.events.into())),
        known("event_type"),
        at.map(|at| Cell::Units(at.timestamp_micros().into())),
        Ok(value("job_id").map_or(Cell::Null, Cell::Text)),
        known("prev_hash"),
        Ok(Cell::Text(stored)),
        Ok(Cell::Text(&text)),
    ];
    Ok(file.add(cells.into_iter())?)
}
