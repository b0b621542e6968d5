//! Parts that pages are made of.

use chrono::{DateTime, Utc};
use maud::{Markup, Render, html};
use uuid::Uuid;

use super::entrance::Viewer;
use crate::output;

/// A part of a page that is asked for again when one of these changes: `now`, `jobs`, `dead`, `acts`.
pub(crate) fn live(id: &str, topics: &[&str], place: &str, body: &Markup) -> Markup {
    let trigger: Vec<String> = topics.iter().map(|topic| format!("sse:{topic}")).collect();
    html! {
        div id=(id) hx-get=(place) hx-trigger=(trigger.join(", ")) hx-select=(format!("#{id}")) hx-swap="outerHTML"
            hx-headers=r#"{"X-Aura-Live": "1"}"# {
            (body)
        }
    }
}

/// A time, whole for who points at it, and how long ago that is.
pub(crate) fn ago(at: DateTime<Utc>) -> Markup {
    let text = output::time(at);
    html! { time datetime=(text) title=(text) { (output::age(at, Utc::now())) " ago" } }
}

/// A time to the second.
pub(crate) fn time(at: DateTime<Utc>) -> Markup {
    let text = output::time(at);
    html! { time datetime=(text) { (text) } }
}

/// What there is, or a dash.
pub(crate) fn or_dash(value: Option<impl Render>) -> Markup {
    html! { @match value { Some(value) => (value), None => "-" } }
}

/// A link to a job.
pub(crate) fn job(id: Uuid) -> Markup {
    let text = id.to_string();
    html! { a class="id" href=(format!("/jobs/{text}")) { (text) } }
}

/// A link to a slice.
pub(crate) fn slice(entity: &str, period: &str) -> Markup {
    let place = format!("/slices/{}/{}", super::answer::encoded(entity), super::answer::encoded(period));
    html! { a class="slice" href=(place) { (entity) " " (period) } }
}

/// The status of a job, in a colour and in words.
pub(crate) fn status(status: &str) -> Markup {
    let class = match status {
        "success" | "done" | "load" => "good",
        "failed" | "fail" | "differs" => "bad",
        "running" | "retrying" | "paused" => "busy",
        _ => "calm",
    };
    html! { span class=(format!("status {class}")) { (status) } }
}

/// What every form that acts brings with it.
pub(crate) fn csrf(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name="csrf" value=(viewer.csrf()); }
}

/// A table that scrolls by itself where it is too wide, and can be reached by keys.
pub(crate) fn table(caption: &str, header: &[&str], rows: &Markup) -> Markup {
    html! {
        div class="wide" tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for name in header { th scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// Names and values.
pub(crate) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { dl { @for (name, value) in facts { dt { (name) } dd { (value) } } } }
}
