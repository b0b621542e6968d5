//! *Sources*: the mapping profiles, and what the worker would make of a file that somebody brings along.

pub(super) mod check;
mod report;
mod upload;

pub(crate) use self::check::{Checks, body, check};

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    message::job::SourceName,
    sources::{ProfileError, Sources},
};

use super::{
    Console, answer,
    entrance::{Asked, Viewer},
    markup::{csrf, facts, or_dash, table},
    people::Role,
    problem::Problem,
};
use crate::sources::{self, List, Shown};

/// One profile, valid or not.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SourcePage")]
pub(super) struct One {
    name: SourceName,
    /// Why it cannot be used.
    error: Option<String>,
    /// Its text; none if it is built in or cannot be read.
    toml: Option<String>,
    /// The profile as it is understood; none if it cannot be used.
    shown: Option<Shown>,
}

fn folder(console: &Console) -> Sources {
    Sources::new(&console.settings.sources_dir)
}

/// The list.
pub(crate) async fn page(State(console): State<Arc<Console>>, asked: Asked) -> Result<Response, Problem> {
    let sources = folder(&console);
    let list = tokio::task::spawn_blocking(move || sources::list(&sources)).await;
    let list = list.map_err(|error| Problem::from(crate::errors::CommandError::Output(error.into())))?;
    Ok(answer::page(&console, &asked, "Sources", &list, || {
        html! { h1 { "Sources" } (profiles(&list)) (form(&asked.viewer, &list)) }
    }))
}

fn profiles(list: &List) -> Markup {
    html! {
        (table("Mapping profiles", &["source", "mode", "what it is for", "hash"], &html! {
            @for source in &list.sources {
                tr {
                    th scope="row" { a href=(place(&source.name)) { (source.name) } }
                    td { (or_dash(source.mode.map(|mode| mode.to_string()))) }
                    td {
                        @match &source.error {
                            Some(error) => span class="bad" { "not usable: " (error) }
                            None => (source.description.as_deref().unwrap_or_default())
                        }
                    }
                    td class="id" { (or_dash(source.mapping_hash.as_ref().map(|hash| hash.chars().take(12).collect::<String>()))) }
                }
            }
        }))
        p class="note" { "Profiles lie in " (list.folder) "; its README.md says how to write one." }
    }
}

fn place(name: &SourceName) -> String {
    format!("/sources/{}", answer::encoded(name.as_str()))
}

/// The form that brings a file along. The token stands first, so that nothing is taken of whoever may not.
fn form(viewer: &Viewer, list: &List) -> Markup {
    html! {
        @if viewer.may(Role::Viewer) {
            section class="card" aria-label="Check a file" {
                h2 { "Check a file" }
                p { "Nothing is loaded or published, and the file is not kept." }
                form method="post" action="/sources/check" enctype="multipart/form-data" {
                    (csrf(viewer))
                    label { "Source"
                        select name="source" {
                            option value="" { "the one that fits best" }
                            @for source in list.sources.iter().filter(|source| source.error.is_none()) {
                                option value=(source.name) { (source.name) }
                            }
                        }
                    }
                    label { "Entity" input name="entity" placeholder="the file's" autocomplete="off"; }
                    label { "Period" input name="period" placeholder="the file's, or 2022-06" autocomplete="off"; }
                    label { "File" input type="file" name="file" required; }
                    button name="what" value="check" { "Check" }
                    button name="what" value="suggest" { "Draft a profile" }
                }
            }
        } @else {
            p class="note" { "To check a file here, AURA_CONSOLE_USERS_PATH has to say who may sign in; see README.md." }
        }
    }
}

/// One profile.
pub(crate) async fn one(
    State(console): State<Arc<Console>>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let sources = folder(&console);
    let Ok(name) = name.parse::<SourceName>() else {
        return Err(Problem::unknown(format!("no mapping profile is called {name}")));
    };
    let found = match sources::show(&sources, &name) {
        Ok(shown) => One { name, error: None, toml: shown.toml.clone(), shown: Some(shown) },
        Err(error @ ProfileError::Unknown { .. }) => return Err(Problem::unknown(error.to_string())),
        Err(error @ (ProfileError::Invalid { .. } | ProfileError::Unreadable { .. } | ProfileError::Unfit { .. })) => {
            let toml = sources.text(&name).ok().flatten();
            One { name, error: Some(error.to_string()), toml, shown: None }
        }
    };
    let title = format!("Source {}", found.name);
    Ok(answer::page(&console, &asked, &title, &found, || whole(&found)))
}

/// The profile that is called as the check is.
pub(crate) async fn one_called_check(console: State<Arc<Console>>, asked: Asked) -> Result<Response, Problem> {
    one(console, Path("check".to_owned()), asked).await
}

fn whole(one: &One) -> Markup {
    html! {
        h1 { "Source " (one.name) }
        @if let Some(error) = &one.error { p class="bad" role="alert" { "Not usable: " (error) } }
        @if let Some(shown) = &one.shown {
            p { (shown.description) }
            (facts(&[
                ("mode", html! { (shown.profile.mode.to_string()) }),
                ("hash", html! { (shown.mapping_hash) }),
                ("columns looked for", html! { (shown.columns_looked_for.join(", ")) }),
            ]))
        }
        @match &one.toml {
            Some(text) => { h2 { "Text" } pre { (text) } }
            None if one.error.is_none() => p class="note" { "Built in; a default.toml in the folder of profiles takes its place." }
            None => {}
        }
        @if let Some(shown) = &one.shown {
            details {
                summary { "As it is understood" }
                pre { (serde_json::to_string_pretty(&shown.profile).unwrap_or_default()) }
            }
        }
        p { a href="/sources" { "All sources" } }
    }
}
