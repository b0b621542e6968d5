//! `dead show`: everything that a dead letter holds.

use std::fmt;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::{printable::line, settings::Settings};
use uuid::Uuid;

use super::{
    letter::{Letter, body_value},
    queue,
};
use crate::{
    errors::{CommandError, ExitStatus},
    output::{self, or_dash, remark, time},
};

/// Shows everything that a dead letter holds: error, headers, body
#[derive(clap::Args)]
#[command(after_help = "Example:\n  aura-producer dead show 01981f6e-0000-7000-8000-000000000000")]
pub(crate) struct Args {
    /// The job's identity
    id: Uuid,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    letter: Letter,
    properties: Map<String, Value>,
    headers: Value,
    /// The body, or its text if it is not JSON.
    body: Value,
}

/// The newest letter of a job, and the others that lie there with it.
#[derive(Serialize)]
struct Copies {
    #[serde(flatten)]
    newest: Shown,
    others: Vec<Shown>,
}

impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.newest)?;
        for shown in &self.others {
            write!(f, "\nanother letter of the same job_id\n{shown}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = &self.letter;
        writeln!(f, "job        {}", letter.name())?;
        writeln!(f, "batch      {}", or_dash(letter.batch_id))?;
        writeln!(f, "slice      {} {}", or_dash(letter.entity.as_ref()), or_dash(letter.period.as_ref()))?;
        writeln!(f, "file       {}", or_dash(letter.file.as_ref()))?;
        writeln!(f, "failed     {} by {}", or_dash(letter.at().map(time)), or_dash(letter.worker.as_ref()))?;
        writeln!(f, "attempts   {}, replays {}", letter.attempts, letter.replays)?;
        writeln!(f, "error      {} in {}", line(&letter.code), or_dash(letter.stage.as_ref()))?;
        for part in letter.message.iter().flat_map(|message| message.lines()) {
            writeln!(f, "           {}", line(part))?;
        }
        if let Some(left_out) = &letter.malformed {
            writeln!(f, "left out   {}", output::shortened(left_out, 1_000))?;
        }
        writeln!(f, "properties {}", Value::Object(self.properties.clone()))?;
        writeln!(f, "headers")?;
        for (name, value) in self.headers.as_object().into_iter().flatten() {
            let name = line(name);
            match value.as_str() {
                Some(text) => writeln!(f, "  {name}: {}", output::shortened(text, 4096))?,
                None => writeln!(f, "  {name}: {value}")?,
            }
        }
        if let Some(bytes) = letter.withheld {
            return writeln!(f, "body       {bytes} bytes, too large to be read");
        }
        writeln!(f, "body")?;
        match self.body.as_str() {
            Some(text) => writeln!(f, "{text}"),
            None => writeln!(f, "{:#}", self.body),
        }
    }
}

/// Shows the letters of a job, and gives everything back.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let mut held = queue::hold(settings, |letter| letter.job_id == Some(args.id)).await?;
    let dead = std::mem::take(&mut held.letters);
    let (queue, seen) = (held.queue.clone(), held.seen);
    held.release().await;
    let mut shown: Vec<Shown> = dead
        .into_iter()
        .map(|dead| Shown {
            properties: properties(&dead.properties),
            headers: table(&dead.properties.headers().clone().unwrap_or_default()),
            body: body_value(&dead.body),
            letter: dead.letter,
        })
        .collect();
    shown.sort_by_key(|shown| (shown.letter.replays, shown.letter.at()));
    let Some(newest) = shown.pop() else {
        let text = match seen.warning(&queue) {
            Some(warning) => format!("no letter of job {} was seen; {warning}", args.id),
            None => format!("{queue} holds no letter of job {}; was it replayed or discarded?", args.id),
        };
        return Err(CommandError::Unknown(text));
    };
    output::print(json, &Copies { newest, others: shown })?;
    let Some(warning) = seen.warning(&queue) else { return Ok(ExitStatus::Done) };
    remark(&warning);
    Ok(ExitStatus::Failed)
}

fn properties(properties: &BasicProperties) -> Map<String, Value> {
    let mut shown = Map::new();
    let texts = [
        ("content_type", properties.content_type()),
        ("type", properties.kind()),
        ("message_id", properties.message_id()),
        ("correlation_id", properties.correlation_id()),
        ("app_id", properties.app_id()),
    ];
    for (name, value) in texts {
        if let Some(text) = value {
            shown.insert(name.to_owned(), text.as_str().into());
        }
    }
    if let Some(at) = properties.timestamp() {
        shown.insert("timestamp".to_owned(), (*at).into());
    }
    if let Some(mode) = properties.delivery_mode() {
        shown.insert("delivery_mode".to_owned(), (*mode).into());
    }
    shown
}

fn table(fields: &FieldTable) -> Value {
    fields.inner().iter().map(|(name, field)| (name.as_str().to_owned(), value(field))).collect::<Map<_, _>>().into()
}

fn value(field: &AMQPValue) -> Value {
    match field {
        AMQPValue::Boolean(flag) => (*flag).into(),
        AMQPValue::ShortShortInt(n) => (*n).into(),
        AMQPValue::ShortShortUInt(n) => (*n).into(),
        AMQPValue::ShortInt(n) => (*n).into(),
        AMQPValue::ShortUInt(n) => (*n).into(),
        AMQPValue::LongInt(n) => (*n).into(),
        AMQPValue::LongUInt(n) => (*n).into(),
        AMQPValue::LongLongInt(n) => (*n).into(),
        AMQPValue::Timestamp(n) => (*n).into(),
        AMQPValue::Float(n) => (*n).into(),
        AMQPValue::Double(n) => (*n).into(),
        AMQPValue::DecimalValue(n) => format!("{}e-{}", n.value, n.scale).into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        AMQPValue::ByteArray(bytes) => String::from_utf8_lossy(bytes.as_slice()).into(),
        AMQPValue::FieldArray(list) => list.as_slice().iter().map(value).collect(),
        AMQPValue::FieldTable(fields) => table(fields),
        AMQPValue::Void => Value::Null,
    }
}
