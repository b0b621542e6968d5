//! From a draft to a message that the worker will take.

use std::{
    collections::HashMap,
    path::{Path, PathBuf, absolute},
};

use chrono::{DateTime, Utc};
use lapin::{BasicProperties, types::FieldTable};
use serde_json::{Map, Value};
use shared::{
    broker::{
        amqp::user_of,
        topology::{JOB_KEY, Topology},
    },
    message::{
        envelope::{self, Envelope},
        job::{Job, MESSAGE_TYPE},
        outgoing::Outgoing,
        published_by::PublishedBy,
        receive::receive,
    },
    settings::Settings,
    telemetry,
    timestamp::micros_text,
    timestamp::to_micros,
};
use uuid::Uuid;

use super::draft::Draft;
use crate::{
    errors::CommandError,
    output::{count, remark},
};

/// What all messages of a publish call share.
pub(crate) struct Batch {
    pub(crate) id: Uuid,
    now: DateTime<Utc>,
    folder: PathBuf,
    defaults: Map<String, Value>,
    exchange: String,
    by: PublishedBy,
}

/// A message that is ready to go, and the job that the worker will understand it as.
pub(crate) struct Prepared {
    pub(crate) job: Job,
    pub(crate) fields: Map<String, Value>,
    pub(crate) outgoing: Outgoing,
}

impl Batch {
    /// A batch whose messages have these fields unless they say otherwise.
    pub(crate) fn new(
        id: Uuid,
        defaults: Map<String, Value>,
        topology: &Topology,
        by: PublishedBy,
    ) -> Result<Self, CommandError> {
        let folder = std::env::current_dir()
            .map_err(|error| CommandError::Input(format!("the current folder cannot be told: {error}")))?;
        let now = to_micros(Utc::now());
        Ok(Self { id, now, folder, defaults, exchange: topology.jobs_exchange.clone(), by })
    }

    /// Completes a message and has it checked by the code that the worker checks it with.
    ///
    /// # Errors
    /// Every fault of the message.
    pub(crate) fn prepare(&self, mut fields: Map<String, Value>) -> Result<Prepared, Vec<String>> {
        for name in ["job_id", "batch_id", "exported_at"] {
            if fields.get(name).is_some_and(Value::is_null) {
                fields.remove(name);
            }
        }
        for (name, value) in &self.defaults {
            fields.entry(name).or_insert_with(|| value.clone());
        }
        fields.entry("job_id").or_insert_with(|| Uuid::now_v7().to_string().into());
        fields.entry("batch_id").or_insert_with(|| self.id.to_string().into());
        fields.entry("exported_at").or_insert_with(|| micros_text(self.now).into());
        if let Some(Value::String(file)) = fields.get_mut("file") {
            *file = self.absolute(file);
        }
        let body = Value::Object(fields.clone()).to_string().into_bytes();
        let forced_at = (fields.get("force") == Some(&Value::Bool(true))).then_some(self.now);
        let job_id = fields.get("job_id").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let (properties, headers) = envelope_of(job_id.unwrap_or_default(), self.id, forced_at, self.now, &self.by);
        let outgoing = Outgoing {
            exchange: self.exchange.clone(),
            key: JOB_KEY.to_owned(),
            body,
            properties,
            headers,
            user_id: self.by.user_id.as_deref().map(Into::into),
            mandatory: true,
        };
        let envelope = Envelope::read(&outgoing.all_properties(true));
        let job = receive(&outgoing.body, &envelope, self.now).map_err(|refusal| refusal.faults)?;
        if job.batch_id != Some(self.id) {
            return Err(vec![format!("batch_id: is not {}, that of the others; one call is one batch", self.id)]);
        }
        Ok(Prepared { job, fields, outgoing })
    }

    fn absolute(&self, file: &str) -> String {
        if file.is_empty() || file.contains("://") {
            return file.to_owned();
        }
        // Both parts are text already, so that nothing is lost on the way back.
        absolute(self.folder.join(file)).map_or_else(|_| file.to_owned(), |path| path.to_string_lossy().into_owned())
    }
}

