//! *Jobs*: by status, slice and batch, and the whole life of each.

mod derived;
mod life;
pub(crate) mod list;
pub(crate) mod one;

pub(crate) use self::{list::page, one::one};

use maud::{Markup, html};
use uuid::Uuid;

use super::markup::job;
use crate::status::fate::Fate;

/// What has become of a job that did not load, with links to the jobs that this names.
pub(crate) fn fate(fate: &Fate) -> Markup {
    linked(&fate.words(), &fate.jobs().collect::<Vec<_>>())
}

/// A text in which these jobs are links.
fn linked(text: &str, jobs: &[Uuid]) -> Markup {
    let first = jobs.iter().find_map(|id| text.split_once(&id.to_string()).map(|(before, after)| (before, *id, after)));
    html! {
        @match first {
            Some((before, id, after)) => { (linked(before, jobs)) (job(id)) (linked(after, jobs)) }
            None => (text),
        }
    }
}
