//! *Slices*: a close at a glance, entity by period, and below it each slice with all that is known of it.

mod accounts;
pub(crate) mod cells;
mod changes;
mod download;
mod figures;
mod heat;
pub(crate) mod one;
mod parquet;
pub(crate) mod verified;

pub(crate) use self::{
    download::{accounts_csv, changes_csv},
    heat::page,
    one::one,
    parquet::parquet,
    verified::verified,
};

use std::collections::BTreeMap;

use axum::http::{HeaderValue, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use shared::{
    settings::Settings,
    slice::{Entity, Period, Slice},
};

use super::{answer, problem::Problem};
use crate::history::pruned::Pruned;

/// What a page or file is asked for with.
type Query = BTreeMap<String, String>;

/// A field of a query, unless it is empty.
fn field<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// A part of a place behind which a page begins, as it is: a code may be empty, or begin with a space.
fn part<'a>(query: &'a Query, name: &str) -> &'a str {
    query.get(name).map(String::as_str).unwrap_or_default()
}

/// The slice that an address names.
fn named(entity: &str, period: &str) -> Result<Slice, Problem> {
    let unknown = |error: shared::slice::InvalidCode| Problem::unknown(format!("there is no such slice: {error}"));
    let entity: Entity = entity.parse().map_err(unknown)?;
    let period: Period = period.parse().map_err(unknown)?;
    Ok(Slice { entity, period })
}

/// What retention took away of a slice; refuses a moment of which nothing is known for that.
async fn known_at(
    pool: &Pool,
    settings: &Settings,
    slice: &Slice,
    at: Option<DateTime<Utc>>,
) -> Result<Option<Pruned>, Problem> {
    let slice = (&slice.entity, &slice.period);
    let pruned = Pruned::of(pool, slice).await.map_err(Problem::postgres(settings))?;
    match pruned.as_ref().zip(at).and_then(|(pruned, at)| pruned.refusal(slice, at)) {
        Some(refusal) => Err(Problem::unknown(refusal)),
        None => Ok(pruned),
    }
}

/// The moment that is asked for.
fn as_of(query: &Query) -> Result<Option<DateTime<Utc>>, Problem> {
    let at = field(query, "as_of").map(str::parse::<DateTime<Utc>>).transpose();
    at.map_err(|_| Problem::input("as_of is an RFC 3339 time with its offset, as 2022-07-05T18:00:00Z"))
}

/// The address of a slice's page, or of what hangs on it.
fn place(slice: &Slice, rest: &str, query: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = query
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", answer::encoded(value)))
        .collect();
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
    format!("/slices/{}/{}{rest}{query}", slice.entity, slice.period)
}

/// Has a browser write an answer to a file. Entity and period are of letters, digits, `_`, `.` and `-` alone, so that the
/// name is safe wherever it is written to.
fn attach(mut response: Response, kind: &'static str, slice: &Slice, what: &str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let name = format!("attachment; filename=\"{}_{}_{what}\"", slice.entity, slice.period);
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}