/// Who publishes with these settings.
pub(crate) fn publisher(settings: &Settings) -> PublishedBy {
    let user_id = user_of(settings.amqp_url.expose()).map(|user| user.as_str().to_owned());
    PublishedBy { actor: Some(settings.actor.clone()), user_id }
}

/// The properties and headers of a message by Aura's producer.
pub(crate) fn envelope_of(
    job_id: Uuid,
    batch_id: Uuid,
    forced_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    by: &PublishedBy,
) -> (BasicProperties, FieldTable) {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_type(MESSAGE_TYPE.into())
        .with_message_id(job_id.to_string().into())
        .with_correlation_id(batch_id.to_string().into())
        .with_timestamp(u64::try_from(now.timestamp()).unwrap_or_default());
    let mut headers = FieldTable::default();
    // Each job has a trace of its own, which goes on to its receipt.
    let span = tracing::info_span!(parent: None, "publish", otel.kind = "producer", %job_id, %batch_id);
    envelope::set(&mut headers, envelope::TRACEPARENT, telemetry::traceparent_of(&span).unwrap_or_else(new_trace));
    if let Some(actor) = &by.actor {
        envelope::set(&mut headers, envelope::ACTOR, actor);
    }
    if let Some(at) = forced_at {
        envelope::set(&mut headers, envelope::FORCED_AT, micros_text(at));
    }
    (properties, headers)
}

/// A W3C trace context that starts here.
fn new_trace() -> String {
    let (trace, span) = (Uuid::new_v4().simple(), Uuid::new_v4().as_u128() as u64 | 1);
    format!("00-{trace}-{span:016x}-01")
}

/// Prepares all drafts.
///
/// # Errors
/// Everything that is wrong with any of them, each with its place.
pub(super) fn prepare_all(drafts: Vec<Draft>, batch: &Batch) -> Result<Vec<Prepared>, Vec<String>> {
    let (mut jobs, mut faults) = (Vec::with_capacity(drafts.len()), Vec::new());
    let (mut ids, mut exports) = (HashMap::new(), HashMap::new());
    for Draft { place, fields } in drafts {
        let told = |fault: String| if place.is_empty() { fault } else { format!("{place}: {fault}") };
        let prepared = match fields.and_then(|fields| batch.prepare(fields)) {
            Ok(prepared) => prepared,
            Err(found) => {
                faults.extend(found.into_iter().map(told));
                continue;
            }
        };
        let job = &prepared.job;
        if let Some(first) = ids.insert(job.job_id, place.clone()) {
            faults.push(told(format!("job_id: is that of {first}, too")));
        }
        let export = (job.slice.clone(), job.times().order_at());
        let (first, file) = exports.entry(export).or_insert_with(|| (place.clone(), job.file.clone()));
        if *file != job.file {
            faults.push(told(format!(
                "exported_at: is that of {first}, for the same entity and period; give each its own to say which is newer"
            )));
        }
        jobs.push(prepared);
    }
    if faults.is_empty() { Ok(jobs) } else { Err(faults) }
}

