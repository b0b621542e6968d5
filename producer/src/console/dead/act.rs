//! What is done with letters: tried, replayed, discarded, written down.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Form,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{message::job::SourceName, settings::Settings};
use uuid::Uuid;

use crate::{
    console::{
        Console,
        acts::Outcome,
        answer,
        entrance::Asked,
        people::{Person, Role},
        problem::Problem,
    },
    dead::{self, discard::Args as Discard, filter::Filter, reconcile, replay::Args as Replay},
};

/// That an act has begun.
#[derive(Serialize, JsonSchema)]
pub(in crate::console) struct Begun {
    /// Under which `/dead/operations` shows it.
    operation_id: Uuid,
}

/// What was written down.
#[derive(Serialize, JsonSchema)]
pub(in crate::console) struct Found {
    /// Letters that were only in the queue until now.
    found: u64,
}

/// Bad rows that are kept of each job that would fail: the console holds what thousands of letters came to.
const BAD_ROWS: usize = 20;

type Fields = Form<BTreeMap<String, String>>;

/// A field of a form, unless it is empty.
fn field<'a>(fields: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// The settings of somebody's act: who does it is in the audit trail and in the message.
fn of(console: &Console, person: &Person) -> Settings {
    Settings { actor: person.name.clone(), ..console.settings.clone() }
}

fn may(asked: &Asked, fields: &BTreeMap<String, String>) -> Result<Person, Problem> {
    asked.viewer.act(Role::Operator, field(fields, "csrf").or(asked.csrf.as_deref()))
}

/// That an act has begun, and where it is seen.
fn begun(asked: &Asked, id: Uuid) -> Response {
    let place = format!("/dead/operations/{id}");
    if !asked.wants_json {
        return Redirect::to(&place).into_response();
    }
    let mut response = answer::document(StatusCode::ACCEPTED, &Begun { operation_id: id });
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// How letters are to be replayed, or tried.
fn replay_of(fields: &BTreeMap<String, String>) -> Result<Replay, Problem> {
    let input = |name: &str, reason: String| Problem::input(format!("{name} {reason}"));
    let rate = field(fields, "rate").map(dead::replay::rate).transpose();
    let source = field(fields, "new_source").map(str::parse::<SourceName>).transpose();
    let args = Replay {
        filter: Filter::read(fields)?,
        all: field(fields, "all").is_some(),
        rate: rate.map_err(|reason| input("rate", reason))?,
        canary: field(fields, "canary").is_some(),
        as_new: field(fields, "as_new").is_some(),
        file: field(fields, "file").map(str::to_owned),
        new_source: source.map_err(|reason| input("new_source", format!("{reason}")))?,
        ..Replay::default()
    };
    if args.new_source.is_some() && !args.as_new {
        return Err(Problem::input("another mapping profile goes with new jobs alone: a job keeps what it was"));
    }
    if args.file.is_some() && !args.as_new {
        return Err(Problem::input("another file goes with a new job alone: a job keeps what it was"));
    }
    if args.file.is_some() && args.filter.ids.len() != 1 {
        return Err(Problem::input("another file takes the identity of exactly one job"));
    }
    args.filter.or_all(args.all)?;
    Ok(args)
}

/// Tries letters.
pub(crate) async fn dry_run(
    State(console): State<Arc<Console>>,
    asked: Asked,
    Form(fields): Fields,
) -> Result<Response, Problem> {
    let person = may(&asked, &fields)?;
    let args = Replay { rate: None, canary: false, dry_run: true, ..replay_of(&fields)? };
    let (settings, words) = (of(&console, &person), args.filter.words());
    let id = console.acts.begin("dry run", &person.name, &words, |_| async move {
        dead::replay::tried(args, &settings, BAD_ROWS).await.map(Outcome::Tried)
    })?;
    Ok(begun(&asked, id))
}

/// Replays letters.
pub(crate) async fn replay(
    State(console): State<Arc<Console>>,
    asked: Asked,
    Form(fields): Fields,
) -> Result<Response, Problem> {
    let person = may(&asked, &fields)?;
    let args = replay_of(&fields)?;
    let (settings, words) = (of(&console, &person), args.filter.words());
    let id = console.acts.begin("replay", &person.name, &words, |id| async move {
        dead::replay::replay(args, id, &settings).await.map(|report| Outcome::Settled(Box::new(report)))
    })?;
    Ok(begun(&asked, id))
}

/// Gives letters up.
pub(crate) async fn discard(
    State(console): State<Arc<Console>>,
    asked: Asked,
    Form(fields): Fields,
) -> Result<Response, Problem> {
    let person = may(&asked, &fields)?;
    let reason = field(&fields, "reason").ok_or_else(|| Problem::input("say why: the audit trail keeps it"))?;
    let args = Discard {
        filter: Filter::read(&fields)?,
        all: field(&fields, "all").is_some(),
        reason: reason.to_owned(),
        ..Discard::default()
    };
    args.filter.or_all(args.all)?;
    let (settings, words) = (of(&console, &person), args.filter.words());
    let id = console.acts.begin("discard", &person.name, &words, |id| async move {
        dead::discard::discard(args, id, &settings).await.map(|report| Outcome::Settled(Box::new(report)))
    })?;
    Ok(begun(&asked, id))
}

/// Writes down what is only in the queue.
pub(crate) async fn write_down(
    State(console): State<Arc<Console>>,
    asked: Asked,
    Form(fields): Fields,
) -> Result<Response, Problem> {
    let person = may(&asked, &fields)?;
    let compared = reconcile::compare(&console.pool, &of(&console, &person)).await?;
    tracing::info!(actor = person.name, found = compared.found, "letters that were only in the queue are written down");
    if asked.wants_json {
        return Ok(answer::document(StatusCode::OK, &Found { found: compared.found }));
    }
    Ok(Redirect::to("/dead").into_response())
}
