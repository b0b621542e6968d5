//! `dead replay --dry-run`: what a replay would do. It reads what is written down, and takes no letter.

use std::time::Duration;

use chrono::Utc;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::Value;
use shared::{broker::topology::Topology, message::dry_run::Would, settings::Settings};

use super::Args;
use crate::{
    db,
    dead::{
        outgoing::{Source, again, corrected},
        reconcile,
        written::{self, Letter},
    },
    dry_run::{
        Question, ask,
        report::{Report, Tried},
    },
    errors::CommandError,
    output::remark,
    publish::message::publisher,
};

/// Seconds that a worker gets for each job unless it is said.
const TIMEOUT: u64 = 120;

/// Has workers try what is selected.
///
/// # Errors
/// What was asked for is wrong, or a service fails.
pub(crate) async fn dry_run(args: &Args, settings: &Settings, bad_rows: usize) -> Result<Report, CommandError> {
    let (pool, now) = (db::connect(settings).await?, Utc::now());
    let failed = CommandError::postgres(settings);
    let compared = reconcile::compare(&pool, settings).await?;
    if let Some(text) = compared.remark() {
        remark(&text);
    }
    args.filter.check_code(&written::codes(&pool).await.map_err(failed)?)?;
    let letters = written::messages(&pool, &args.filter, now).await.map_err(failed)?;
    let there = |id| letters.iter().any(|letter: &Letter| letter.listed.job_id == Some(id));
    let missing = args.filter.ids.iter().copied().filter(|id| !there(*id)).collect();
    let (topology, by) = (Topology::new(&settings.namespace), publisher(settings));
    let (mut tried, mut questions, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for Letter { listed, body, properties, headers } in letters {
        let job = Tried {
            job_id: listed.job_id,
            entity: listed.entity.clone(),
            period: listed.period.clone(),
            file: listed.file.clone(),
            code: Some(listed.code.clone()),
            file_now: None,
            would: Would::Unknown,
            why: None,
            others_of_slice: 0,
            told: None,
        };
        if let Some(why) = untried(&listed.code, listed.withheld) {
            tried.push(Tried { why: Some(why), ..job });
            continue;
        }
        let properties = properties_of(&properties, &headers);
        let number = u32::try_from(listed.replays).unwrap_or_default().saturating_add(1);
        let source = Source {
            body: &body,
            properties: &properties,
            job_id: listed.job_id,
            batch_id: listed.batch_id,
            name: listed.name(),
        };
        let message = if args.as_new {
            let file = args.file.as_deref().or(listed.file.as_deref()).unwrap_or_default();
            match corrected(&source, file, args.new_source.as_ref(), &topology, by.clone()) {
                Ok(prepared) => prepared.outgoing,
                Err(error) => {
                    tried.push(Tried { would: Would::Fail, why: Some(super::send::refusal(&error)), ..job });
                    continue;
                }
            }
        } else {
            again(&source, number, &topology, &by)
        };
        questions.push(Question { message });
        asked.push((job, listed.fingerprint));
    }
    let limit = Duration::from_secs(args.timeout.unwrap_or(TIMEOUT));
    let answers =
        if questions.is_empty() { Vec::new() } else { ask(settings, &topology, questions, limit, bad_rows).await? };
    tried.extend(asked.into_iter().zip(answers).map(|((job, died_with), told)| job.told(told, died_with.as_deref())));
    Ok(Report::new(tried, missing))
}

/// Why a letter is not tried at all.
fn untried(code: &str, withheld: Option<i64>) -> Option<String> {
    match (code, withheld) {
        (_, Some(bytes)) => Some(super::too_large(bytes)),
        ("crash_suspect", _) => {
            Some("its file ended its worker four times; it is not tried beside other jobs".to_owned())
        }
        _ => None,
    }
}

/// Properties and headers as far as a worker reads them.
fn properties_of(properties: &Value, headers: &Value) -> BasicProperties {
    let text = |name: &str| properties.get(name).and_then(Value::as_str);
    let mut table = FieldTable::default();
    for (name, value) in headers.as_object().into_iter().flatten() {
        let value = match (value.as_str(), value.as_i64()) {
            (Some(text), _) => AMQPValue::LongString(text.into()),
            (None, Some(number)) => AMQPValue::LongLongInt(number),
            (None, None) => continue,
        };
        table.insert(name.as_str().into(), value);
    }
    let mut read = BasicProperties::default().with_headers(table);
    if let Some(kind) = text("type") {
        read = read.with_type(kind.into());
    }
    if let Some(id) = text("message_id") {
        read = read.with_message_id(id.into());
    }
    if let Some(id) = text("correlation_id") {
        read = read.with_correlation_id(id.into());
    }
    if let Some(at) = properties.get("timestamp").and_then(Value::as_u64) {
        read = read.with_timestamp(at);
    }
    read
}
