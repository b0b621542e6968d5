//! Signing in by a token, and out.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;
use serde::Deserialize;

use super::{
    Console, answer,
    entrance::{Asked, Viewer, cookie, set_cookie},
    layout,
    problem::Problem,
};

/// Where to go afterwards.
#[derive(Deserialize)]
pub(crate) struct Next {
    next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Token {
    token: String,
    next: Option<String>,
}

/// A place of the console's own.
fn own(next: Option<&str>) -> &str {
    next.filter(|place| {
        place.starts_with('/') && !place.starts_with("//") && !place.contains(|c: char| c == '\\' || c.is_control())
    })
    .unwrap_or("/")
}

fn page(next: Option<&str>, wrong: bool) -> Response {
    let body = html! {
        h1 { "Sign in" }
        @if wrong { p class="bad" role="alert" { "This token is none that is known." } }
        form class="card" method="post" action="/sign-in" {
            input type="hidden" name="next" value=(own(next));
            label for="token" { "Token" }
            input id="token" name="token" type="password" autocomplete="current-password" required autofocus;
            button { "Sign in" }
        }
    };
    let status = if wrong { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    answer::hypertext(status, layout::bare(&Viewer::nobody(), "Sign in", &body))
}

/// The form.
pub(crate) async fn form(State(console): State<Arc<Console>>, Query(next): Query<Next>) -> Response {
    if console.people.is_open() || console.people.header().is_some() {
        return Redirect::to("/").into_response();
    }
    page(next.next.as_deref(), false)
}

/// Begins a session.
pub(crate) async fn sign_in(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    Form(given): Form<Token>,
) -> Result<Response, Problem> {
    let unusable = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the file of users cannot be used");
    let person = console.people.with_token(given.token.trim()).map_err(unusable)?;
    let Some(person) = person.filter(|_| console.people.header().is_none()) else {
        tracing::warn!("somebody tried to sign in to the console with an unknown token");
        return Ok(page(given.next.as_deref(), true));
    };
    tracing::info!(person = person.name, role = person.role.as_str(), "signed in to the console");
    let secret = console.sessions.begin(&person.name, given.token.trim());
    let set = set_cookie(&console, &headers, &secret);
    Ok(([(header::SET_COOKIE, set)], Redirect::to(own(given.next.as_deref()))).into_response())
}

/// Ends a session.
pub(crate) async fn sign_out(State(console): State<Arc<Console>>, _: Asked, headers: HeaderMap) -> Response {
    if let Some(secret) = cookie(&headers) {
        console.sessions.end(secret);
    }
    let set = set_cookie(&console, &headers, "");
    ([(header::SET_COOKIE, set)], Redirect::to("/sign-in")).into_response()
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn nobody_is_sent_to_another_site_after_signing_in() {
        assert_eq!(own(Some("/dead?group=x")), "/dead?group=x");
        for other in ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "dead", ""] {
            assert_eq!(own(Some(other)), "/", "{other}");
        }
    }
}
