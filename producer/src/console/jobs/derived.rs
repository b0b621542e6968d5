//! What MongoDB has of a job: its data profile and its audit events, and those of both that are on their way there.

use std::time::Duration;

use bson::{Document, doc};
use deadpool_postgres::Pool;
use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::{
    settings::Settings,
    stores::{
        audit_chain,
        mongo::{Mongo, MongoError, within},
        postgres::PostgresError,
    },
    telemetry::chain,
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{db, errors::CommandError};

const EVENTS_WAITING: &str = include_str!("events_waiting.sql");
const DOCUMENT_WAITING: &str = "SELECT document FROM metadata_outbox WHERE job_id = $1";
/// How long MongoDB may take.
const LIMIT: Duration = Duration::from_secs(3);
/// Events of a job that are shown.
const EVENTS: i64 = 1_000;

/// What the audit trail and `gl_metadata` have of a job.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Derived {
    /// The audit events in the order of their chain; those without a `seq` are on their way to it.
    pub(super) events: Vec<Map<String, Value>>,
    /// Why the events and the profile that MongoDB has could not be looked at.
    pub(super) unseen: Option<String>,
    /// The statistics of the rows, if they were loaded.
    pub(super) data_profile: Option<Value>,
}

/// Looks in the outbox first, then in MongoDB: what leaves the one meanwhile is in the other.
///
/// # Errors
/// If PostgreSQL fails. Of MongoDB it is told.
pub(super) async fn look(
    pool: &Pool,
    settings: &Settings,
    (entity, period): (&str, &str),
    job: Uuid,
) -> Result<Derived, PostgresError> {
    let waiting = db::query(pool, "look events up", EVENTS_WAITING, &[&entity, &period, &job, &EVENTS]).await?;
    let document = db::query(pool, "look metadata up", DOCUMENT_WAITING, &[&job]).await?;
    let mut derived = Derived::default();
    let mut document: Option<Value> = document.first().map(|row| row.get("document"));
    // Not cut off when its time is over: the driver would not end well.
    let asked = tokio::spawn(ask(settings.clone(), entity.to_owned(), period.to_owned(), job));
    match timeout(LIMIT, asked).await {
        Ok(Ok(Ok((events, found)))) => {
            derived.events = events;
            document = document.or(found);
        }
        Ok(Ok(Err(error))) => derived.unseen = Some(chain(&CommandError::mongo(settings)(error))),
        Ok(Err(_)) | Err(_) => {
            let what = format!("MongoDB at {}", settings.mongodb_url);
            derived.unseen = Some(chain(&CommandError::Unanswered { what, limit: LIMIT }));
        }
    }
    derived.data_profile = document.and_then(|mut document| document.get_mut("data_profile").map(Value::take));
    for row in &waiting {
        let (event, seq): (Value, Option<i64>) = (row.get("event"), row.get("seq"));
        let is_there = |known: &Map<String, Value>| known.get("seq").and_then(Value::as_i64) == seq;
        if let Value::Object(mut event) = event
            && (seq.is_none() || !derived.events.iter().any(is_there))
        {
            event.insert("seq".to_owned(), seq.into());
            derived.events.push(event);
        }
    }
    let place = |event: &Map<String, Value>| event.get("seq").and_then(Value::as_i64).unwrap_or(i64::MAX);
    derived.events.sort_by_key(place);
    Ok(derived)
}

type Found = (Vec<Map<String, Value>>, Option<Value>);

async fn ask(settings: Settings, entity: String, period: String, job: Uuid) -> Result<Found, MongoError> {
    let mongo = Mongo::open(&settings.mongodb_url, "aura-producer console").await?;
    let (trail, metadata) = (mongo.audit_trail.clone(), mongo.gl_metadata.clone());
    let job = job.to_string();
    let found = within("look a job up", async move {
        let filter = doc! {"entity": entity, "period": period, "job_id": &job};
        let events = trail.find(filter).sort(doc! {"seq": 1}).limit(EVENTS).await?;
        let events: Vec<Document> = events.try_collect().await?;
        Ok((events, metadata.find_one(doc! {"_id": job}).await?))
    })
    .await;
    mongo.close().await;
    let (events, document) = found?;
    let document = document.map(|document| Value::Object(audit_chain::from_bson(&document)));
    Ok((events.iter().map(audit_chain::from_bson).collect(), document))
}
