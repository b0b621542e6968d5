//! The life of a job as a time line, from its run and its letters.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::{
    broker::retry::Delay,
    message::failure::{ErrorCode, clean},
};
use uuid::Uuid;

use crate::{
    dead::{show, written::Whole},
    output::{count, or_dash, time},
    status::run::Run,
};

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Moment {
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) what: &'static str,
    /// Who did it: a worker, or somebody.
    pub(super) by: Option<String>,
    pub(super) text: String,
    /// A job that the text names.
    pub(super) names: Option<Uuid>,
}

/// A moment, and the time that it has in the order: what it followed may bear a later time of another clock.
type Placed = (Option<DateTime<Utc>>, Moment);

/// Everything that is known to have happened to the job, in its order.
pub(super) fn moments(run: Option<&Run>, letters: &[Whole]) -> Vec<Moment> {
    let mut placed: Vec<Placed> = Vec::new();
    let mut add = |not_before: Option<DateTime<Utc>>, moment: Moment| placed.push((moment.at.max(not_before), moment));
    if let Some(run) = run {
        add(None, published(run));
        if run.forced_at.is_some() {
            let text = "it is loaded although a newer export had been seen".to_owned();
            add(None, Moment { at: run.forced_at, what: "forced", by: None, text, names: None });
        }
    }
    let tries = letters.iter().map(|letter| letter.tries.as_ref()).chain([run.and_then(|run| run.tries.as_ref())]);
    let mut known: Vec<(i64, i64)> = Vec::new();
    for tried in tries.flatten().filter_map(Value::as_array).flatten() {
        let whole = |name: &str| tried.get(name).and_then(Value::as_i64).unwrap_or_default();
        let place = (whole("round"), whole("attempt"));
        if !known.contains(&place) {
            known.push(place);
            failed_attempt(tried, place).into_iter().for_each(|moment| add(None, moment));
        }
    }
    for letter in letters {
        add(last_try(letter.tries.as_ref()), died(letter));
        if letter.settled_at.is_some() {
            let moment = Moment {
                at: letter.settled_at,
                what: settled(&letter.listed.state),
                by: letter.settled_by.clone(),
                text: format!("its letter: {}", show::fate(letter)),
                names: letter.new_job_id,
            };
            add(None, moment);
        }
    }
    if let Some(run) = run {
        let last = run.applied_at.max(last_try(run.tries.as_ref()));
        for moment in run_of(run) {
            add(last.filter(|_| moment.what == "ended"), moment);
        }
    }
    // What happened at one time stays in the order in which it is told.
    placed.sort_by_key(|(at, _)| *at);
    placed.into_iter().map(|(_, moment)| moment).collect()
}

/// When the last of these attempts failed.
fn last_try(tries: Option<&Value>) -> Option<DateTime<Utc>> {
    tries?.as_array()?.last()?.get("at")?.as_str()?.parse().ok()
}

fn died(letter: &Whole) -> Moment {
    let attempts = count(usize::try_from(letter.listed.attempts).unwrap_or_default(), "attempt");
    Moment {
        at: letter.listed.failed_at,
        what: "dead-lettered",
        by: letter.listed.worker.clone(),
        text: format!("{} after {attempts}", letter.listed.code),
        names: None,
    }
}

fn settled(state: &str) -> &'static str {
    match state {
        "replayed" => "replayed",
        "discarded" => "discarded",
        _ => "letter gone",
    }
}

fn published(run: &Run) -> Moment {
    let user = run.broker_user.as_ref().map(|user| format!(" as RabbitMQ's user {user}")).unwrap_or_default();
    Moment {
        at: Some(run.exported_at),
        what: "exported",
        by: run.published_by.clone(),
        text: format!("published{user}; the time is that of the export, as the message or its first delivery has it"),
        names: None,
    }
}

fn failed_attempt(tried: &Value, (round, attempt): (i64, i64)) -> Vec<Moment> {
    let text = |name: &str| tried.get(name).and_then(Value::as_str).unwrap_or_default();
    let at: Option<DateTime<Utc>> = text("at").parse().ok();
    let round = if round > 0 { format!(" of replay {round}") } else { String::new() };
    let mut moments = vec![Moment {
        at,
        what: "attempt failed",
        by: Some(text("worker").to_owned()),
        text: format!("attempt {attempt}{round}: {} in {}: {}", text("code"), text("stage"), clean(text("message"))),
        names: None,
    }];
    let is_transient = text("code").parse().is_ok_and(ErrorCode::is_transient);
    let delay = u32::try_from(attempt).ok().and_then(Delay::after).filter(|_| is_transient);
    moments.extend(delay.map(|delay| Moment {
        at,
        what: "waits",
        by: None,
        text: format!("{} s for attempt {}", delay.duration().as_secs(), attempt + 1),
        names: None,
    }));
    moments
}

/// What the run itself says: its newest claim, and its end.
fn run_of(run: &Run) -> Vec<Moment> {
    let moment = |at, what, text| Moment { at, what, by: run.worker.clone(), text, names: None };
    let mut moments = Vec::new();
    if run.worker.is_some() {
        moments.push(moment(Some(run.started_at), "claimed", "by its newest worker".to_owned()));
    }
    if run.applied_at.is_some() {
        let text = format!(
            "{} rows: {} inserted, {} updated, {} unchanged, {} deleted, {} absent",
            run.rows, run.inserted, run.updated, run.unchanged, run.deleted, run.absent
        );
        moments.push(moment(run.applied_at, "loaded", text));
    }
    if run.finished_at.is_some() {
        let result = run.result.as_ref();
        let reason = result.and_then(|result| result.get("reason")).and_then(Value::as_str);
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        moments.push(moment(run.finished_at, "ended", format!("as {}{reason}; its receipt says so", run.status)));
    }
    if let Some(fate) = run.fate.as_ref().filter(|fate| fate.loaded_by.is_some()) {
        let text =
            format!("its slice was loaded by job {} at {}", or_dash(fate.loaded_by), or_dash(fate.loaded_at.map(time)));
        moments.push(Moment { at: fate.loaded_at, what: "loaded since", by: None, text, names: fate.loaded_by });
    }
    moments
}
