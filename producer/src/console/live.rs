//! Server-sent events: what has changed, so that pages ask again for what they show.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::{Console, entrance, problem::Problem};

/// How long one stream lasts; the browser then opens another.
const LONGEST: Duration = Duration::from_secs(600);
/// How often it is looked whether the session still stands.
const SESSION: Duration = Duration::from_secs(5);

/// Streams the names of what has changed.
pub(crate) async fn events(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    let Some(reader) = console.watch.read() else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open").into_response();
    };
    let secret = entrance::cookie(&headers).map(str::to_owned);
    let is_by_cookie = !console.people.is_open() && console.people.header().is_none();
    let until = Instant::now() + LONGEST;
    let state = (Arc::clone(&console), reader, secret);
    let events = stream::unfold(state, move |(console, mut reader, secret)| async move {
        loop {
            let stands = match (&secret, is_by_cookie) {
                (Some(secret), true) => console.sessions.of_cookie(secret, false).is_some(),
                (None, true) => false,
                (_, false) => true,
            };
            if !stands {
                // Whatever the page shows, it asks once more, and is sent to sign in.
                let topic = reader.last_words()?;
                let last = Event::default().event(topic).data("over");
                return Some((Ok::<_, Infallible>(last), (console, reader, secret)));
            }
            let now = Instant::now();
            if now >= until || console.stop.is_cancelled() {
                return None;
            }
            let changed = tokio::select! {
                changed = timeout_at(until.min(now + SESSION), reader.changed()) => changed,
                () = console.stop.cancelled() => return None,
            };
            if let Ok(topic) = changed {
                let event = Event::default().event(topic).data("changed");
                return Some((Ok(event), (console, reader, secret)));
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
