//! An answer in the form that was asked for: a page, or the same as JSON.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use serde::Serialize;
use serde_json::json;
use shared::printable;

use super::{
    Console,
    entrance::{Asked, Viewer},
    layout,
    problem::Problem,
};
use crate::errors::ErrorAnswer;

/// A page, or its value as JSON.
pub(crate) fn page<T: Serialize>(
    console: &Console,
    asked: &Asked,
    title: &str,
    value: &T,
    body: impl FnOnce() -> Markup,
) -> Response {
    if asked.wants_json {
        return document(StatusCode::OK, value);
    }
    hypertext(StatusCode::OK, layout::page(&console.scripts, &asked.viewer, title, &asked.place, &body()))
}

/// A problem as a page or as JSON.
pub(crate) fn problem(problem: &Problem, json: bool, viewer: &Viewer) -> Response {
    if json {
        let value = ErrorAnswer::new(&*problem.message, &problem.faults);
        return document(problem.status, &value);
    }
    let body = html! {
        h1 { (problem.status.as_u16()) " " (problem.status.canonical_reason().unwrap_or_default()) }
        p class="bad" role="alert" { (problem.message) }
        @if !problem.faults.is_empty() {
            ul { @for fault in &problem.faults { li { (fault) } } }
        }
        p { a href="/" { "Now" } }
    };
    hypertext(problem.status, layout::bare(viewer, "Not done", &body))
}

/// A document of JSON. What a terminal would act on is written as its escape.
pub(crate) fn document<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let (status, text) = match serde_json::to_string_pretty(value) {
        Ok(text) => (status, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": {"message": error.to_string()}}).to_string()),
    };
    let kind = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, kind)], printable::lines(&text).into_owned()).into_response()
}

/// A page. What would show the text after it in another order is written as its escape, wherever it comes from.
pub(crate) fn hypertext(status: StatusCode, markup: Markup) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let text = markup.into_string();
    (status, [(header::CONTENT_TYPE, kind)], printable::lines(&text).into_owned()).into_response()
}

/// A text as a part of a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut query = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => query.push(char::from(byte)),
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
    query
}