/// Tells of files that are not on this machine; the workers may see them all the same, or soon.
pub(crate) fn warn_of_absent_files(jobs: &[Prepared]) {
    let local = jobs.iter().map(|prepared| prepared.job.file.as_str()).filter(|file| !file.contains("://"));
    let absent: Vec<&str> = local.filter(|file| !Path::new(file).exists()).collect();
    if let Some(first) = absent.first() {
        let which = if absent.len() == 1 { (*first).to_owned() } else { format!("the first is {first}") };
        remark(&format!(
            "warning: {} cannot be seen from here ({which}); workers try for about 7 s, then dead-letter the job",
            count(absent.len(), "file")
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn by() -> PublishedBy {
        PublishedBy { actor: Some("mara".to_owned()), user_id: Some("erp".to_owned()) }
    }

    fn batch(defaults: Value) -> Batch {
        let Value::Object(defaults) = defaults else { panic!("no object") };
        let mut batch = Batch::new(Uuid::from_u128(7), defaults, &Topology::new("aura"), by()).unwrap();
        batch.folder = PathBuf::from("/in");
        batch
    }

    fn draft(place: &str, fields: Value) -> Draft {
        let Value::Object(fields) = fields else { panic!("no object") };
        Draft { place: place.to_owned(), fields: Ok(fields) }
    }

    fn prepared(defaults: Value, fields: Value) -> Prepared {
        let fields = draft("", fields).fields.unwrap();
        batch(defaults).prepare(fields).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    #[test]
    fn a_message_carries_its_identity_in_body_and_properties() {
        let sent = prepared(json!({}), json!({"file": "a.csv", "entity": "ABEX", "period": "2022-06"}));
        let Outgoing { properties, headers, exchange, key, mandatory, .. } = &sent.outgoing;
        assert_eq!((exchange.as_str(), key.as_str(), *mandatory), ("aura.jobs", "job", true));
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), sent.job.job_id.to_string());
        assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), Uuid::from_u128(7).to_string());
        assert_eq!(properties.kind().as_ref().unwrap().as_str(), "aura.job.v1");
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(sent.job.published_by, by());
        let trace = envelope::text(headers, "traceparent").unwrap();
        assert_eq!(trace.split('-').map(str::len).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert_eq!(sent.fields["file"], "/in/a.csv");
        assert_eq!(sent.fields["exported_at"].as_str().unwrap().len(), "2022-07-01T06:00:00.000000Z".len());
        assert!(!headers.contains_key("aura-forced-at"));
    }

    #[test]
    fn urls_and_absolute_paths_stay() {
        for file in ["/x/a.csv", "file:///x/a.csv", "s3://bucket/a.csv"] {
            let sent = prepared(json!({}), json!({"file": file, "entity": "A", "period": "2022-06"}));
            assert_eq!(sent.fields["file"], file);
        }
    }

    #[test]
    fn what_the_job_says_wins_over_what_holds_for_all() {
        let defaults = json!({"mode": "replace", "period": "2022-05", "force": true, "reason": "late"});
        let sent = prepared(defaults, json!({"file": "a", "entity": "A", "mode": "upsert"}));
        assert_eq!((sent.fields["mode"].as_str(), sent.fields["period"].as_str()), (Some("upsert"), Some("2022-05")));
        assert!(sent.outgoing.headers.contains_key("aura-forced-at"));
    }

    #[test]
    fn the_faults_of_all_drafts_are_told_with_their_places() {
        let drafts = vec![
            draft("line 2", json!({"file": "a", "entity": "a", "period": "2022"})),
            draft("line 3", json!({"file": "a", "entity": "A", "period": "2022-06", "job_id": Uuid::from_u128(1)})),
            draft("line 4", json!({"file": "b", "entity": "B", "period": "2022-06", "job_id": Uuid::from_u128(1)})),
            draft("line 5", json!({"file": "b", "entity": "A", "period": "2022-06"})),
            draft("line 6", json!({"file": "c", "entity": "C", "period": "2022-06", "batch_id": Uuid::from_u128(8)})),
        ];
        let faults = prepare_all(drafts, &batch(json!({}))).err().unwrap();
        insta::assert_snapshot!(faults.join("\n"), @r"
        line 2: entity: an entity is 1 to 32 of A-Z, 0-9, '_', '.', '-' and starts with a letter or digit
        line 2: period: a period is YYYY-MM with MM from 01 to 16
        line 4: job_id: is that of line 3, too
        line 5: exported_at: is that of line 3, for the same entity and period; give each its own to say which is newer
        line 6: batch_id: is not 00000000-0000-0000-0000-000000000007, that of the others; one call is one batch
        ");
    }
}
